"""A dock widget as napari makes it: a view that scrolls, and a controller that is let go."""

from typing import Any

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget


class Dock(QWidget):  # type: ignore[misc]
    """Shows a controller's view, and closes the controller however the dock is closed.

    Parameters
    ----------
    title : str
        Of the dock.
    controller : object
        Has a ``view``, and ``close()``, which may be called more than once.
    """

    def __init__(self, title: str, controller: Any) -> None:
        super().__init__()
        self.setWindowTitle(title)
        self.controller = controller
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(controller.view)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(area)
        self.setMinimumWidth(320)
        self._was_docked = False

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
        """Let go of the viewer when it is closed as a window of its own."""
        self.controller.close()
        super().closeEvent(event)
