"""The four parts of the dock "Repair slice". Each shows its share of a state and emits signals."""

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_ssan.widgets.repair.marks_table import MarksTable
from napari_ssan.widgets.repair.state import DockState, ModelChoice, keyed, repair_text
from napari_ssan.widgets.shared.parts import (
    ProgressRow,
    button,
    enable,
    heading,
    narrow_list,
    pairs,
    say,
    wrapped,
)

FORMATS = {"OME-Zarr": ".ome.zarr", "OME-TIFF": ".ome.tif", "TIFF": ".tif"}
CHOOSE_FILE = "Choose a file…"


class Panel(QWidget):  # type: ignore[misc]
    """A heading, and what belongs under it."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(5)
        self.column.addWidget(heading(title))

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        raise NotImplementedError


class MarkPanel(Panel):
    """Marking slices and regions, and the table of marks."""

    mark_pressed = Signal()
    lasso_toggled = Signal(bool)
    missing_pressed = Signal()
    blank_pressed = Signal()

    def __init__(self) -> None:
        super().__init__("1  Mark what is broken")
        self._keys: Mapping[str, str] = {}
        self.mark = button("Mark", "")
        self.lasso = button("Lasso", "")
        self.lasso.setCheckable(True)
        self.missing = button(
            "Missing",
            "Sections were lost between this slice and the next: insert synthetic ones there",
        )
        self.blank = button(
            "Find blank slices",
            "Look for lost slices, which are all of one value or not finite, and offer to "
            "mark them",
        )
        self.mark.clicked.connect(lambda: self.mark_pressed.emit())
        self.lasso.clicked.connect(self.lasso_toggled)
        self.missing.clicked.connect(lambda: self.missing_pressed.emit())
        self.blank.clicked.connect(lambda: self.blank_pressed.emit())
        self.hint = wrapped()
        self.table = MarksTable()
        self.column.addLayout(pairs(self.mark, self.lasso, self.missing, self.blank))
        self.column.addWidget(self.hint)
        self.column.addWidget(self.table)

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Say which keys do the same; an action without a key is left out."""
        self._keys = keys
        self.mark.setToolTip(
            keyed("Mark the slice on screen as broken as a whole, or unmark it", keys.get("mark"))
        )
        self.lasso.setToolTip(
            keyed(
                "Draw around what is broken; only what is inside is replaced. Any closed shape "
                "on the Defects layer counts",
                keys.get("lasso"),
            )
        )

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        z = state.section
        which = "this slice" if z is None else f"slice {z}"
        self.mark.setText(
            keyed(f"{'Unmark' if state.whole else 'Mark'} {which}", self._keys.get("mark"))
        )
        self.lasso.setText(
            keyed("Stop drawing" if state.drawing else "Lasso a region", self._keys.get("lasso"))
        )
        self.missing.setText("Missing section…" if z is None else f"Missing after {z}…")
        enable(self.mark, state.can_mark)
        enable(self.lasso, state.can_draw or state.drawing)
        enable(self.missing, state.can_insert)
        enable(self.blank, state.question is None)
        self.lasso.setChecked(state.drawing)
        say(self.hint, state.hint)
        self.table.show_rows(state.rows)


