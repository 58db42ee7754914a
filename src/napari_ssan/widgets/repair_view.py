"""Layout of the dock "Repair slice". Shows a state, emits what the user does, decides nothing."""

from collections.abc import Mapping
from pathlib import Path

from magicgui.widgets import request_values
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_ssan.network.model_file import SUFFIX
from napari_ssan.widgets.confidence import ConfidencePanel
from napari_ssan.widgets.outlook import OutlookPanel
from napari_ssan.widgets.panels import (
    ExportPanel,
    LookPanel,
    MarkPanel,
    RepairPanel,
    button,
    narrow_list,
    pairs,
    wrapped,
)
from napari_ssan.widgets.repair_state import DockState, ModelChoice


class RepairView(QWidget):  # type: ignore[misc]
    """The list of stacks, what has to be said, and the four parts under them.

    Parameters
    ----------
    models : list of ModelChoice
        Entries of the list of models.
    devices : list of (str, str)
        Label and name of each device; the list is shown if there is a choice.
    """

    stack_chosen = Signal(int)
    answered = Signal(bool)
    sample_wanted = Signal()

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
        layout.addLayout(self._build_stack())
        layout.addWidget(self._build_banner())
        self.marking = MarkPanel()
        self.repairing = RepairPanel(models, devices)
        self.looking = LookPanel()
        self.outlook = OutlookPanel()
        self.confidence = ConfidencePanel()
        self.looking.column.addWidget(self.outlook)
        self.looking.column.addWidget(self.confidence)
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
        if [self.stack.itemText(n) for n in range(self.stack.count())] != list(state.layers):
            self.stack.clear()
            self.stack.addItems(list(state.layers))
        self.stack.setCurrentIndex(state.chosen)
        self.stack.setEnabled(bool(state.layers))
        self.info.setToolTip(state.info)
        self.info.setVisible(bool(state.info))
        question = None if state.refusal else state.question
        self.message.setText(state.refusal or (question.text if question else ""))
        self.banner.setVisible(bool(self.message.text()))
        self.sample.setVisible(state.offer_sample)
        for answer, text in (
            (self.yes, question.yes if question else ""),
            (self.no, question.no if question else ""),
        ):
            answer.setText(text)
            answer.setVisible(bool(text))
        for panel in self.panels:
            panel.setEnabled(not state.refusal)
            panel.render_state(state)
        self.confidence.render_state(state)

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

    def _build_stack(self) -> QHBoxLayout:
        self.stack = narrow_list()
        self.stack.setToolTip("The stack to repair. It is only read, never changed.")
        self.stack.activated.connect(self.stack_chosen)
        self.info = QLabel("ℹ")
        row = QHBoxLayout()
        row.addWidget(QLabel("Stack"))
        row.addWidget(self.stack, 1)
        row.addWidget(self.info)
        return row

    def _build_banner(self) -> QWidget:
        self.banner = QWidget()
        box = QVBoxLayout(self.banner)
        box.setContentsMargins(0, 4, 0, 4)
        self.message = wrapped()
        self.sample = button("Open the sample", "Open a small generated stack with broken slices")
        self.sample.clicked.connect(lambda: self.sample_wanted.emit())
        self.yes, self.no = QPushButton(), QPushButton()
        self.yes.clicked.connect(lambda: self.answered.emit(True))
        self.no.clicked.connect(lambda: self.answered.emit(False))
        box.addWidget(self.message)
        box.addWidget(self.sample)
        box.addLayout(pairs(self.yes, self.no))
        return self.banner
