"""The table of marks: one line for each, with what can be done about it.

Its last two columns act as buttons; a click anywhere else goes to the slice.
"""

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QApplication

from napari_ssan.session.marks import Row
from napari_ssan.widgets.repair.state import places_text, slices_text, what_text
from napari_ssan.widgets.shared.parts import Table

REVERT, AGAIN, UNMARK = "↶", "↻", "✕"
#: The action that a state allows, and its tooltip.
ACTIONS = {
    "synthesized": (REVERT, "Show the original again; the mark stays"),
    "accepted": (REVERT, "Show the original again; the mark stays"),
    "reverted": (AGAIN, "Repair it again"),
    "synthetic": (AGAIN, "Repair it again, from real slices"),
}
STATES = {
    "marked": "Not repaired yet",
    "synthesized": "Repaired: accept or revert it",
    "accepted": "Repaired and accepted",
    "reverted": "The original is shown again; the mark stays",
    "synthetic": "Synthetic already in this file. Repairs of other slices do not use it",
}
#: The column that is shown where inserted slices move those after them. It stands second.
SLIDER = 5
PLACE = "Where it is on the slider while the repaired stack is shown"
#: Lines that are on screen at once at least and at most.
FEW, MANY = 2, 12
#: Height of what is between two parts of the dock, at most, in pixels.
GAP = 8
GO, FORGET = "Click to go to this slice", "Remove the mark, and its repair if there is one"


class MarksTable(Table):
    """Slice, kind, state, revert or repair again, unmark."""

    #: What a click asks for, "go", "revert", "redo" or "unmark", and the number of its line.
    asked = Signal(str, int)
    #: The key Delete.
    delete_pressed = Signal()

    def __init__(self) -> None:
        super().__init__(
            ("slice", "what", "state", "", "", "slider"),
            "The marks. Click one to go to its slice. To select several, drag, or click with Shift "
            "or Ctrl",
            24,
        )
        header = self.horizontalHeader()
        assert header is not None  # Qt makes it
        header.moveSection(SLIDER, 1)
        self.setColumnHidden(SLIDER, True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self._lines = FEW
        self.fit(FEW)
        self._rows: tuple[Row, ...] = ()
        self._section: int | None = None
        self.cellClicked.connect(self._on_click)

    def use_room(self, spare: int, deciding: bool) -> None:
        """Show as many lines as fit into the dock, `FEW` to `MANY`; hide where there are none.

        `spare` is the height that is free beside the table as it is, in pixels. While a user is
        `deciding` on suggestions, a low dock has no room for the table.
        """
        taken = -GAP if self.isHidden() else self.height()
        lines = (spare + taken - GAP) // self.line_height - 1
        lines = max(0 if deciding else FEW, min(lines, MANY))
        if lines != self._lines:
            self._lines = lines
            self.fit(lines)
            self._scroll()
        self.setHidden(not (lines and self._rows))

    def show_rows(self, rows: tuple[Row, ...], section: int | None = None) -> None:
        """Fill the table; what is at the slice on screen is written in bold."""
        if (rows, section) == (self._rows, self._section):
            return
        arrived, self._section = section != self._section, section
        if [row.marks for row in rows] != [row.marks for row in self._rows]:
            self.clearSelection()
        self._rows = rows
        self.setRowCount(len(rows))
        inserted = any(row.kind == "missing" and row.places for row in rows)
        self.setColumnHidden(SLIDER, not inserted)
        for line, row in enumerate(rows):
            self.put(line, 0, slices_text(row), GO)
            self.put(line, SLIDER, places_text(row), PLACE)
            self.put(line, 1, what_text(row), f"{what_text(row)}. {GO}")
            self.put(line, 2, row.state, STATES[row.state])
            for column, action in ((3, ACTIONS.get(row.state, ("", ""))), (4, (UNMARK, FORGET))):
                self.put(line, column, *action).setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            if any(mark[0] == section for mark in row.marks):
                self.embolden(line)
        self.fit(self._lines)
        if arrived:
            self._scroll()

    def _scroll(self) -> None:
        """Have the row of the slice on screen in view."""
        for line, row in enumerate(self._rows):
            if any(mark[0] == self._section for mark in row.marks):
                self.scrollToItem(self.item(line, 0))

    @property
    def selected(self) -> list[int]:
        """Lines that are selected, from the top."""
        model = self.selectionModel()
        return sorted(index.row() for index in model.selectedRows()) if model is not None else []

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Go to a slice with the arrow keys; leave letters to the keys of the viewer."""
        if event is None:
            return
        if event.key() == Qt.Key.Key_Delete and self.selected:
            self.delete_pressed.emit()
        elif event.text().isprintable() and event.text():
            event.ignore()
        else:
            super().keyPressEvent(event)
            if event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down) and len(self.selected) == 1:
                self.asked.emit("go", self.selected[0])

    def _on_click(self, line: int, column: int) -> None:
        selecting = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.ControlModifier
        if QApplication.keyboardModifiers() & selecting:
            return
        item = self.item(line, column)
        actions = {REVERT: "revert", AGAIN: "redo", UNMARK: "unmark"}
        self.asked.emit(actions.get(item.text() if item else "", "go"), line)
