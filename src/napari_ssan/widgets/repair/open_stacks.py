"""Which stacks the viewer holds, which of them are open for repair, and which one is chosen.

Follows the viewer; knows no view. A stack stays open, and its work goes on, while another one is
chosen: only deleting its layer closes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_ssan.errors import BadInput
from napari_ssan.widgets.repair.stack_controller import StackController
from napari_ssan.widgets.repair.state import How
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.layers import is_image, owner_of, stack_of
from napari_ssan.widgets.shared.state import EMPTY

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_ssan.session.kept_method import KeptMethod
    from napari_ssan.workers import TaskQueue


class OpenStacks:
    """Makes a :class:`StackController` for each stack that is chosen, and keeps it.

    Parameters
    ----------
    viewer : napari viewer
        Where the layers are.
    quick, slow, kept : TaskQueue, TaskQueue, KeptMethod
        As for :class:`StackController`.

    Attributes
    ----------
    layers : list of Image layers
        What there is to choose from.
    chosen : Image layer or None
        Which one is.
    current : StackController or None
        Of the chosen layer; None if that is no stack.
    refusal : str
        Why it is none, and what to do; else empty.
    """

    #: The dock no longer shows what is so.
    changed = Signal()
    #: Another stack is chosen.
    switched = Signal()
    #: The work on a stack has come further.
    progressed = Signal()
    #: What a repair had to say; all of it so far.
    noted = Signal(str)
    #: As :attr:`StackController.timed`.
    timed = Signal(How, float)

    def __init__(
        self, viewer: ViewerModel, quick: TaskQueue, slow: TaskQueue, kept: KeptMethod
    ) -> None:
        self._viewer, self._work = viewer, (quick, slow, kept)
        self.layers: list[Image] = []
        self.chosen: Image | None = None
        self.current: StackController | None = None
        self.refusal = EMPTY
        self._opened: dict[Image, StackController] = {}
        layers, dims = viewer.layers, viewer.dims
        self._events = [
            (layers.events.inserted, self._on_layers),
            (layers.events.removed, self._on_removed),
            (layers.selection.events.active, self._on_active),
            (dims.events.point, self._on_dims),
            (dims.events.order, self._on_dims),
            (dims.events.ndisplay, self._on_ndisplay),
        ]
        for event, callback in self._events:
            event.connect(callback)
        self._on_layers()
        self._on_active()

    def choose(self, layer: Image | None) -> None:
        """Choose a layer, and open it if it is a stack."""
        self.chosen, self.current, self.refusal = layer, None, ""
        self.switched.emit()
        if layer is None:
            self.refusal = EMPTY
        elif layer in self._opened:
            self.current = self._opened[layer]
        else:
            try:
                stack = stack_of(layer)
            except BadInput as error:
                self.refusal = str(error)
            else:
                self.current = self._opened[layer] = self._open(layer, stack)
        self.changed.emit()

    def activate(self, index: int) -> None:
        """Choose a layer by its place in :attr:`layers`, and select it in the viewer."""
        layer = self.layers[index]
        self._viewer.layers.selection.active = layer
        self.choose(layer)

    def close(self, viewer_is_gone: bool) -> None:
        """Stop the work on all stacks, and let go of the viewer if it is still there."""
        if not viewer_is_gone:
            for event, callback in self._events:
                event.disconnect(callback)
        for opened in self._opened.values():
            opened.close(viewer_is_gone)

    def _open(self, layer: Image, stack: Any) -> StackController:
        opened = StackController(self._viewer, layer, stack, *self._work)
        opened.changed.connect(lambda: self.changed.emit())
        opened.work.progressed.connect(lambda: self.progressed.emit())
        opened.noted.connect(lambda text: self.noted.emit(text))
        opened.timed.connect(lambda how, rate: self.timed.emit(how, rate))
        return opened

    def _on_layers(self, event: object = None) -> None:
        ids = {layer.unique_id for layer in self._viewer.layers}
        self.layers = [
            layer for layer in self._viewer.layers if is_image(layer) and owner_of(layer) not in ids
        ]
        if self.chosen not in self.layers:
            self.choose(self.layers[-1] if self.layers else None)
        self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        removed: Layer = event.value
        for image, opened in list(self._opened.items()):
            if removed == image:
                opened.close()
                del self._opened[image]
            elif removed == opened.marks.layer:
                opened.marks.forget_layer()
            elif removed in opened.results.layers:
                opened.results.forget(removed)
        self._on_layers()

    def _on_active(self, event: object = None) -> None:
        active = self._viewer.layers.selection.active
        if active in self.layers and active != self.chosen:
            self.choose(active)
        self.changed.emit()

    def _on_dims(self, event: object = None) -> None:
        self.changed.emit()

    def _on_ndisplay(self, event: object = None) -> None:
        for opened in self._opened.values():
            sentence = opened.results.guard_3d()
            if sentence:
                messages.warn(sentence)
        self.changed.emit()
