"""The fold "Expected error" of the dock "Repair slice". Emits what the user does."""

from qtpy.QtCore import Signal

from napari_ssan.widgets.repair.state import DockState
from napari_ssan.widgets.shared.parts import Fold, checkbox, enable, say, wrapped


class ExpectedErrorPanel(Fold):
    """The expected error of the slice on screen, in a sentence and as a layer."""

    map_toggled = Signal(bool)

    def __init__(self) -> None:
        super().__init__("Expected error", "How wrong each repaired pixel is likely to be")
        self.map = checkbox(
            "Show as a layer",
            "Add a layer that is brighter where a synthetic pixel is likely to be more wrong, in "
            "grey values. It needs a good slice on both sides of the repair",
        )
        self.map.clicked.connect(self.map_toggled)
        self.sentence = wrapped()
        self.content.add(self.map, self.sentence)

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        self.map.setChecked(state.error_map)
        enable(self.map, state.has_result)
        say(self.sentence, state.expected_error or "Nothing on this slice is synthetic.")
