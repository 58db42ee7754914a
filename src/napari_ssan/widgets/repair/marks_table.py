"""The table of marks: one line for each, with what can be done about it; suggestions below them.

The last two columns of a mark act as buttons; a click anywhere else goes to the slice. Easy to get
wrong: a suggestion is no mark, and what is done to selected marks is not done to it.
"""

from qtpy.QtCore import QItemSelectionModel, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QApplication

from napari_ssan.inspection.find import Find
from napari_ssan.session.marks import Row
from napari_ssan.widgets.repair.state import (
    places_text,
    sections_of,
    slices_text,
    state_text,
    what_text,
)
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
#: The column that takes marks away.
FORGETTING = 4
PLACE = "Where it is on the slider while the repaired stack is shown"
#: Lines that are on screen at once at least and at most.
FEW, MANY = 2, 12
#: Lines that are worth more than what is below, while a user decides on suggestions.
DECIDING = 5
#: Height of what is between two parts of the dock, at most, in pixels.
GAP = 8
GO, FORGET = "Click to go to this slice", "Remove the mark, and its repair if there is one"
#: Lines by which the columns are fitted, besides those on screen.
FITTED = 100


class MarksTable(Table):
    """Slice, kind, state, revert or repair again, unmark."""

    #: What a click asks for, "go", "revert", "redo" or "unmark", and the number of its line.
    asked = Signal(str, int)
    #: A click on a suggestion, by its number from 0.
    suggestion_asked = Signal(int)
    #: The key Delete.
    delete_pressed = Signal()

    def __init__(self) -> None:
        super().__init__(
            ("slice", "what", "state", "", "", "slider"),
            "The marks, and below them what is suggested. Click one to go to its slice. To select "
            "several, drag, or click with Shift or Ctrl",
            24,
        )
        header = self.horizontalHeader()
        assert header is not None  # Qt makes it
        header.moveSection(SLIDER, 1)
        header.setResizeContentsPrecision(FITTED)
        self.setColumnHidden(SLIDER, True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self._lines = FEW
        self.fit(FEW)
        self._rows: tuple[Row, ...] = ()
        #: Marks, then suggestions: what is in the lines.
        self._entries: tuple[Row | Find, ...] = ()
        self._section: int | None = None
        #: The suggestion that is shown, and its line.
        self._present: tuple[Find, int] | None = None
        self.cellClicked.connect(self._on_click)

    def use_room(self, spare: int, deciding: int | None = None) -> None:
        """Show as many lines as fit into the dock, `FEW` to `MANY`; hide where there are none.

        `spare` is the height that is free beside the table as it is, in pixels. While a user
        decides on suggestions, up to `DECIDING` lines may take the height of what comes later,
        `deciding` pixels; a low dock has no room for them.
        """
        taken = -GAP if self.isHidden() else self.height()
        fit = (spare + taken - GAP) // self.line_height - 1
        least = FEW
        if deciding is not None:
            least = max(0, min(fit + deciding // self.line_height, DECIDING))
        lines = max(least, min(fit, MANY))
        if lines != self._lines:
            self._lines = lines
            self.fit(lines)
            self._scroll()
        self.setHidden(not (lines and self._entries))

    def show_rows(
        self,
        rows: tuple[Row, ...],
        section: int | None = None,
        suggestions: tuple[Find, ...] = (),
        suggestion: Find | None = None,
    ) -> None:
        """Fill the table; what is at the slice on screen is written in bold.

        Suggestions stand below the marks. The one that is shown is selected when it changes.
        """
        entries = rows + suggestions
        present = None
        if suggestion is not None:
            present = suggestion, len(rows) + suggestions.index(suggestion)
        if (entries, section, present) == (self._entries, self._section, self._present):
            return
        arrived = section != self._section
        if [row.marks for row in rows] != [row.marks for row in self._rows]:
            self.clearSelection()
        self._embolden(False)
        self._write(entries)
        self._entries, self._rows, self._section = entries, rows, section
        self._embolden(True)
        inserted = any(row.kind == "missing" and row.places for row in rows)
        self.setColumnHidden(SLIDER, not inserted)
        self.setColumnHidden(FORGETTING, not rows)  # suggestions alone have room for their kinds
        self.fit(self._lines)
        moved, self._present = present != self._present, present
        if moved and present is not None:
            flags = QItemSelectionModel.SelectionFlag
            self.setCurrentCell(present[1], 0, flags.ClearAndSelect | flags.Rows)
        if arrived:
            self._scroll()

    def _write(self, entries: tuple[Row | Find, ...]) -> None:
        """Write the lines that differ; to write thousands anew takes a while."""
        old, model = self._entries, self.model()
        assert model is not None  # Qt makes it
        shorter = min(len(old), len(entries))
        above = next((n for n in range(shorter) if old[n] != entries[n]), shorter)
        below = next(
            (n for n in range(shorter - above) if old[-1 - n] != entries[-1 - n]), shorter - above
        )
        if len(entries) > len(old):
            model.insertRows(len(old) - below, len(entries) - len(old))
        elif len(entries) < len(old):
            model.removeRows(len(entries) - below, len(old) - len(entries))
        with QSignalBlocker(model):  # else the columns are fitted after each cell
            for line in range(above, len(entries) - below):
                for column, (text, tooltip) in enumerate(_cells(entries[line])):
                    item = self.put(line, column, text, tooltip)
                    if column in (3, FORGETTING):
                        item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)

    def _embolden(self, on: bool) -> None:
        """Write what is at the slice on screen in bold, or as usual."""
        with QSignalBlocker(self.model()):
            for line in self._at_section:
                self.embolden(line, on)
        self.fit_columns()

    @property
    def _at_section(self) -> list[int]:
        """Lines of what is at the slice on screen."""
        return [n for n, each in enumerate(self._entries) if self._section in sections_of(each)]

    def _scroll(self) -> None:
        """Have the row of the slice on screen in view."""
        lines = self._at_section
        if lines:
            present = self._present[1] if self._present is not None else -1
            self.scrollToItem(self.item(present if present in lines else lines[-1], 0))

    @property
    def selected(self) -> list[int]:
        """Lines of marks that are selected, from the top."""
        return [line for line in self._chosen if line < len(self._rows)]

    @property
    def _chosen(self) -> list[int]:
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
            if event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down) and len(self._chosen) == 1:
                self._ask("go", self._chosen[0])

    def _on_click(self, line: int, column: int) -> None:
        selecting = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.ControlModifier
        if QApplication.keyboardModifiers() & selecting:
            return
        item = self.item(line, column)
        actions = {REVERT: "revert", AGAIN: "redo", UNMARK: "unmark"}
        self._ask(actions.get(item.text() if item else "", "go"), line)

    def _ask(self, action: str, line: int) -> None:
        if line < len(self._rows):
            self.asked.emit(action, line)
        else:
            self.suggestion_asked.emit(line - len(self._rows))


def _cells(entry: Row | Find) -> list[tuple[str, str]]:
    """Text and tooltip of each column."""
    where, what = slices_text(entry), what_text(entry)
    if isinstance(entry, Find):
        told = (where, what, "suggested", f"{100 * entry.p:.0f} %")
        return [*((text, f"{what}. {entry.reason}") for text in told), ("", ""), ("", "")]
    return [
        (where, GO),
        (what, f"{what}. {GO}"),
        (state_text(entry), STATES[entry.state]),
        ACTIONS.get(entry.state, ("", "")),
        (UNMARK, FORGET),
        (places_text(entry), PLACE),
    ]
