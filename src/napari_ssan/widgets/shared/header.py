"""The top of a dock: the list of stacks, and a banner for a message or a question.

A dock's view inherits from `DockView`, adds its panels below the header, and calls `finish`. The
text of the banner, and which stacks are listed, are left to the controllers.
"""

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QLayout, QScrollArea, QSizePolicy, QWidget

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
    """Base of a dock's view: the header and panels, which scroll, and what is always on screen."""

    def __init__(self, tooltip: str) -> None:
        super().__init__(spacing=0)
        # else napari adds a stretch below it, which takes half of the height
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._body = Column()
        self._body.setMinimumWidth(300)
        self._body.column.setContentsMargins(8, 4, 8, 4)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QScrollArea.Shape.NoFrame)
        self.area.setWidget(self._body)
        self.column.addWidget(self.area, 1)
        self.header = HeaderView(tooltip)
        self.add(self.header)

    def add(self, *contents: QWidget | QLayout) -> None:
        """Add to the bottom of what scrolls."""
        if contents:
            self._body.add(*contents)

    def spare(self) -> int:
        """Height that the panels leave free, in pixels; negative if one has to scroll."""
        needed = self._body.column.heightForWidth(self._body.width())
        view = self.area.viewport()
        return (view.height() if view is not None else 0) - needed

    def finish(self, *pinned: Column) -> None:
        """Leave the free space below the panels; what is pinned stays on screen below it."""
        self._body.column.addStretch()
        for panel in pinned:
            panel.column.setContentsMargins(8, 0, 8, 4)
            self.column.addWidget(panel)
