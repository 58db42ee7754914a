"""Which stacks of the viewer are open for repair.

Knows no view. A stack stays open, and its work goes on, while another one is chosen: only
deleting its layer closes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_ssan.widgets.repair.stack_controller import StackController
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.stacks import Stacks

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_ssan.session.kept_method import KeptMethod
    from napari_ssan.workers import TaskQueue


class OpenStacks(Stacks):
    """Makes a :class:`StackController` for each stack that is chosen, and keeps it.

    `current` is that of the chosen layer; None if that is no stack.
    """

    #: The dock no longer shows what is so.
    changed = Signal()
    #: A StackController was made.
    opened = Signal(StackController)

    def __init__(
        self, viewer: ViewerModel, quick: TaskQueue, slow: TaskQueue, kept: KeptMethod
    ) -> None:
        super().__init__(viewer)
        self._work = quick, slow, kept
        self.current: StackController | None = None
        self._opened: dict[Image, StackController] = {}
        dims = viewer.dims.events
        self._events += [
            (dims.point, self._on_dims),
            (dims.order, self._on_dims),
            (dims.ndisplay, self._on_ndisplay),
        ]

    def close_all(self, viewer_is_gone: bool) -> None:
        """Stop the work on all stacks, and let go of the viewer if it is still there."""
        if not viewer_is_gone:
            self.close()
        for opened in self._opened.values():
            opened.close(viewer_is_gone)

    def _choose(self, layer: Image | None) -> None:
        self.current = None
        super()._choose(layer)
        if layer is not None and layer not in self._opened and self.stack is not None:
            opened = StackController(self._viewer, layer, self.stack, *self._work)
            self._opened[layer] = opened
            self.opened.emit(opened)
        self.current = None if layer is None else self._opened.get(layer)
        for each in self._opened.values():
            each.review.choose(each is self.current)
        self.changed.emit()

    def _on_layers(self, event: Any = None) -> None:
        if event is not None and event.type == "removed":
            self._let_go(event.value)
        super()._on_layers()
        for opened in self._opened.values():
            opened.record.adopt_overlay()
        self.changed.emit()

    def _let_go(self, removed: Layer) -> None:
        for image, opened in list(self._opened.items()):
            if removed == image:
                opened.close()
                del self._opened[image]
            elif removed == opened.marks.layer:
                opened.marks.forget_layer()
            elif removed in opened.results.layers:
                opened.results.forget(removed)

    def _on_active(self, event: object = None) -> None:
        super()._on_active()
        self.changed.emit()

    def _on_dims(self, event: object = None) -> None:
        self.changed.emit()

    def _on_ndisplay(self, event: object = None) -> None:
        for opened in self._opened.values():
            sentence = opened.results.guard_3d()
            if sentence:
                messages.warn(sentence)
        self.changed.emit()
