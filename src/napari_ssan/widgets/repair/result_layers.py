"""The result in the viewer: the repaired layer over the original, and what of it is synthetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from napari.layers import Image
from napari.utils import Colormap
from psygnal import Signal

from napari_ssan.engine.expected_error import COLOURS, UNKNOWN, scale_end
from napari_ssan.engine.repaired import TINT, RepairedStack, Slot, SyntheticPixels
from napari_ssan.session.session import RepairSession
from napari_ssan.stack.lazy import LARGEST_ARRAY, Guarded, LazyVolume
from napari_ssan.stack.marks import Marks
from napari_ssan.widgets.repair.pyramid import Pyramid
from napari_ssan.widgets.shared.layers import (
    METADATA,
    full_resolution,
    go_to,
    is_made_for,
    look,
    made_for,
    owner_of,
    placement,
    section_on_screen,
    shows,
    unwrap,
    view_objection,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel


#: What may be shown over the result: which pixels are synthetic, how wrong they are likely to be.
Overlay = Literal["synthetic", "error"]


class ResultLayers:
    """Layer of the repaired stack, and overlays that tell about its pixels.

    The layer of the original, `image`, is not touched.
    """

    #: What is shown has changed: a layer came or went, before or after.
    changed = Signal()

    def __init__(self, viewer: ViewerModel, image: Image, session: RepairSession) -> None:
        self.viewer = viewer
        self.image = image
        self.session = session
        self.layer: Any = None
        self.overlays: dict[Overlay, Any] = {}
        self._hidden_in_3d = False
        # As the layer shows them: the session may be ahead of it.
        self._slots = session.repaired.slots
        self._earlier = Marks()
        self._found: Any = None
        self.pyramid = Pyramid(viewer, image, session)

    @property
    def has_synthetic(self) -> bool:
        """Whether there is anything for the overlay of synthetic pixels to show."""
        return self.layer is not None or bool(self._earlier)

    @property
    def shown(self) -> bool:
        """Whether the repaired stack is on screen, rather than the original."""
        return self.layer is not None and bool(self.layer.visible)

    @property
    def synthetic(self) -> bool:
        """Whether anything of the repaired stack is synthetic."""
        repaired = self.session.repaired
        return any(repaired.patches(slot) for slot in repaired.slots)

    @property
    def longer(self) -> bool:
        """Whether it has sections that the original has not."""
        return len(self.session.repaired.slots) != len(self.session.stack)

    @property
    def layers(self) -> list[Any]:
        """Those that are in the viewer: the result, and what lies over it."""
        return [*([] if self.layer is None else [self.layer]), *self.overlays.values()]

    def adopt(self) -> bool:
        """Take over a result that an earlier dock left in the viewer; whether there is one."""
        for layer in self.viewer.layers:
            if not isinstance(unwrap(layer), Image):  # shapes may be empty, and have no first one
                continue
            data = full_resolution(unwrap(layer).data)
            ours = isinstance(data, Guarded) and isinstance(data.volume, RepairedStack)
            if ours and owner_of(layer) == self.image.unique_id:
                layer.data = self.pyramid.repaired
                self._own(layer)
                return True
        return False

    def adopt_overlay(self, earlier: Marks) -> None:
        """Take over the overlay that the reader made of what was synthetic before (`earlier`)."""
        self._earlier = earlier
        for layer in self.viewer.layers:
            if shows(layer) == "synthetic" and is_made_for(layer, self.image):
                if "synthetic" not in self.overlays:
                    layer.data = self.pyramid.sampled(self._synthetic())
                    self._found = self.overlays["synthetic"] = layer
                    self.changed.emit()
                return

    def renew(self) -> None:
        """Read again what is in the file, after that has changed."""
        self.image.refresh()
        if "synthetic" in self.overlays:
            self.overlays["synthetic"].data = self.pyramid.sampled(self._synthetic())
        self.changed.emit()

    def ensure(self) -> None:
        """Add the layer above the original; what is selected stays selected."""
        if self.layer is not None:
            return
        layer = self._insert(
            Image(
                self.pyramid.repaired,
                name=f"{self.image.name} [repaired]",
                multiscale=bool(self.pyramid.levels),
                metadata=self._metadata(),
                **look(self.image),
                **placement(self.image),
            ),
            above=self.image,
        )
        self._own(layer)

    def _own(self, layer: Any) -> None:
        self.layer = layer
        self._slots = self.session.repaired.slots
        layer.events.visible.connect(self._on_visible)
        self.guard_3d()
        self.changed.emit()

    def show_overlay(self, what: Overlay, on: bool) -> None:
        """Add an overlay, or take it away."""
        if on and what not in self.overlays:
            if what == "error":
                self.ensure()
            made = self._tint() if what == "synthetic" else self._glow()
            self.overlays[what] = self._insert(made, above=self.layer or self.image)
            self.overlays[what].visible = self.shown or self.layer is None
            self.guard_3d()
        elif not on and what in self.overlays:
            overlay = self.overlays.pop(what)
            if overlay in self.viewer.layers:
                self.viewer.layers.remove(overlay)

    def before(self, on: bool) -> None:
        """Show the original in place of the repaired stack, at the same section.

        A repaired layer that was deleted comes back when it is asked for.
        """
        if self.layer is None and self.synthetic and not on:
            self.ensure()
        if self.layer is None or self.shown != on:
            return
        slot = self.slot_on_screen()
        self.layer.visible = not on
        if slot is not None and self.longer:
            self.go_to(slot)

    def slot_on_screen(self) -> Slot | None:
        """Give the section that is shown: of the repaired stack if it is on screen."""
        layer, slots = self._on_screen()
        z = section_on_screen(self.viewer, layer, self.session.stack.z_axis, len(slots))
        return None if z is None else slots[z]

    def objection(self) -> str:
        """Why slices cannot be marked in the present view, and what to do; empty if they can."""
        layer, slots = self._on_screen()
        return view_objection(self.viewer, layer, self.session.stack, len(slots))

    def go_to(self, slot: Slot) -> None:
        """Move the slider to a section, or to the one before it where it is not shown."""
        layer, _ = self._on_screen()
        go_to(self.viewer, layer, self.session.stack.z_axis, self.index_of(slot))

    def index_of(self, slot: Slot) -> int:
        """Where in what is shown a section lies, or the one before it where it is not shown."""
        _, slots = self._on_screen()
        return slots.index(slot if slot in slots else (slot[0], 0))

    def _on_screen(self) -> tuple[Any, list[Slot]]:
        """Give the layer that is shown, and what each of its sections is.

        All ways between slider, layer and source lead through here.
        """
        if self.shown:
            return self.layer, self._slots
        return self.image, [(z, 0) for z in range(len(self.session.stack))]

    def refresh(self) -> None:
        """Read again what is on screen, after the repaired stack has changed.

        Where sections came or went, the slider follows the one that was on screen.
        """
        slot = self.slot_on_screen() if self.shown else None
        self._slots = self.session.repaired.slots
        for layer in self.layers:
            data = unwrap(layer.data)
            full = full_resolution(data)
            if tuple(layer.extent.data[1] - layer.extent.data[0] + 1) != full.shape:
                layer.data = data  # sections came or went
            else:
                layer.refresh(thumbnail=False, extent=False)
        if "error" in self.overlays:
            self._fit_glow(self.overlays["error"])
        if self.layer is not None:
            self.layer.metadata = self._metadata()
            self.guard_3d()
        if slot is not None and slot != self.slot_on_screen():
            self.go_to(slot)

    def remove_if_empty(self) -> None:
        """Take the layer away if nothing in it is synthetic."""
        if self.layer is None or self.synthetic:
            return
        self._drop_overlays()
        layer, self.layer = self.layer, None
        if layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
        self.changed.emit()

    def forget(self, removed: Any) -> None:
        """Let go of a layer that the user has deleted."""
        self.overlays = {what: one for what, one in self.overlays.items() if one != removed}
        if self.layer is not None and removed == self.layer:
            self.layer.events.visible.disconnect(self._on_visible)
            self.layer = None
            self._drop_overlays()
        self.changed.emit()

    def guard_3d(self) -> str:
        """Hide what is too large for a 3-D view; returns a sentence if it did."""
        if self.layer is None:
            return ""
        if self.viewer.dims.ndisplay == 3:
            if self.pyramid.nbytes > LARGEST_ARRAY and self.layer.visible:
                self._hidden_in_3d = True
                for layer in self.layers:
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
        """Let go of the layers; the result stays, and the overlay of the reader; others go."""
        if self._found is not None and self.overlays.get("synthetic") == self._found:
            del self.overlays["synthetic"]
        self._drop_overlays()
        if self.layer is not None:
            self.layer.events.visible.disconnect(self._on_visible)

    def _on_visible(self, event: object = None) -> None:
        for overlay in self.overlays.values():
            overlay.visible = self.layer.visible
        self.changed.emit()

    def _drop_overlays(self) -> None:
        for what in tuple(self.overlays):
            self.show_overlay(what, False)

    def _tint(self) -> Image:
        """Overlay of what is synthetic."""
        colours = Colormap(TINT["colormap"], name="synthetic")
        return self._overlay(self._synthetic(), "synthetic pixels", **TINT | {"colormap": colours})

    def _synthetic(self) -> SyntheticPixels:
        return SyntheticPixels(self.session.repaired, self._earlier)

    def _glow(self) -> Image:
        """Overlay of the expected error: clear where a pixel is real, or good."""
        volume = self.session.repaired.expected_error
        places, colours = zip(*COLOURS, strict=True)
        ramp = Colormap(colours, name="expected error", controls=places, nan_color=UNKNOWN)
        layer = self._overlay(
            volume, "expected error", colormap=ramp, blending="translucent_no_depth", opacity=1.0
        )
        if hasattr(layer, "colorbar"):  # not in napari before 0.6
            layer.colorbar.position = "bottom_right"  # the caption is at the top
            layer.colorbar.visible = True
        self._fit_glow(layer)
        return layer

    def _overlay(self, volume: LazyVolume, name: str, **look: Any) -> Image:
        return Image(
            self.pyramid.sampled(volume),
            name=f"{self.image.name} [{name}]",
            metadata=made_for(self.image),
            **TINT | look | {"multiscale": bool(self.pyramid.levels)},
            **placement(self.image),
        )

    def _fit_glow(self, layer: Any) -> None:
        """Have the same colours stand for the same errors in all sections."""
        end = scale_end(self.session.repaired)
        if layer.contrast_limits_range[1] != end:
            layer.contrast_limits_range = (0, end)
            layer.contrast_limits = (0, end)

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
