"""The fold "Confidence" of the dock "Repair slice". Emits what the user does, decides nothing."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox

from napari_ssan.widgets.repair.state import DockState
from napari_ssan.widgets.shared.parts import Fold, enable, say, wrapped


class ExpectedErrorPanel(Fold):
    """How wrong the slice on screen is likely to be, in a sentence and as a layer."""

    map_toggled = Signal(bool)

    def __init__(self) -> None:
        super().__init__("Confidence", "How far each repaired pixel can be trusted")
        self.map = QCheckBox("Show the expected error")
        self.map.setToolTip(
            "Brighten each synthetic pixel by how wrong it is likely to be, in grey values, in a "
            "layer of its own. It is estimated where a repair has good slices on both sides"
        )
        self.map.clicked.connect(self.map_toggled)
        self.sentence = wrapped()
        self.column.addWidget(self.map)
        self.column.addWidget(self.sentence)

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        self.map.setChecked(state.error_map)
        enable(self.map, state.has_result)
        say(self.sentence, state.expected_error or "Nothing on this slice is synthetic.")