class RepairPanel(Panel):
    """The model, the button, and how far it is."""

    repair_pressed = Signal()
    cancel_pressed = Signal()
    model_chosen = Signal(int)
    model_file_wanted = Signal()
    device_chosen = Signal()

    def __init__(self, models: list[ModelChoice], devices: list[tuple[str, str]]) -> None:
        super().__init__("2  Repair")
        self.model = narrow_list()
        self.model.activated.connect(self._on_model)
        row = QHBoxLayout()
        row.addWidget(QLabel("Model"))
        row.addWidget(self.model, 1)
        self.column.addLayout(row)
        self.where = QComboBox()
        self.where.setToolTip("What computes: the GPU is many times faster")
        for label, name in devices:
            self.where.addItem(label, name)
        self.where.setVisible(len(devices) > 1)
        self.where.currentIndexChanged.connect(lambda _: self.device_chosen.emit())
        self.column.addWidget(self.where)
        self.device, self.terms, self.notes = wrapped(), wrapped(), wrapped()
        self.repair = button(
            "Repair", "Synthesize what is marked from the good slices around it, in a new layer"
        )
        self.repair.clicked.connect(lambda: self.repair_pressed.emit())
        self.progress = ProgressRow("Stop at the next tile; finished slices stay")
        self.progress.cancel_pressed.connect(self.cancel_pressed)
        for widget in (self.device, self.terms, self.repair, self.progress, self.notes):
            self.column.addWidget(widget)
        self.show_models(models, 0)
        say(self.notes, "")

    def show_models(self, models: list[ModelChoice], chosen: int) -> None:
        """Fill the list of models."""
        self._models = models
        self.model.clear()
        for number, choice in enumerate(models):
            self.model.addItem(choice.label)
            self.model.setItemData(number, choice.tooltip, Qt.ItemDataRole.ToolTipRole)
        self.model.addItem(CHOOSE_FILE)
        self.model.setCurrentIndex(chosen)
        self._show_model()

    def device_name(self) -> str:
        """Return the device that is chosen, as for :func:`napari_ssan.repair`."""
        return str(self.where.currentData())

    def show_note(self, text: str) -> None:
        """Show what the last repair had to say; empty takes it away."""
        say(self.notes, text)

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        busy = bool(state.busy)
        self.repair.setText(repair_text(state.pending, busy))
        enable(self.repair, state.pending > 0 and state.question is None)
        self.repair.setVisible(not busy or state.pending > 0)
        self.progress.show_progress(state.busy, state.done, state.total)
        say(self.device, state.device)

    def _show_model(self) -> None:
        choice = self._models[self.model.currentIndex()]
        self.model.setToolTip(choice.tooltip)
        say(self.terms, f"Weights: {choice.terms}" if choice.terms else "")

    def _on_model(self, index: int) -> None:
        if index < len(self._models):
            self._show_model()
            self.model_chosen.emit(index)
        else:
            self.model_file_wanted.emit()


class LookPanel(Panel):
    """Before and after, accepting and reverting, and what is synthetic."""

    before_toggled = Signal(bool)
    accept_pressed = Signal()
    revert_pressed = Signal()
    overlay_toggled = Signal(bool)

    def __init__(self) -> None:
        super().__init__("3  Look, and keep")
        self._key: str | None = None
        self.before = button("Show before", "")
        self.before.setCheckable(True)
        self.accept = button("Accept", "Keep the repair of the slice on screen")
        self.revert = button(
            "Revert", "Show the original of the slice on screen again; its mark stays"
        )
        self.overlay = QCheckBox("Synthetic pixels")
        self.overlay.setToolTip("Tint what is synthetic, in a layer of its own")
        self.before.clicked.connect(self.before_toggled)
        self.accept.clicked.connect(lambda: self.accept_pressed.emit())
        self.revert.clicked.connect(lambda: self.revert_pressed.emit())
        self.overlay.clicked.connect(self.overlay_toggled)
        self.column.addLayout(pairs(self.before, self.overlay, self.accept, self.revert))

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Say which key does the same."""
        self._key = keys.get("before")
        tip = "Switch between the original and the repaired stack"
        self.before.setToolTip(f"{tip}. Hold {self._key} for the original" if self._key else tip)

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        which = "" if state.section is None else f" {state.section}"
        self.before.setText(
            keyed("Show after" if state.showing_before else "Show before", self._key)
        )
        self.before.setChecked(state.showing_before)
        self.accept.setText(f"Accept{which}")
        self.revert.setText(f"Revert{which}")
        self.overlay.setChecked(state.overlay)
        for widget in (self.before, self.overlay):
            enable(widget, state.has_result)
        enable(self.accept, state.accept)
        enable(self.revert, state.revert)


class ExportPanel(Panel):
    """Writing the repaired stack to a file."""

    export_pressed = Signal(str, bool, bool)

    def __init__(self) -> None:
        super().__init__("4  Export")
        self.format = QComboBox()
        self.format.addItems(list(FORMATS))
        self.format.setToolTip(
            "The file's format. Voxel size, and which pixels are synthetic, are written with it."
        )
        self.export = button("Export…", "Write the repaired stack to a file, slice by slice")
        self.with_mask = QCheckBox("Also write the mask of synthetic pixels")
        self.with_mask.setToolTip("A second file beside it: 255 where a pixel is synthetic, else 0")
        self.with_error = QCheckBox("Also write the expected error")
        self.with_error.setToolTip(
            "A further file beside it: how wrong each pixel is likely to be, in grey values; 0 "
            "where it is real"
        )
        self.export.clicked.connect(
            lambda: self.export_pressed.emit(
                FORMATS[self.format.currentText()],
                self.with_mask.isChecked(),
                self.with_error.isChecked(),
            )
        )
        self.column.addLayout(pairs(self.format, self.export))
        self.column.addWidget(self.with_mask)
        self.column.addWidget(self.with_error)

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        for widget in (self.format, self.export, self.with_mask, self.with_error):
            enable(widget, state.can_export)
