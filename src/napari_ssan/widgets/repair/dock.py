"""The dock widget "Repair slice", as napari makes it."""

from typing import TYPE_CHECKING

from napari_ssan.widgets.repair.controller import RepairController
from napari_ssan.widgets.shared.dock import Dock

if TYPE_CHECKING:
    import napari


class RepairDock(Dock):
    """Mark broken slices, repair them, look, export.

    Closing it, or the viewer, stops a repair that runs and keeps what is done.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that it works in.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__("Repair slice", RepairController(napari_viewer))
