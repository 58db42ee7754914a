"""The images of a viewer, and which one of them is chosen: by the list in a dock, or the viewer.

Each dock has a `Stacks` of its own, and adds what it does with the chosen one. Images that were
made for another one, such as a repaired layer, are not listed while that is in the viewer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from psygnal import Signal, SignalInstance

from napari_ssan.errors import BadInput
from napari_ssan.widgets.shared.layers import is_image, names_of, owner_of, stack_of, voxel_text
from napari_ssan.widgets.shared.state import EMPTY

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image
    from napari.utils.events import EventEmitter

    from napari_ssan.stack.sections import SliceStack


class Stacks:
    """Follows the layers of a viewer from :meth:`follow` to :meth:`close`.

    Attributes
    ----------
    layers : list of Image layers
        What there is to choose from.
    layer : Image layer or None
        Which one is chosen.
    stack : SliceStack or None
        Its stack; None if it is not a stack.
    refusal : str
        Why it is not a stack, and what to do; else empty.
    """

    #: Another layer is chosen.
    chosen = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layers: list[Image] = []
        self.layer: Image | None = None
        self.stack: SliceStack | None = None
        self.refusal = EMPTY
        layers = viewer.layers
        self._events: list[tuple[EventEmitter | SignalInstance, Callable[..., None]]] = [
            (layers.events.inserted, self._on_layers),
            (layers.events.removed, self._on_layers),
            (layers.selection.events.active, self._on_active),
        ]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(str(layer.name) for layer in self.layers)

    @property
    def index(self) -> int:
        """Index of the chosen image; -1 if there is none."""
        return self.layers.index(self.layer) if self.layer in self.layers else -1

    @property
    def info(self) -> str:
        """Shape, voxel size and data type of the stack."""
        if self.stack is None or self.layer is None:
            return ""
        shape = " × ".join(map(str, self.stack.source_shape))
        return f"shape {shape}\nvoxel {voxel_text(self.layer)}\n{self.stack.dtype}"

    def follow(self) -> None:
        """Read the layers of the viewer for the first time, and follow them from now on."""
        for event, callback in self._events:
            event.connect(callback)
        self._on_layers()
        self._on_active()

    def choose(self, index: int) -> None:
        """Choose a layer by its index, also in the viewer."""
        layer = self.layers[index]
        self._viewer.layers.selection.active = layer
        self._choose(layer)

    def close(self) -> None:
        """Stop following the viewer."""
        for event, callback in self._events:
            event.disconnect(callback)

    def _choose(self, layer: Image | None) -> None:
        self.layer, self.stack, self.refusal = layer, None, ""
        if layer is None:
            self.refusal = EMPTY
        else:
            try:
                self.stack = stack_of(layer)
            except BadInput as error:
                self.refusal = str(error)
        self.chosen.emit()

    def _on_layers(self, event: object = None) -> None:
        layers = list(self._viewer.layers)
        ids = {name for layer in layers for name in names_of(layer)}
        self.layers = [each for each in layers if is_image(each) and owner_of(each) not in ids]
        self._on_listed()
        if self.layer not in self.layers:
            self._choose(self.layers[-1] if self.layers else None)

    def _on_listed(self) -> None:
        """Follow a change of the list, before another layer is chosen."""

    def _on_active(self, event: object = None) -> None:
        active = self._viewer.layers.selection.active
        if active in self.layers and active != self.layer:
            self._choose(active)
