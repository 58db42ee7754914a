"""Layout of the dock "Repair slice". Shows a state, emits what the user does, decides nothing."""

from collections.abc import Mapping
from pathlib import Path

from magicgui.widgets import request_values
from qtpy.QtWidgets import (
    QFileDialog,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from napari_ssan.network.model_file import SUFFIX
from napari_ssan.widgets.repair.expected_error_panel import ExpectedErrorPanel
from napari_ssan.widgets.repair.outlook_panel import OutlookPanel
from napari_ssan.widgets.repair.panels import (
    ExportPanel,
    LookPanel,
    MarkPanel,
    RepairPanel,
)
from napari_ssan.widgets.repair.state import DockState, ModelChoice
from napari_ssan.widgets.shared.header import HeaderView


class RepairView(QWidget):  # type: ignore[misc]
    """The list of stacks, what has to be said, and the four parts under them.

    Parameters
    ----------
    models : list of ModelChoice
        Entries of the list of models.
    devices : list of (str, str)
        Label and name of each device; the list is shown if there is a choice.
    """

    def __init__(
        self,
        models: list[ModelChoice],
        devices: list[tuple[str, str]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setMinimumWidth(300)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(5)
        self.header = HeaderView("The stack to repair. It is only read, never changed.")
        layout.addWidget(self.header)
        self.marking = MarkPanel()
        self.repairing = RepairPanel(models, devices)
        self.looking = LookPanel()
        self.outlook = OutlookPanel()
        self.expected_error = ExpectedErrorPanel()
        self.looking.column.addWidget(self.outlook)
        self.looking.column.addWidget(self.expected_error)
        self.exporting = ExportPanel()
        self.panels = (self.marking, self.repairing, self.looking, self.exporting)
        for panel in self.panels:
            layout.addWidget(panel)
        layout.addStretch()
        self.render_state(DockState())

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Say which keys do what the buttons do, by action."""
        self.marking.show_keys(keys)
        self.looking.show_keys(keys)

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        self.header.show_stacks(state.layers, state.chosen, state.info)
        question = None if state.refusal else state.question
        said = state.refusal or (question.text if question else "")
        self.header.show_message(said, question, state.offer_sample)
        for panel in self.panels:
            panel.setEnabled(not state.refusal)
            panel.render_state(state)
        self.expected_error.render_state(state)

    def ask_missing(self, z: int, known: int) -> int | None:
        """Ask how many sections are missing after a slice; None if the user turned away."""
        answer = request_values(
            title=f"How many sections are missing between slices {z} and {z + 1}?",
            parent=self,
            count={"value": max(known, 1), "options": {"min": 0, "max": 20}},
        )
        return None if answer is None else int(answer["count"])

    def ask_model(self) -> str:
        """Ask for the path of a model file; empty if the user turned away."""
        kinds = f"Models (*{SUFFIX})"
        return str(QFileDialog.getOpenFileName(self, "Choose a model", "", kinds)[0])

    def ask_target(self, folder: Path, name: str, suffix: str) -> Path | None:
        """Ask where to export to; None if the user turned away.

        Whether to replace what is there is left to :meth:`ask_replace`: the
        dialog knows neither the ending that is added nor the mask.
        """
        proposed, kinds = str(folder / f"{name}{suffix}"), f"*{suffix}"
        silent = QFileDialog.Option.DontConfirmOverwrite
        path = str(QFileDialog.getSaveFileName(self, "Export", proposed, kinds, "", silent)[0])
        if not path:
            return None
        return Path(path if path.lower().endswith(suffix) else path + suffix)

    def ask_replace(self, paths: list[Path]) -> bool:
        """Ask whether files that exist may be replaced."""
        names = " and ".join(path.name for path in paths)
        exist, them = ("exists", "it") if len(paths) == 1 else ("exist", "them")
        text = f"{names} {exist} already in {paths[0].parent}. Replace {them}?"
        return bool(QMessageBox.question(self, "Export", text) == QMessageBox.StandardButton.Yes)
