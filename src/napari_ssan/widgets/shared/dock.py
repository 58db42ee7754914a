"""A dock widget of napari: it scrolls a view, and lets its controller close.

napari closes a dock by taking it out of its window, which sends no close event. This is
why `event` is overridden beside `closeEvent`, and why `close` may be called twice.
"""

from collections.abc import Callable

from qtpy.QtCore import QEvent
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QScrollArea, QWidget

from napari_ssan.widgets.shared.parts import Column


class Dock(Column):
    """Shows a view, and calls `close`, which lets go of the viewer, however it is closed."""

    def __init__(self, title: str, view: QWidget, close: Callable[[], object]) -> None:
        super().__init__()
        self.setWindowTitle(title)
        self._let_go, self._was_docked = close, False
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(view)
        self.add(area)
        self.setMinimumWidth(320)

    def event(self, event: QEvent | None) -> bool:
        """Notice when napari takes the dock out of its window."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parentWidget() is not None:
                self._was_docked = True
            elif self._was_docked:
                self._let_go()
                self.deleteLater()
        return bool(super().event(event))

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802
        """Notice when the dock is closed as a window of its own."""
        self._let_go()
        super().closeEvent(event)
