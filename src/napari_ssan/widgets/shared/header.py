"""The head of a dock: the list of stacks, and what has to be said or asked before all else."""

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_ssan.widgets.repair.state import Question
from napari_ssan.widgets.shared.parts import button, narrow_list, pairs, say, wrapped


class HeaderView(QWidget):  # type: ignore[misc]
    """Stack, message, the offer of a sample, and a question with two answers.

    Parameters
    ----------
    tooltip : str
        What the stack is chosen for.
    """

    stack_chosen = Signal(int)
    answered = Signal(bool)
    sample_wanted = Signal()

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.stack = narrow_list()
        self.stack.setToolTip(tooltip)
        self.stack.activated.connect(self.stack_chosen)
        self.info = QLabel("ℹ")
        row = QHBoxLayout()
        row.addWidget(QLabel("Stack"))
        row.addWidget(self.stack, 1)
        row.addWidget(self.info)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addLayout(row)
        column.addWidget(self._build_banner())

    def show_stacks(self, names: Sequence[str], chosen: int, info: str) -> None:
        """Show what there is to choose from, what is chosen (-1: none), and what it is like."""
        if [self.stack.itemText(n) for n in range(self.stack.count())] != list(names):
            self.stack.clear()
            self.stack.addItems(list(names))
        self.stack.setCurrentIndex(chosen)
        self.stack.setEnabled(bool(names))
        self.info.setToolTip(info)
        self.info.setVisible(bool(info))

    def show_message(self, text: str, question: Question | None, offer_sample: bool) -> None:
        """Show what has to be said; the answers to a question, and the sample, where wanted."""
        self.message.setText(text)
        self.banner.setVisible(bool(text))
        self.sample.setVisible(offer_sample)
        say(self.yes, question.yes if question else "")
        say(self.no, question.no if question else "")

    def _build_banner(self) -> QWidget:
        self.banner = QWidget()
        box = QVBoxLayout(self.banner)
        box.setContentsMargins(0, 4, 0, 4)
        self.message = wrapped()
        self.sample = button("Open the sample", "Open a small generated stack with broken slices")
        self.sample.clicked.connect(lambda: self.sample_wanted.emit())
        self.yes, self.no = QPushButton(), QPushButton()
        self.yes.clicked.connect(lambda: self.answered.emit(True))
        self.no.clicked.connect(lambda: self.answered.emit(False))
        box.addWidget(self.message)
        box.addWidget(self.sample)
        box.addLayout(pairs(self.yes, self.no))
        return self.banner
