"""The fold "How good will it be here?" of the dock "Repair slice". Emits what the user does."""

from qtpy.QtCore import Signal

from napari_ssan.widgets.shared.parts import Fold, ProgressRow, button, say, wrapped


class OutlookPanel(Fold):
    """A button, how far it is, and a sentence; folded away at first."""

    asked = Signal()
    cancel_pressed = Signal()

    def __init__(self) -> None:
        super().__init__(
            "How good will it be here?", "How a repair compares with real slices of this stack"
        )
        self.judge = button(
            "Judge on good slices nearby",
            "Hide up to three good slices near the mark, or near the slice on screen, one after "
            "the other, synthesize them with the chosen model, and compare with the real ones. "
            "Nothing is changed",
        )
        self.judge.clicked.connect(lambda: self.asked.emit())
        self.progress = ProgressRow("Stop at the next tile")
        self.progress.cancel_pressed.connect(self.cancel_pressed)
        self.answer = wrapped()
        for widget in (self.judge, self.progress, self.answer):
            self.column.addWidget(widget)
        self.show_answer("", "")

    def show_progress(self, text: str, done: int, total: int) -> None:
        """Show how far it is; no `total`, and the bar only moves."""
        self.progress.show_progress(text, done, total)
        self.judge.setVisible(False)

    def show_answer(self, sentence: str, figures: str) -> None:
        """Show what came out, with figures in a tooltip; both empty if nothing did."""
        self.progress.setVisible(False)
        self.judge.setVisible(True)
        say(self.answer, sentence)
        self.answer.setToolTip(figures)
