"""The "Marks" layer: shapes drawn by hand, turned into outlines of regions and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_ssan.stack.region import Region, outline_key
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.shared.colours import MARKED
from napari_ssan.widgets.shared.layers import (
    made_for,
    owner_of,
    placement,
    unwrap,
    use_of,
    way_to_data_of,
)

if TYPE_CHECKING:
    from napari.layers import Image


Outline = tuple[tuple[float, float], ...]

NAME = "Marks"
LASSO = "add_polygon_lasso"
#: Vertices that an ellipse becomes.
ELLIPSE = 96
#: Outlines are drawn this wide, as a share of the section.
EDGE = 1 / 800
#: Outlines are drawn so many at a time, since napari takes some milliseconds for each.
AT_ONCE = 20
#: Milliseconds until the next, while the user draws a shape.
PAUSE = 200


class MarksLayer:
    """Keeps the outlines on a Shapes layer and a set of regions alike.

    The layer takes over the place of the marked image in the world.
    """

    #: Outlines by key, (section, vertices), that were not there before.
    drawn = Signal(object)
    #: Keys of outlines that are not there any more.
    erased = Signal(object)
    #: A sentence about shapes that do not count.
    refused = Signal(str)
    #: Drawing began or ended.
    drawing_changed = Signal()

    def __init__(self, viewer: Any, image: Image, stack: SliceStack) -> None:
        self.viewer = viewer
        self.image = image
        self.stack = stack
        self.layer: Any = None
        self._known: set[str] = set()
        #: Of these, the ones that are not drawn yet.
        self._waiting: dict[str, tuple[int, Outline]] = {}
        self._refused: set[str] = set()
        self._silent = self._hidden = False
        self._timed = self._unfinished = False

    @property
    def drawing(self) -> bool:
        """Whether the next stroke in the viewer draws a region."""
        return (
            self.layer is not None
            and self.viewer.layers.selection.active == self.layer
            and str(self.layer.mode).startswith("add_")
        )

    def has(self, key: str) -> bool:
        """Whether an outline is on the layer."""
        return key in self._known

    def draw(self, on: bool) -> None:
        """Take up the lasso, or put it down and go back to the image."""
        if on:
            self._ensure()
            self.layer.visible = True
            self.viewer.layers.selection.active = self.layer
            self.layer.mode = LASSO
        elif self.layer is not None:
            self.layer.mode = "pan_zoom"
            if self.viewer.layers.selection.active == self.layer:
                self.viewer.layers.selection.active = self.image
        self.drawing_changed.emit()

    def hide(self, on: bool) -> None:
        """Hide the layer, or show it again if this is what hid it."""
        if self.layer is not None and (self.layer.visible if on else self._hidden):
            self._hidden = on
            self.layer.visible = not on

    def show(self, regions: Mapping[str, tuple[int, Region]]) -> None:
        """Draw the outlines of regions that are not drawn yet: some now, the rest soon."""
        outlines = {
            key: (z, region.outline)
            for key, (z, region) in regions.items()
            if region.outline is not None
        }
        if not outlines:
            return
        self._ensure()  # a layer that is taken up may have some of them already
        new = {key: outline for key, outline in outlines.items() if key not in self._known}
        if not new:
            return
        self._known |= set(new)
        self._waiting |= new
        if not self._timed:
            self._draw_some()

    def erase(self, keys: Iterable[str]) -> None:
        """Remove the shapes of regions."""
        gone = set(keys) & self._known
        self._known -= gone
        for key in gone & set(self._waiting):
            del self._waiting[key]
            gone.remove(key)
        if self.layer is None or not gone:
            return
        entries = enumerate(self._entries(set()))
        indices = [n for n, entry in entries if entry and outline_key(*entry) in gone]
        self._quietly(lambda: self.layer.remove(indices))

    def forget_layer(self) -> None:
        """Let go of the layer, which was deleted; the marks stay, and are drawn on the next one."""
        self._disconnect()
        self.layer = None
        self._known, self._waiting = set(), {}
        self.drawing_changed.emit()

    def close(self) -> None:
        """Let go of the layer, which stays."""
        self._waiting = {}
        if self.layer is not None and self.layer in self.viewer.layers:
            self.layer.mode = "pan_zoom"
        self._disconnect()

    def sync(self) -> None:
        """Compare the shapes with what is known of them, and say what has changed."""
        if self.layer is None or self._silent:
            return
        shapes = self._shapes()
        fresh = {key: found for key, found in shapes.items() if key not in self._known}
        gone = self._known - set(shapes) - set(self._waiting)
        self._known = set(shapes) | set(self._waiting)
        if gone:
            self.erased.emit(gone)
        if fresh:
            self.drawn.emit(fresh)

    def _draw_some(self) -> None:
        """Draw some of the outlines that wait, and leave the rest until the window has a moment."""
        self._timed = False
        if self.layer is None or not self._waiting:
            return
        drawing = self.drawing and self._unfinished
        if not drawing:
            some = dict(islice(self._waiting.items(), AT_ONCE))
            for key in some:
                del self._waiting[key]
            way = way_to_data_of(self.layer, self.image)
            polygons = [way(self._points(z, outline)) for z, outline in some.values()]
            self._quietly(lambda: self.layer.add_polygons(polygons))
        if self._waiting:
            self._timed = True
            QTimer.singleShot(PAUSE if drawing else 0, self._draw_some)

    def _ensure(self) -> None:
        if self.layer is not None:
            return
        for layer in self.viewer.layers:
            if self._suits(layer):
                self._connect(layer)
                self.sync()
                return
        active = self.viewer.layers.selection.active
        self._connect(
            self.viewer.add_shapes(
                ndim=self.image.ndim,
                name=NAME,
                edge_color=MARKED,
                face_color="transparent",  # a tint would lie on repaired pixels, too
                edge_width=max(0.7, EDGE * max(self.stack.shape[1:])),
                metadata=made_for(self.image),
                **placement(self.image),
            )
        )
        if active is not None:
            self.viewer.layers.selection.active = active

    def _suits(self, layer: Any) -> bool:
        """Whether a layer is one of marks of this image, made here or by the user's hand."""
        if not isinstance(unwrap(layer), Shapes) or layer.ndim != self.image.ndim:
            return False
        if use_of(layer):  # such as the outline of a suggestion
            return False
        owner = owner_of(layer)
        return owner == self.image.unique_id or (owner is None and layer.name == NAME)

    def _connect(self, layer: Any) -> None:
        self.layer = layer
        layer.events.data.connect(self._on_data)
        layer.events.mode.connect(self._on_mode)

    def _disconnect(self) -> None:
        if self.layer is not None:
            self.layer.events.data.disconnect(self._on_data)
            self.layer.events.mode.disconnect(self._on_mode)

    def _on_data(self, event: object) -> None:
        action = str(getattr(event, "action", "")).lower()
        if not self._silent:
            self._unfinished = action == "adding"
        if action in ("added", "removed", "changed"):
            self.sync()

    def _on_mode(self, event: object = None) -> None:
        self.drawing_changed.emit()

    def _quietly(self, change: Any) -> None:
        self._silent = True
        try:
            change()
        finally:
            self._silent = False

    def _shapes(self) -> dict[str, tuple[int, Outline]]:
        complaints: set[str] = set()
        entries = self._entries(complaints)
        for sentence in sorted(complaints - self._refused):
            self.refused.emit(sentence)
        self._refused = complaints
        return {outline_key(*entry): entry for entry in entries if entry is not None}

    def _entries(self, complaints: set[str]) -> list[tuple[int, Outline] | None]:
        """Section and outline of each shape; None for those that do not count."""
        pairs = zip(self.layer.data, self.layer.shape_type, strict=True)
        way = way_to_data_of(self.image, self.layer)
        return [self._entry(vertices, str(kind), complaints, way) for vertices, kind in pairs]

    def _entry(
        self,
        vertices: npt.NDArray[np.float64],
        kind: str,
        complaints: set[str],
        way: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    ) -> tuple[int, Outline] | None:
        """Section and outline, in pixels of the image, of a shape."""
        if kind in ("line", "path"):
            complaints.add(
                "Lines and paths enclose nothing, so they do not count: draw a closed shape "
                "(lasso, polygon, rectangle or ellipse)."
            )
            return None
        if kind == "ellipse":
            vertices = ellipse(vertices)
        points = way(vertices)
        along = points[:, self.stack.z_axis]
        z = int(np.round(along.mean()))
        if np.ptp(along) > 0.5:
            complaints.add("A shape that lies across several slices does not count.")
            return None
        if not 0 <= z < len(self.stack):
            complaints.add("A shape outside the stack does not count.")
            return None
        plane = points[:, [self.stack.y_axis, self.stack.x_axis]]
        return z, tuple((float(y), float(x)) for y, x in plane)

    def _points(self, z: int, outline: Outline) -> npt.NDArray[np.float64]:
        """Vertices of an outline in pixels of the image, (vertices, ndim)."""
        points = np.zeros((len(outline), self.image.ndim))
        points[:, self.stack.z_axis] = z
        points[:, [self.stack.y_axis, self.stack.x_axis]] = outline
        return points


def ellipse(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Polygon of an ellipse.

    Parameters
    ----------
    corners : ndarray, (4, ndim)
        Of the box around it, in order.

    Returns
    -------
    ndarray, (96, ndim)
    """
    centre = corners.mean(axis=0)
    across, down = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, ELLIPSE, endpoint=False)[:, None]
    points: npt.NDArray[np.float64] = centre + np.cos(angle) * across + np.sin(angle) * down
    return points
