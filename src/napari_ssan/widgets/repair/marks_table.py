"""The table of marks."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_ssan.session.marks import Row
from napari_ssan.widgets.repair.state import slices_text, what_text

REVERT, AGAIN, UNMARK = "↶", "↻", "✕"
_ACTIONS = {"synthesized": REVERT, "accepted": REVERT, "reverted": AGAIN}
_STATE_HELP = {
    "marked": "Waits for a repair.",
    "synthesized": "Repaired: look at it, then accept or revert it.",
    "accepted": "Repaired and accepted.",
    "reverted": "The original is shown again; the mark stays.",
}


class MarksTable(QTableWidget):  # type: ignore[misc]
    """A row per mark: slice, what, state, revert or repair again, unmark."""

    #: Number of the row that was clicked, to go there.
    chosen = Signal(int)
    #: Number of the row whose repair is to be reverted.
    revert = Signal(int)
    #: Number of the row that is to be repaired again.
    again = Signal(int)
    #: Number of the row that is to be unmarked.
    unmark = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 5, parent)
        self.setHorizontalHeaderLabels(["slice", "what", "state", "", ""])
        self.verticalHeader().hide()
        self.setShowGrid(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setToolTip("The marks. Click one to go to its slice.")
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(26)
        self.verticalHeader().setDefaultSectionSize(24)
        self.setMinimumHeight(150)
        self._rows: tuple[Row, ...] = ()
        self.cellClicked.connect(self._on_click)

    def show_rows(self, rows: tuple[Row, ...]) -> None:
        """Fill the table."""
        if rows == self._rows:
            return
        self._rows = rows
        self.setRowCount(len(rows))
        for number, row in enumerate(rows):
            action = _ACTIONS.get(row.state, "")
            self._put(number, 0, slices_text(row), "Click to go there")
            self._put(number, 1, what_text(row), "Click to go there")
            self._put(number, 2, row.state, _STATE_HELP[row.state])
            self._put(
                number,
                3,
                action,
                {
                    REVERT: "Take the repair away: the original shows again, the mark stays",
                    AGAIN: "Mark it for repair again",
                }.get(action, ""),
            )
            self._put(number, 4, UNMARK, "Unmark: forget the mark, and its repair if there is one")

    def _put(self, row: int, column: int, text: str, tooltip: str) -> None:
        item = QTableWidgetItem(text)
        item.setToolTip(tooltip)
        if column > 2:
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setItem(row, column, item)

    def _on_click(self, row: int, column: int) -> None:
        text = self.item(row, column).text()
        signals = {REVERT: self.revert, AGAIN: self.again, UNMARK: self.unmark}
        signals.get(text, self.chosen).emit(row)
