"""What a dock is divided by: headings, and parts that fold away."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget


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
