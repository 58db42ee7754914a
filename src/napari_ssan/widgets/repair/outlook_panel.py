"""The fold "How good will it be here?" of the dock "Repair slice". Emits what the user does."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_ssan.widgets.repair.pictures import show_grey
from napari_ssan.widgets.repair.state import DockState
from napari_ssan.widgets.shared.parts import Fold, ProgressRow, button, say, wrapped

if TYPE_CHECKING:
    from napari_ssan.evaluation.outlook import Trial

#: Side of a picture on screen, and how much of a slice it shows, in pixels.
SIDE, SHOWN = 92, 184


class OutlookPanel(Fold):
    """A button, what it costs, its progress, and the answer: pictures, a sentence, figures."""

    asked = Signal()

    def __init__(self) -> None:
        super().__init__(
            "How good will it be here?", "Compare a repair with real slices of this stack"
        )
        self.judge = button(
            "Test on good slices nearby",
            "Hide up to three good slices near the mark or the slice on screen, one at a time. "
            "Synthesize each with the chosen model and compare it with the real one. The stack "
            "stays as it is",
            self.asked.emit,
        )
        self.progress = ProgressRow("Stop at the next tile")
        self.cost, self.answer, self.figures = wrapped(), wrapped(), wrapped()
        self.pictures = QWidget()
        self._grid = QGridLayout(self.pictures)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        self.more = Fold("Figures", "How close each slice comes to the real one", self.figures)
        self.content.add(self.judge, self.cost, self.progress)
        self.content.add(self.pictures, self.answer, self.more)
        self.show_answer("", "")

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        say(self.cost, state.outlook_cost)

    def show_progress(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show the progress; if `total` is 0 the bar only moves."""
        self.progress.show_progress(text, done, total)
        self.judge.setVisible(False)

    def show_answer(self, answer: str, figures: str, trials: "Sequence[Trial]" = ()) -> None:
        """Show pictures, the answer, and figures to unfold; all are empty if there is none."""
        self.progress.setVisible(False)
        self.judge.setVisible(True)
        say(self.answer, answer)
        say(self.figures, figures)
        self.more.setVisible(bool(figures))
        while item := self._grid.takeAt(0):
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        for line, trial in enumerate(trials):
            for column, (words, pixels) in enumerate(
                (
                    (f"slice {trial.section}, real", trial.real),
                    ("repaired", trial.made),
                    (trial.simple_way, trial.simple),
                )
            ):
                picture, caption = QLabel(), wrapped()
                show_grey(picture, pixels, SIDE, SHOWN)
                caption.setText(words)
                self._grid.addWidget(picture, 2 * line, column)
                self._grid.addWidget(caption, 2 * line + 1, column)
        self.pictures.setVisible(bool(trials))
