"""The last numbered part of the dock "Repair slice": export, or change the volume itself.

Shows its share of a `DockState` and emits signals; it decides nothing.
"""

from qtpy.QtCore import Signal

from napari_ssan.widgets.repair.state import DockState
from napari_ssan.widgets.shared.parts import (
    Column,
    button,
    checkbox,
    enable,
    heading,
    narrow_list,
    row,
)

FORMATS = {"OME-Zarr": ".ome.zarr", "OME-TIFF": ".ome.tif", "TIFF": ".tif"}
#: The entry that writes into the volume itself, in place of to a new file.
INTO = "Into the original volume (can be undone)"


class ExportPanel(Column):
    """Writing the repaired stack to a file."""

    #: Ending of the file; whether mask, expected error and report are wanted, too.
    export_pressed = Signal(str, bool, bool, bool)
    put_pressed = Signal()
    restore_pressed = Signal()
    hand_over_pressed = Signal()

    def __init__(self) -> None:
        super().__init__(heading("4  Export"))
        self.format = narrow_list(
            "Format of the file. It records the voxel size and which pixels are synthetic. For a "
            "zarr volume also: change only the chunks with synthetic pixels, and keep the originals"
        )
        self.format.addItems(list(FORMATS))
        entries = self.format.view()
        assert entries is not None  # Qt makes it
        entries.setMinimumWidth(self.fontMetrics().horizontalAdvance(INTO) + 30)
        self.format.currentTextChanged.connect(lambda _: self._show_extras())
        self.export = button(
            "Export…", "Write the repaired stack to a file, slice by slice", self._on_export
        )
        self.restore = button(
            "Restore original…",
            "The volume was repaired in place: put the original pixels back",
            self.restore_pressed.emit,
        )
        self.hand_over = button(
            "Hand over to a cluster…",
            "Write the marks to a file, and show the command that repairs the volume on a cluster",
            self.hand_over_pressed.emit,
        )
        self.with_mask = checkbox(
            "Also write the mask of synthetic pixels",
            "Write a second file next to it: 255 where a pixel is synthetic, else 0",
        )
        self.with_error = checkbox(
            "Also write the expected error",
            "Write another file next to it: the expected error of each synthetic pixel in grey "
            "values, 0 for real pixels",
        )
        line = row(self.format, self.export)
        line.setStretch(0, 2)
        self.add(line, self.hand_over, self.restore, self.with_mask, self.with_error)
        self.with_report = checkbox(
            "Also write a report",
            "Write a web page next to it. It shows each repaired slice before and after, its "
            "neighbours, what it was made by, its expected error, and whether you accepted it",
        )
        self.add(self.with_report)
        self.extras = (self.with_mask, self.with_error, self.with_report)
        self._state = DockState()

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        self._state = state
        there = self.format.findText(INTO)
        if state.is_volume and there < 0:
            self.format.addItem(INTO)
        elif not state.is_volume and there >= 0:
            self.format.removeItem(there)
        for widget in (self.format, self.export):
            enable(widget, state.can_export)
        enable(self.hand_over, bool(state.rows) and state.question is None)
        self.hand_over.setVisible(state.is_volume)
        self.restore.setVisible(state.restorable)
        self._show_extras()

    def _show_extras(self) -> None:
        """What is written beside a file is not written beside the volume."""
        for widget in self.extras:
            enable(widget, self._state.can_export and self.format.currentText() != INTO)

    def _on_export(self) -> None:
        if self.format.currentText() == INTO:
            self.put_pressed.emit()
            return
        suffix = FORMATS[self.format.currentText()]
        self.export_pressed.emit(suffix, *(extra.isChecked() for extra in self.extras))
