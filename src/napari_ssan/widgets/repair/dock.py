"""The dock widget "Repair slice", which napari makes."""

from typing import TYPE_CHECKING

from napari_ssan.widgets.repair.controller import RepairController
from napari_ssan.widgets.shared.dock import Dock

if TYPE_CHECKING:
    import napari


class RepairDock(Dock):
    """Mark broken slices, repair them, compare, export.

    Closing the dock or the viewer stops a running repair and keeps its finished slices.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        controller = RepairController(napari_viewer)
        super().__init__("Repair slice", controller.view, controller.close)
        self.controller = controller
