"""The fold "Expected error" of the dock "Repair slice". Emits what the user does."""

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QLabel

from napari_ssan.engine.expected_error import coloured
from napari_ssan.widgets.repair.pictures import pixmap
from napari_ssan.widgets.repair.state import DockState
from napari_ssan.widgets.shared.parts import Fold, checkbox, enable, say, wrapped


class ExpectedErrorPanel(Fold):
    """The expected error of the slice on screen, in a sentence and as a layer."""

    map_toggled = Signal(bool)

    def __init__(self) -> None:
        super().__init__("Expected error", "How wrong each repaired pixel is likely to be")
        self.map = checkbox(
            "Show as a layer",
            "Add a layer that is clear where a synthetic pixel is likely to be right, and yellow "
            "to red where it is likely to be wrong. It needs a good slice on both sides of the "
            "repair",
        )
        self.map.clicked.connect(self.map_toggled)
        self.sentence = wrapped()
        self.bar, self.scale = QLabel(), wrapped()
        self.bar.setPixmap(_ramp())
        self.bar.setToolTip("Colours of the expected error. They are the same for all slices")
        self.content.add(self.map, self.bar, self.scale, self.sentence)

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        self.map.setChecked(state.error_map)
        enable(self.map, state.has_result)
        shown = state.error_map and state.error_end > 0
        end, middle = f"{state.error_end:g}", f"{state.error_end / 2:g}"
        self.scale.setText(f"From 0 over {middle} to {end} grey values and more. Blue: unknown.")
        for widget in (self.bar, self.scale):
            widget.setVisible(shown)
        say(self.sentence, state.expected_error or "Nothing on this slice is synthetic.")


def _ramp() -> QPixmap:
    """The colours of the map over mid grey, from good to bad."""
    colours = coloured(np.linspace(0, 1, 240)[None].repeat(12, axis=0), 1.0)
    mixed = 0.5 * (1 - colours[..., 3:]) + colours[..., :3] * colours[..., 3:]
    return pixmap((255 * mixed).round().astype(np.uint8))
