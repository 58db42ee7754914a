"""The fold "How good will it be here?" of the dock "Repair slice". Emits what the user does."""

from qtpy.QtCore import Signal

from napari_ssan.widgets.shared.parts import Fold, ProgressRow, button, say, wrapped


class OutlookPanel(Fold):
    """A button, its progress, and a sentence as the answer."""

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
        self.answer = wrapped()
        self.content.add(self.judge, self.progress, self.answer)
        self.show_answer("", "")

    def show_progress(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show the progress; if `total` is 0 the bar only moves."""
        self.progress.show_progress(text, done, total)
        self.judge.setVisible(False)

    def show_answer(self, sentence: str, figures: str) -> None:
        """Show the answer, with figures as its tooltip; both are empty if there is none."""
        self.progress.setVisible(False)
        self.judge.setVisible(True)
        say(self.answer, sentence)
        self.answer.setToolTip(figures)
