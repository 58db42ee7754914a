"""A dock widget of napari: it holds a view, joins its sisters, and lets its controller close.

napari closes a dock by taking it out of its window, which sends no close event. This is
why `event` is overridden beside `closeEvent`, and why `close` may be called twice.
"""

from collections.abc import Callable
from typing import TypeVar

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QCloseEvent, QShowEvent
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_ssan.widgets.shared.parts import Column


class Dock(Column):
    """Shows a view, and calls `close`, which lets go of the viewer, however it is closed."""

    def __init__(self, title: str, view: QWidget, close: Callable[[], object]) -> None:
        super().__init__()
        self.setWindowTitle(title)
        self._let_go, self._was_docked, self._joined = close, False, False
        self.add(view)
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

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Join the other docks of this plugin, when it is shown for the first time."""
        super().showEvent(event)
        if not self._joined:
            self._joined = True
            QTimer.singleShot(0, self._join)  # once napari has put it in its place

    def _join(self) -> None:
        """Share one place with the others, as tabs: on a small screen two have no room."""
        if not isalive(self):
            return
        own, window = parent_of(self, QDockWidget), parent_of(self, QMainWindow)
        if own is None or window is None:
            return
        for other in window.findChildren(Dock):
            place = parent_of(other, QDockWidget)
            if place is None or place is own or place.isFloating() or own.isFloating():
                continue
            if place.isVisible():
                window.tabifyDockWidget(place, own)
                own.raise_()
                return

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802
        """Notice when the dock is closed as a window of its own."""
        self._let_go()
        super().closeEvent(event)


W = TypeVar("W", bound=QWidget)


def parent_of(widget: QWidget, kind: type[W]) -> W | None:
    """Return the nearest of a widget's parents that is of a kind."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, kind):
        parent = parent.parentWidget()
    return parent
