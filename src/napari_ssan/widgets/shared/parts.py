"""Building blocks of both docks: columns, rows, forms, folds, buttons, lists, tables, progress.

They look the same in both docks and fit a dock of 320 pixels. What is shown, and what a
press does, is decided by the panels. Plain Qt: magicgui has no folds, tables or pairs of
buttons; it builds the forms of seldom-changed options and the questions in dialogs.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

#: Words that are broken if there is no room for them, and a space without a width.
LONG, BREAK = re.compile(r"\S{20,}"), "\u200b"


class Column(QWidget):
    """Widgets and layouts below each other, `spacing` pixels apart, without a margin."""

    def __init__(self, *contents: QWidget | QLayout, spacing: int = 5) -> None:
        super().__init__()
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(spacing)
        self.add(*contents)

    def add(self, *contents: QWidget | QLayout) -> None:
        """Add to the bottom."""
        for each in contents:
            if isinstance(each, QWidget):
                self.column.addWidget(each)
            else:
                self.column.addLayout(each)


class Fold(Column):
    """A line with an arrow that shows or hides its contents, which `is_open` shows at first."""

    toggled = Signal(bool)

    def __init__(
        self, title: str, tooltip: str, *contents: QWidget | QLayout, is_open: bool = False
    ) -> None:
        super().__init__(spacing=3)
        self.line = QToolButton()
        self.line.setText(title)
        self.line.setToolTip(tooltip)
        self.line.setCheckable(True)
        self.line.setAutoRaise(True)
        self.line.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.line.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.content = Column(*contents)
        self.content.column.setContentsMargins(0, 0, 0, 4)
        self.add(self.line, self.content)
        self.line.toggled.connect(self._show)
        self.line.setChecked(is_open)
        self._show(is_open)

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


class Table(QTableWidget):
    """Lines that can be clicked but not edited; the second column takes the free width.

    The `tooltip` says what a click does; `line_height` is in pixels.
    """

    def __init__(self, headings: Sequence[str], tooltip: str, line_height: int) -> None:
        super().__init__(0, len(headings))
        self.line_height = line_height
        self.setHorizontalHeaderLabels(list(headings))
        self.setToolTip(tooltip)
        self.setShowGrid(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        lines, header = self.verticalHeader(), self.horizontalHeader()
        assert lines is not None  # Qt makes both
        assert header is not None
        lines.hide()
        lines.setDefaultSectionSize(line_height)
        header.setHighlightSections(False)
        header.setFixedHeight(line_height)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setMinimumSectionSize(26)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)

    def fit(self, most: int) -> None:
        """Take the height of its lines, of `most` at most; the others are scrolled to."""
        lines = min(self.rowCount(), most)
        self.setFixedHeight(self.line_height * (1 + lines) + (6 if lines else 2))

    def fit_columns(self) -> None:
        """Show what was written while the signals of the model were blocked."""
        header, viewport = self.horizontalHeader(), self.viewport()
        assert header is not None  # Qt makes both
        assert viewport is not None
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        viewport.update()

    def put(self, line: int, column: int, text: str, tooltip: str = "") -> QTableWidgetItem:
        """Write into a cell."""
        item = QTableWidgetItem(text)
        item.setToolTip(tooltip)
        self.setItem(line, column, item)
        return item

    def embolden(self, line: int, on: bool = True) -> None:
        """Write a line in bold, or as usual."""
        for column in range(self.columnCount()):
            item = self.item(line, column)
            if item is not None:
                font = item.font()
                font.setBold(on)
                item.setFont(font)


class ProgressRow(Column):
    """A line of text, a bar and, if it has a tooltip, a button that cancels.

    Qt's own bar without a total moves 60 times a second. Each time, the whole window is drawn anew,
    canvas and all, which takes half a core where no graphics card does it. This one moves slowly.
    """

    cancel_pressed = Signal()
    #: Milliseconds between two moves of a bar without a total, and moves from end to end.
    PACE, MOVES = 400, 12

    def __init__(self, tooltip: str = "") -> None:
        box = QGridLayout()
        super().__init__(box)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(12)
        self.busy = wrapped()
        self._mover = QTimer(self)
        self._mover.timeout.connect(self._move)
        box.addWidget(self.busy, 0, 0)
        box.addWidget(self.bar, 1, 0)
        if tooltip:
            self.cancel = button("Cancel", tooltip, self.cancel_pressed.emit)
            self.cancel.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            box.addWidget(self.cancel, 0, 1, 2, 1)

    def show_progress(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show the progress. If `total` is 0 the bar only moves; without `text` all is hidden."""
        self.busy.setText(text)
        if total or not text:
            self._mover.stop()
            self.bar.setRange(0, total or self.MOVES)
            self.bar.setValue(done)
        elif not self._mover.isActive():
            self.bar.setRange(0, self.MOVES)
            self.bar.setValue(0)
            self._mover.start(self.PACE)
        self.setVisible(bool(text))

    def _move(self) -> None:
        self.bar.setValue((self.bar.value() + 1) % (self.MOVES + 1))


