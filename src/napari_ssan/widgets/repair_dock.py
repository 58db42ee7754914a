"""The dock widget "Repair slice", as napari makes it."""

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from napari_ssan.widgets.repair_controller import RepairController

if TYPE_CHECKING:
    import napari


class RepairDock(QWidget):  # type: ignore[misc]
    """Mark broken slices, repair them, look, export.

    Closing it, or the viewer, stops a repair that runs and keeps what is done.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that it works in.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.setWindowTitle("Repair slice")
        self.controller = RepairController(napari_viewer)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(self.controller.view)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(area)
        self.setMinimumWidth(320)
        self._was_docked = False
        # When the whole window goes: then there is nothing of the viewer left to touch.
        self.destroyed.connect(self.controller.stop)

    def event(self, event: QEvent) -> bool:
        """Notice when napari takes the dock out of its window: that is how it closes one."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parentWidget() is not None:
                self._was_docked = True
            elif self._was_docked:
                self.controller.close()
                self.deleteLater()
        return bool(super().event(event))

    def closeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Stop all work when it is closed as a window of its own."""
        self.controller.close()
        super().closeEvent(event)
