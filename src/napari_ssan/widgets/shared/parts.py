"""What the docks are made of: folds, headings, rows and buttons that keep a narrow dock narrow."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)


class Fold(QWidget):  # type: ignore[misc]
    """A line with an arrow, and what it hides or shows.

    Parameters
    ----------
    title : str
        What the line says.
    tooltip : str
        What is to be found under it.
    open_ : bool
        Whether it is open at first.
    """

    toggled = Signal(bool)

    def __init__(self, title: str, tooltip: str, open_: bool = False) -> None:
        super().__init__()
        outside = QVBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        outside.setSpacing(3)
        self.line = QToolButton()
        self.line.setText(title)
        self.line.setToolTip(tooltip)
        self.line.setCheckable(True)
        self.line.setAutoRaise(True)
        self.line.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.line.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.content = QWidget()
        self.column = QVBoxLayout(self.content)
        self.column.setContentsMargins(0, 0, 0, 4)
        self.column.setSpacing(5)
        outside.addWidget(self.line)
        outside.addWidget(self.content)
        self.line.toggled.connect(self._show)
        self.line.setChecked(open_)
        self._show(open_)

    @property
    def is_open(self) -> bool:
        """Whether its content is shown."""
        return bool(self.line.isChecked())

    def unfold(self, on: bool = True) -> None:
        """Show the content, or hide it."""
        self.line.setChecked(on)

    def _show(self, on: bool) -> None:
        self.line.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        self.content.setVisible(on)
        self.toggled.emit(on)


def heading(text: str) -> QLabel:
    """Line in bold type over what belongs together."""
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    label.setContentsMargins(0, 6, 0, 0)
    return label


def button(text: str, tooltip: str) -> QPushButton:
    """Button with a tooltip that does not ask for more width than it gets."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setMinimumWidth(40)
    return made


def narrow_list() -> QComboBox:
    """List whose longest entry does not widen the dock."""
    made = QComboBox()
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return made


def wrapped() -> QLabel:
    """Text that runs over several lines."""
    label = QLabel()
    label.setWordWrap(True)
    return label


def pairs(*widgets: QWidget) -> QGridLayout:
    """Rows of two of equal width."""
    grid = QGridLayout()
    grid.setSpacing(4)
    for number, widget in enumerate(widgets):
        grid.addWidget(widget, number // 2, number % 2)
    for column in (0, 1):
        grid.setColumnStretch(column, 1)
    return grid


def say(label: QLabel | QPushButton, text: str) -> None:
    """Show a text, and no empty line where there is none."""
    label.setText(text)
    label.setVisible(bool(text))


def enable(widget: QWidget, on: bool) -> None:
    """Enable or disable; a change costs a repaint, so only where there is one."""
    if widget.isEnabledTo(widget.parentWidget()) != on:
        widget.setEnabled(on)


class ProgressRow(QWidget):  # type: ignore[misc]
    """What is being done, a bar, and a button that stops it.

    Parameters
    ----------
    tooltip : str
        What the button does.
    """

    cancel_pressed = Signal()

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        box = QGridLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(12)
        self.busy = wrapped()
        self.cancel = button("Cancel", tooltip)
        self.cancel.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.cancel.clicked.connect(lambda: self.cancel_pressed.emit())
        box.addWidget(self.busy, 0, 0)
        box.addWidget(self.bar, 1, 0)
        box.addWidget(self.cancel, 0, 1, 2, 1)

    def show_progress(self, text: str, done: int, total: int) -> None:
        """Show how far it is; no `total`, and the bar only moves; no `text`, and nothing shows."""
        self.busy.setText(text)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.setVisible(bool(text))
