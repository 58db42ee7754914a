"""Layout of the dock "Repair slice", and its dialogs. Emits what the user does, decides nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path

from magicgui.widgets import Dialog, Label, SpinBox
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_ssan.network.model_file import SUFFIX
from napari_ssan.widgets.repair.expected_error_panel import ExpectedErrorPanel
from napari_ssan.widgets.repair.export_panel import ExportPanel
from napari_ssan.widgets.repair.hand_over import HandOverDialog
from napari_ssan.widgets.repair.outlook_panel import OutlookPanel
from napari_ssan.widgets.repair.panels import LookPanel, MarkPanel, RepairPanel
from napari_ssan.widgets.repair.state import DockState, ModelChoice, unaccepted_text
from napari_ssan.widgets.repair.target_dialog import ask_target
from napari_ssan.widgets.shared.header import DockView


class RepairView(DockView):
    """The header, and the four numbered parts below it.

    A device is a label and a name; the list of devices is hidden if there is only one.
    """

    def __init__(self, models: list[ModelChoice], devices: list[tuple[str, str]]) -> None:
        super().__init__("The stack to repair. It is only read, never changed")
        self.marking = MarkPanel()
        self.repairing = RepairPanel(models, devices)
        self.looking = LookPanel()
        self.looking.show_models(models)
        self.outlook = OutlookPanel()
        self.expected_error = ExpectedErrorPanel()
        self.looking.add(self.outlook, self.expected_error)
        self.exporting = ExportPanel()
        self.panels = (self.marking, self.repairing, self.looking, self.exporting)
        self.add(self.marking, self.repairing, self.looking)
        self.finish(self.exporting)
        self.render_state(DockState())

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Give the table of marks as many lines as there is room for."""
        super().resizeEvent(event)
        self._share_room()

    def _share_room(self) -> None:
        deciding = not self.marking.suggestions.decide.isHidden()
        below = self.looking.sizeHint().height() if deciding else None
        self.marking.table.use_room(self.spare(), below)

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Say which keys do what the buttons do, by action."""
        self.marking.show_keys(keys)
        self.looking.show_keys(keys)

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        self.header.show_stacks(state.layers, state.chosen, state.info)
        question = None if state.refusal else state.question
        text = state.refusal or (question.text if question else "")
        self.header.show_message(text, question, state.offer_sample)
        for panel in self.panels:
            panel.setEnabled(not state.refusal)
            panel.render_state(state)
        self._share_room()
        self.expected_error.render_state(state)
        self.outlook.render_state(state)

    def ask_missing(self, z: int, known: int) -> int | None:
        """Ask how many slices are missing after slice `z`; None if the user cancels."""
        count = SpinBox(label="Number", value=max(known, 1), min=0, max=20)
        question = Label(value=f"How many slices are missing between {z} and {z + 1}?")
        dialog = Dialog(widgets=[question, count], parent=self)
        dialog.native.setWindowTitle("Missing slices")
        return int(count.value) if dialog.exec() else None

    def ask_model(self) -> str:
        """Ask for the path of a model file; empty if the user cancels."""
        kinds = f"Models (*{SUFFIX})"
        return str(QFileDialog.getOpenFileName(self, "Choose a model", "", kinds)[0])

    def ask_target(self, folder: Path, name: str, suffix: str) -> Path | None:
        """Ask where to export to; None if the user cancels."""
        return ask_target(self, folder, name, suffix)

    def ask_lose(self, count: int, verb: str) -> bool:
        """Ask whether to go on with what takes repaired slices away."""
        text = f"{verb}? This takes {count} repaired slices away."
        if verb not in ("Undo", "Redo"):
            text += " Undo brings them back, until the stack is closed."
        return bool(QMessageBox.question(self, verb, text) == QMessageBox.StandardButton.Yes)

    def ask_unaccepted(self, accepted: int, repaired: int) -> str:
        """Ask whether to export what is not accepted: "all", "accepted", or "" to cancel."""
        box = QMessageBox(self)
        box.setWindowTitle("Export")
        box.setIcon(QMessageBox.Icon.Question)
        box.setText(unaccepted_text(accepted, repaired))
        role = QMessageBox.ButtonRole.AcceptRole
        answers = [(box.addButton(f"Export all {repaired}", role), "all")]
        if accepted:
            answers.append((box.addButton(f"Only the {accepted} accepted", role), "accepted"))
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        chosen = box.clickedButton()
        box.deleteLater()
        return next((answer for button, answer in answers if button is chosen), "")

    def ask_restore(self, name: str) -> bool:
        """Ask whether to put the original pixels of a volume back."""
        text = (
            f"Put the original pixels of {name} back? The repaired pixels in it are lost. Their "
            "marks stay."
        )
        return bool(QMessageBox.question(self, "Restore", text) == QMessageBox.StandardButton.Yes)

    def show_command(self, file: Path, make: Callable[[str], str]) -> None:
        """Show the command that repairs what a file marks; `make` puts a scheduler into it."""
        dialog = HandOverDialog(self, file, make)
        dialog.exec()
        dialog.deleteLater()

    def ask_replace(self, paths: list[Path]) -> bool:
        """Ask whether to replace files that exist."""
        names = " and ".join(path.name for path in paths)
        exist, them = ("exists", "it") if len(paths) == 1 else ("exist", "them")
        text = f"{names} already {exist} in {paths[0].parent}. Replace {them}?"
        return bool(QMessageBox.question(self, "Export", text) == QMessageBox.StandardButton.Yes)
