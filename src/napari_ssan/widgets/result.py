"""The result in the viewer: the repaired layer over the original, and what of it is synthetic."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image
from psygnal import Signal

from napari_ssan.engine.repaired import LARGEST_ARRAY, RepairedStack, Slot
from napari_ssan.engine.session import RepairSession
from napari_ssan.stack.sections import Array
from napari_ssan.widgets.layers import (
    METADATA,
    go_to,
    look,
    made_for,
    owner_of,
    placement,
    section_on_screen,
    unwrap,
)

#: Nothing, and a colour that no micrograph has.
OVERLAY = {"colors": [[0, 0, 0, 0], [1, 0, 0.8, 1]], "name": "synthetic"}


class Shown(RepairedStack):
    """The repaired stack as its layer reads it: in a 3-D view, nothing too large for memory.

    A plugin hears of a 3-D view only after napari has sliced its layers for it, so
    the layer cannot be hidden in time; instead it is given a single voxel.

    Parameters
    ----------
    repaired : RepairedStack
        Shares its patches: what is laid over one is seen through the other.
    in_3d : callable
        Whether the view is in 3-D.
    """

    def __init__(self, repaired: RepairedStack, in_3d: Callable[[], bool]) -> None:
        self.__dict__ = repaired.__dict__
        self._in_3d = in_3d

    def __getitem__(self, index: Any) -> Array:
        if self._in_3d() and asks_for_too_much(self, index):
            return np.zeros((1,) * self.ndim, self.dtype)
        return super().__getitem__(index)


class SyntheticPixels:
    """The mask of synthetic pixels, read like an array of uint8: 1 where one is.

    Parameters
    ----------
    shown : Shown
        The repaired stack.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, shown: Shown) -> None:
        self._shown = shown

    @property
    def shape(self) -> tuple[int, ...]:
        """As the repaired stack's."""
        return self._shown.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._shown.ndim

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self._shown.size

    def __len__(self) -> int:
        return len(self._shown)

    def __getitem__(self, index: Any) -> npt.NDArray[np.uint8]:
        if self._shown._in_3d() and asks_for_too_much(self, index):
            return np.zeros((1,) * self.ndim, np.uint8)
        return self._shown.synthetic(index).view(np.uint8)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Any:
        array = self[()]
        return array if dtype is None else array.astype(dtype, copy=False)


def asks_for_too_much(data: Any, index: Any) -> bool:
    """Whether an index, a tuple of slices or whole numbers, spans more than a GiB."""
    parts = index if isinstance(index, tuple) else (index,)
    spans = [
        len(range(length)[part]) if isinstance(part, slice) else 1
        for length, part in zip(data.shape, parts, strict=False)
    ]
    pixels = np.prod([*spans, *data.shape[len(parts) :]], dtype=object)
    return bool(pixels * data.dtype.itemsize > LARGEST_ARRAY)


