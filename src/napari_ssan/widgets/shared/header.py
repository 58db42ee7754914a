"""The top of a dock: the list of stacks, and a banner for a message or a question.

A dock's view inherits from `DockView` and adds its panels below the header. The text of
the banner, and which stacks are listed, are left to the controllers.
"""

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel

from napari_ssan.widgets.shared.parts import Column, button, narrow_list, pairs, row, say, wrapped
from napari_ssan.widgets.shared.state import Question


class HeaderView(Column):
    """Stack, message, the offer of a sample, and a question with two answers.

    The `tooltip` says what the stack is chosen for.
    """

    stack_chosen = Signal(int)
    answered = Signal(bool)
    sample_wanted = Signal()

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.stack = narrow_list(tooltip)
        self.stack.activated.connect(self.stack_chosen)
        self.info = QLabel("ℹ")
        self.message = wrapped()
        self.sample = button(
            "Open the sample",
            "Open a small generated stack with broken slices",
            self.sample_wanted.emit,
        )
        self.yes = button("", "", lambda: self.answered.emit(True))
        self.no = button("", "", lambda: self.answered.emit(False))
        self.banner = Column(self.message, self.sample, pairs(self.yes, self.no))
        self.banner.column.setContentsMargins(0, 4, 0, 4)
        self.add(row(QLabel("Stack"), self.stack, self.info), self.banner)

    def show_stacks(self, names: Sequence[str], chosen: int, info: str) -> None:
        """Show the list of stacks, which one is chosen (-1: none), and what it is like."""
        if [self.stack.itemText(n) for n in range(self.stack.count())] != list(names):
            self.stack.clear()
            self.stack.addItems(list(names))
        self.stack.setCurrentIndex(chosen)
        self.stack.setEnabled(bool(names))
        self.info.setToolTip(info)
        self.info.setVisible(bool(info))

    def show_message(self, text: str, question: Question | None, offer_sample: bool) -> None:
        """Show a message, the answers to a question, and the button that opens the sample."""
        self.message.setText(text)
        self.banner.setVisible(bool(text))
        self.sample.setVisible(offer_sample)
        say(self.yes, question.yes if question else "")
        say(self.no, question.no if question else "")


class DockView(Column):
    """Base of a dock's view: the header, and the margins of a dock."""

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.setMinimumWidth(300)
        self.column.setContentsMargins(8, 4, 8, 4)
        self.header = HeaderView(tooltip)
        self.add(self.header)
