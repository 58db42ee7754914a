"""The stack to learn from: follows the layers of a viewer, and makes requests for training.

Only images and layers that a region may be drawn on are listed; layers that the repair dock
made are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from psygnal import Signal, SignalInstance

from napari_ssan.errors import BadInput
from napari_ssan.finetune.config import AIMS, FineTuneConfig, cores
from napari_ssan.widgets.fine_tune.backend import TrainingRequest
from napari_ssan.widgets.fine_tune.region import region_layers, window_finder
from napari_ssan.widgets.fine_tune.state import Settings
from napari_ssan.widgets.shared.layers import (
    earlier_repairs,
    go_to,
    is_image,
    owner_of,
    source_path,
    stack_of,
    voxel_text,
)
from napari_ssan.widgets.shared.sessions import SESSIONS
from napari_ssan.widgets.shared.state import EMPTY

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from napari.utils.events import Event, EventEmitter

    from napari_ssan.stack.sections import SliceStack

#: Events of Shapes and Labels layers after drawing.
DRAWN = ("data", "paint", "labels_update")


class StackChoice:
    """The chosen image layer, and the layers that a region may be drawn on.

    Parameters
    ----------
    viewer : ViewerModel
        Has the layers.

    Attributes
    ----------
    layers, regions : list of layer
        The images, and the layers with regions.
    layer : Image layer or None
        The chosen image.
    stack : SliceStack or None
        Its stack; None if it is not a stack.
    refusal : str
        Why it is not a stack, and what to do; else empty.
    """

    #: Another layer was chosen.
    chosen = Signal()
    #: The list of layers has changed.
    listed = Signal()
    #: The marks of the chosen stack, or the drawing of the region, have changed.
    drawn = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layers: list[Layer] = []
        self.regions: list[Layer] = []
        self.layer: Layer | None = None
        self.stack: SliceStack | None = None
        self.refusal = EMPTY
        self._watched: Layer | None = None
        self._strokes = 0
        layers = viewer.layers
        self._events: list[tuple[EventEmitter | SignalInstance, Callable[..., None]]] = [
            (layers.events.inserted, self._on_layers),
            (layers.events.removed, self._on_layers),
            (layers.selection.events.active, self._on_active),
            (SESSIONS.changed, self._on_marks),
        ]
        for event, callback in self._events:
            event.connect(callback)

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
        """Read the layers of the viewer for the first time."""
        self._on_layers()
        self._on_active()

    def choose(self, index: int) -> None:
        """Choose a layer by its index, also in the viewer."""
        layer = self.layers[index]
        self._viewer.layers.selection.active = layer
        self._choose(layer)

    def go_to(self, z: int) -> None:
        """Show a section."""
        if self.stack is not None and self.layer is not None:
            go_to(self._viewer, self.layer, self.stack.z_axis, z)

    def request(self, settings: Settings) -> tuple[TrainingRequest, Hashable]:
        """Make a request for training.

        Returns
        -------
        request : TrainingRequest
            What to learn, and from what.
        key : hashable
            Requests with the same key use the same slices.

        Raises
        ------
        BadInput
            If there is no stack to learn from.
        """
        if self.layer is None:
            raise BadInput(EMPTY)
        stack = stack_of(self.layer)  # again, in case the layer was given other data
        session = SESSIONS.of(self.layer)
        marks = None if session is None else session.marks
        region = self._region(settings.region)
        config = FineTuneConfig(
            base=settings.base,
            loss=AIMS[settings.aim],
            minutes=settings.minutes,
            share=settings.share,
            device=settings.device,
            style=settings.style,
            feature=settings.feature,
            balance=settings.balance,
        )
        request = TrainingRequest(
            config=config,
            threads=None if settings.separate else cores(),
            stack=stack,
            title=str(self.layer.name),
            path=source_path(self.layer),
            marks=marks,
            synthetic=earlier_repairs(self.layer).numbers,
            first=settings.first,
            last=settings.last,
            window=window_finder(region, self.layer, stack),
        )
        what = (self.layer.unique_id, id(stack.data), self._strokes)
        marked = None if marks is None else marks.to_json()
        where = None if region is None else region.unique_id
        key = (*what, marked, where, settings.first, settings.last, settings.base, settings.share)
        return request, key

    def watch(self, index: int) -> None:
        """Follow the drawing on a layer, by its index in the list of regions; 0 is none."""
        region = self._region(index)
        if region is self._watched:
            return
        self._connect_region(False)
        self._watched = region
        self._connect_region(True)

    def close(self) -> None:
        """Stop following the viewer."""
        for event, callback in self._events:
            event.disconnect(callback)
        self._connect_region(False)

    def _region(self, index: int) -> Layer | None:
        return self.regions[index - 1] if 0 < index <= len(self.regions) else None

    def _connect_region(self, on: bool) -> None:
        if self._watched is None:
            return
        for name in DRAWN:
            event = getattr(self._watched.events, name, None)
            if event is not None:
                (event.connect if on else event.disconnect)(self._on_drawn)

    def _choose(self, layer: Layer | None) -> None:
        self.layer, self.stack, self.refusal = layer, None, ""
        if layer is None:
            self.refusal = EMPTY
        else:
            try:
                self.stack = stack_of(layer)
            except BadInput as error:
                self.refusal = str(error)
        self.chosen.emit()

    def _on_layers(self, event: Event | None = None) -> None:
        layers = list(self._viewer.layers)
        ids = {layer.unique_id for layer in layers}
        self.layers = [each for each in layers if is_image(each) and owner_of(each) not in ids]
        self.regions = region_layers(self._viewer)
        self.listed.emit()
        if self.layer not in self.layers:
            self._choose(self.layers[-1] if self.layers else None)

    def _on_active(self, event: Event | None = None) -> None:
        active = self._viewer.layers.selection.active
        if active in self.layers and active != self.layer:
            self._choose(active)

    def _on_marks(self, key: object) -> None:
        if self.layer is not None and key == self.layer.unique_id:
            self.drawn.emit()

    def _on_drawn(self, event: Event | None = None) -> None:
        self._strokes += 1
        self.drawn.emit()