class ResultLayers:
    """Layer of the repaired stack, and overlay of its synthetic pixels.

    Parameters
    ----------
    viewer : napari viewer
        Where they are shown.
    image : Image layer
        The original, which is not touched.
    session : RepairSession
        The repair.
    """

    #: What is shown has changed: a layer came or went, before or after.
    changed = Signal()

    def __init__(self, viewer: Any, image: Any, session: RepairSession) -> None:
        self.viewer = viewer
        self.image = image
        self.session = session
        self._shown = Shown(session.repaired, lambda: bool(viewer.dims.ndisplay == 3))
        self.layer: Any = None
        self.overlay: Any = None
        self._hidden_in_3d = False

    @property
    def shown(self) -> bool:
        """Whether the repaired stack is on screen, rather than the original."""
        return self.layer is not None and bool(self.layer.visible)

    @property
    def longer(self) -> bool:
        """Whether it has sections that the original has not."""
        return len(self.session.repaired.slots) != len(self.session.stack)

    def adopt(self) -> bool:
        """Take over a result that an earlier dock left in the viewer; whether there is one."""
        for layer in self.viewer.layers:
            data = unwrap(layer).data
            if isinstance(data, RepairedStack) and owner_of(layer) == self.image.unique_id:
                layer.data = self._shown
                self._own(layer)
                return True
        return False

    def ensure(self) -> None:
        """Add the layer above the original; what is selected stays selected."""
        if self.layer is not None:
            return
        layer = self._insert(
            Image(
                self._shown,
                name=f"{self.image.name} [repaired]",
                multiscale=False,
                metadata=self._metadata(),
                **look(self.image),
                **placement(self.image),
            ),
            above=self.image,
        )
        self._own(layer)

    def _own(self, layer: Any) -> None:
        self.layer = layer
        layer.events.visible.connect(self._on_visible)
        self.guard_3d()
        self.changed.emit()

    def show_synthetic(self, on: bool) -> None:
        """Add the overlay of synthetic pixels, or take it away."""
        if on and self.overlay is None:
            from napari.utils import Colormap

            self.ensure()
            self.overlay = self._insert(
                Image(
                    SyntheticPixels(self._shown),
                    name=f"{self.image.name} [synthetic pixels]",
                    multiscale=False,
                    contrast_limits=(0, 1),
                    colormap=Colormap(**OVERLAY),
                    blending="translucent_no_depth",
                    interpolation2d="nearest",
                    opacity=0.35,
                    metadata=made_for(self.image),
                    **placement(self.image),
                ),
                above=self.layer,
            )
            self.overlay.visible = self.shown
            self.guard_3d()
        elif not on and self.overlay is not None:
            overlay, self.overlay = self.overlay, None
            if overlay in self.viewer.layers:
                self.viewer.layers.remove(overlay)

    def before(self, on: bool) -> None:
        """Show the original in place of the repaired stack, at the same section."""
        if self.layer is None or self.shown != on:
            return
        slot = self.slot_on_screen()
        self.layer.visible = not on
        if slot is not None and self.longer:
            self.go_to(slot)

    def slot_on_screen(self) -> Slot | None:
        """Give the section that is shown: of the repaired stack if it is on screen."""
        axis = self.session.stack.z_axis
        if not self.shown:
            z = section_on_screen(self.viewer, self.image, axis, len(self.session.stack))
            return None if z is None else (z, 0)
        slots = self.session.repaired.slots
        z = section_on_screen(self.viewer, self.layer, axis, len(slots))
        return None if z is None else slots[z]

    def go_to(self, slot: Slot) -> None:
        """Move the slider to a section."""
        axis = self.session.stack.z_axis
        slots = self.session.repaired.slots
        if self.shown and slot in slots:
            go_to(self.viewer, self.layer, axis, slots.index(slot))
        else:
            go_to(self.viewer, self.image, axis, slot[0])

    def refresh(self) -> None:
        """Read again what is on screen, after the repaired stack has changed."""
        for layer in (self.layer, self.overlay):
            if layer is None:
                continue
            data = unwrap(layer.data)
            if tuple(layer.extent.data[1] - layer.extent.data[0] + 1) != data.shape:
                layer.data = data  # sections came or went
            else:
                layer.refresh(thumbnail=False, extent=False)
        if self.layer is not None:
            self.layer.metadata = self._metadata()
            self.guard_3d()

    def remove_if_empty(self) -> None:
        """Take the layer away if nothing in it is synthetic."""
        repaired = self.session.repaired
        if self.layer is None or any(repaired.patches(slot) for slot in repaired.slots):
            return
        self.show_synthetic(False)
        layer, self.layer = self.layer, None
        if layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
        self.changed.emit()

    def forget(self, removed: Any) -> None:
        """Let go of a layer that the user has deleted."""
        if self.overlay is not None and removed == self.overlay:
            self.overlay = None
        if self.layer is not None and removed == self.layer:
            self.layer.events.visible.disconnect(self._on_visible)
            self.layer = None
            self.show_synthetic(False)
        self.changed.emit()

    def guard_3d(self) -> str:
        """Hide what is too large for a 3-D view; returns a sentence if it did."""
        if self.layer is None:
            return ""
        if self.viewer.dims.ndisplay == 3:
            if self.session.repaired.nbytes > LARGEST_ARRAY and self.layer.visible:
                self._hidden_in_3d = True
                for layer in self._layers():
                    layer.visible = False
                return (
                    "The repaired layer is hidden in 3-D, since all of it would have to be "
                    "loaded: it comes back in 2-D. Export it to OME-Zarr to see it in 3-D."
                )
        elif self._hidden_in_3d:
            self._hidden_in_3d = False
            self.layer.visible = True
        return ""

    def close(self) -> None:
        """Let go of the layers; the result stays, the overlay goes."""
        self.show_synthetic(False)
        if self.layer is not None:
            self.layer.events.visible.disconnect(self._on_visible)

    def _layers(self) -> list[Any]:
        return [layer for layer in (self.layer, self.overlay) if layer is not None]

    def _on_visible(self, event: Any = None) -> None:
        if self.overlay is not None:
            self.overlay.visible = self.layer.visible
        self.changed.emit()

    def _insert(self, layer: Any, above: Any) -> Any:
        layers = self.viewer.layers
        active = layers.selection.active
        at = layers.index(above) + 1 if above in layers else len(layers)
        layers.insert(at, layer)
        if active is not None:
            layers.selection.active = active
        return layers[layers.index(layer)]

    def _metadata(self) -> dict[str, Any]:
        """Give the original's, and what is synthetic now, which the writers know by themselves."""
        metadata = dict(unwrap(self.image.metadata))
        synthetic = self.session.repaired.provenance.model_dump(mode="json")
        ours = {**(metadata.get(METADATA) or {}), **made_for(self.image)[METADATA]}
        metadata[METADATA] = {**ours, "synthetic": synthetic}
        return metadata
