"""The fold "How good will it be here?" of the dock "Repair slice". Emits what the user does."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QProgressBar, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_ssan.widgets.panels import button, say, wrapped


class OutlookPanel(QWidget):  # type: ignore[misc]
    """A button, how far it is, and a sentence; folded away at first."""

    asked = Signal()
    cancel_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        self.fold = QToolButton()
        self.fold.setText("How good will it be here?")
        self.fold.setCheckable(True)
        self.fold.setAutoRaise(True)
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.fold.toggled.connect(self._unfold)
        self.judge = button(
            "Judge on good slices nearby",
            "Hide up to three good slices near the mark, or near the slice on screen, one after "
            "the other, synthesize them with the chosen model, and compare with the real ones. "
            "Nothing is changed",
        )
        self.judge.clicked.connect(lambda: self.asked.emit())
        self.answer = wrapped()
        self.content = QWidget()
        inside = QVBoxLayout(self.content)
        inside.setContentsMargins(0, 0, 0, 0)
        for widget in (self.judge, self._build_progress(), self.answer):
            inside.addWidget(widget)
        column.addWidget(self.fold)
        column.addWidget(self.content)
        self._unfold(False)
        self.show_answer("", "")

    def show_progress(self, text: str, done: int, total: int) -> None:
        """Show how far it is; no `total`, and the bar only moves."""
        self.busy.setText(text)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.progress.setVisible(True)
        self.judge.setVisible(False)

    def show_answer(self, sentence: str, figures: str) -> None:
        """Show what came out, with figures in a tooltip; both empty if nothing did."""
        self.progress.setVisible(False)
        self.judge.setVisible(True)
        say(self.answer, sentence)
        self.answer.setToolTip(figures)

    def _build_progress(self) -> QWidget:
        self.progress = QWidget()
        box = QGridLayout(self.progress)
        box.setContentsMargins(0, 0, 0, 0)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(12)
        self.busy = wrapped()
        self.cancel = button("Cancel", "Stop at the next tile")
        self.cancel.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.cancel.clicked.connect(lambda: self.cancel_pressed.emit())
        box.addWidget(self.busy, 0, 0)
        box.addWidget(self.bar, 1, 0)
        box.addWidget(self.cancel, 0, 1, 2, 1)
        return self.progress

    def _unfold(self, on: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow
        self.fold.setArrowType(arrow)
        self.content.setVisible(on)