def heading(text: str) -> QLabel:
    """Line in bold type above a group."""
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    label.setContentsMargins(0, 6, 0, 0)
    return label


class Wrapped(QLabel):
    """Text that runs over several lines. Long words, such as names of files, are broken, too."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)

    def setText(self, text: str | None) -> None:  # noqa: N802
        """Show a text; long words may be broken, unless it is rich text."""
        plain = text or ""
        if self.textFormat() != Qt.TextFormat.RichText:
            plain = LONG.sub(lambda word: BREAK.join(word.group()), plain)
        super().setText(plain)

    def text(self) -> str:
        """The text as it was given."""
        return super().text().replace(BREAK, "")


def wrapped(tooltip: str = "") -> QLabel:
    """Text that runs over several lines."""
    label = Wrapped()
    label.setToolTip(tooltip)
    return label


def button(text: str, tooltip: str, press: Callable[[], object] | None = None) -> QPushButton:
    """Button that calls `press`, and takes no more width than it gets."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setMinimumWidth(40)
    if press is not None:
        made.clicked.connect(lambda: press())
    return made


def checkbox(text: str, tooltip: str) -> QCheckBox:
    """Checkbox with a tooltip."""
    made = QCheckBox(text)
    made.setToolTip(tooltip)
    return made


def narrow_list(tooltip: str = "") -> QComboBox:
    """List whose longest entry does not widen the dock."""
    made = QComboBox()
    made.setToolTip(tooltip)
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return made


def fill(box: QComboBox, entries: Sequence[tuple[str, object, str]], chosen: int) -> None:
    """Replace the entries of a list, (label, data, tooltip) each, and choose one."""
    box.clear()
    for number, (label, data, tooltip) in enumerate(entries):
        box.addItem(label, data)
        box.setItemData(number, tooltip, Qt.ItemDataRole.ToolTipRole)
    box.setCurrentIndex(chosen)


def row(*widgets: QWidget) -> QHBoxLayout:
    """Put widgets beside each other; labels keep their width, the others share the rest."""
    box = QHBoxLayout()
    for widget in widgets:
        box.addWidget(widget, 0 if isinstance(widget, QLabel) else 1)
    return box


def pairs(*widgets: QWidget) -> QGridLayout:
    """Rows of two widgets of equal width."""
    grid = QGridLayout()
    grid.setSpacing(4)
    for number, widget in enumerate(widgets):
        grid.addWidget(widget, number // 2, number % 2)
    for column in (0, 1):
        grid.setColumnStretch(column, 1)
    return grid


def form(rows: Mapping[str, QWidget | QLayout]) -> QFormLayout:
    """Rows of a label and a control."""
    made = QFormLayout()
    made.setContentsMargins(0, 0, 0, 0)
    made.setHorizontalSpacing(6)
    made.setVerticalSpacing(4)
    made.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    made.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for label, field in rows.items():
        made.addRow(label, field)
    return made


def say(label: QLabel | QPushButton, text: str) -> None:
    """Show a text; hide the label if there is none."""
    label.setText(text)
    label.setVisible(bool(text))


def enable(widget: QWidget, on: bool) -> None:
    """Enable or disable a widget, only if that changes it: each change costs a repaint."""
    if widget.isEnabledTo(widget.parentWidget()) != on:
        widget.setEnabled(on)
