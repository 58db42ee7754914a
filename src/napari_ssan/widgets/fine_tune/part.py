"""The part of a stack that is learned from: what is drawn on a layer, and what is not marked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Shapes

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.session.journal import NewerFormat, read
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack, Window
from napari_ssan.widgets.shared.layers import owner_of, to_data_of, unwrap

#: Finds a window in a worker, where the layer may not be touched; None is the whole section.
FindWindow = Callable[[Flag], Window | None]


#: Pixels by which units and scales may have moved an edge.
ROUNDING = 1e-6


def region_layers(viewer: Any) -> list[Any]:
    """Layers of a viewer that a region may be drawn on; the repair dock's own are none."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(unwrap(layer), Shapes | Labels) and owner_of(layer) is None
    ]


def window_finder(region: Any, image: Any, stack: SliceStack) -> FindWindow:
    """Give a function that finds the rectangle around what is drawn on a layer.

    Parameters
    ----------
    region : Shapes or Labels layer or None
        What is drawn; None for the whole section.
    image : Image layer
        Whose pixels the rectangle is in.
    stack : SliceStack
        Its stack.

    Returns
    -------
    callable
        To be called in a worker. Raises BadInput if nothing is drawn there.
    """
    if region is None:
        return lambda cancel: None
    name, shape = str(region.name), stack.shape[1:]
    plane = [stack.y_axis, stack.x_axis]
    if isinstance(unwrap(region), Shapes):
        drawn = [np.asarray(unwrap(each), float) for each in region.data]
        points = to_data_of(image, region, np.concatenate(drawn))[:, plane] if drawn else None
        return lambda cancel: _window(points, shape, name)
    labels = unwrap(region.data[0] if region.multiscale else region.data)
    # Layers may lie anywhere in the world; what follows them into the worker is a matrix.
    corners = np.vstack([np.zeros(region.ndim), np.eye(region.ndim)])
    placed = to_data_of(image, region, corners)[:, plane]
    origin, matrix = placed[0], placed[1:] - placed[0]

    def find(cancel: Flag) -> Window | None:
        box = _label_corners(labels, cancel)
        return _window(None if box is None else box @ matrix + origin, shape, name)

    return find


def saved_marks(stack: SliceStack, source: Path | None) -> Marks:
    """Return the marks that the repair dock has saved for a stack; none if it has not.

    Raises
    ------
    BadInput
        If they cannot be read.
    """
    try:
        saved = read(Sidecar.of(stack, source).folder, stack)
        if saved is not None and saved.damage:
            raise BadInput(saved.damage)
    except OSError as error:
        raise BadInput(
            f"The saved marks of this stack cannot be read ({error.strerror or error}); try again."
        ) from None
    except (BadInput, NewerFormat):
        raise BadInput(
            "The saved marks of this stack cannot be read: open the dock Repair slice, which says "
            "why and what becomes of them."
        ) from None
    return Marks() if saved is None else saved.marks


def _label_corners(labels: Any, cancel: Flag) -> npt.NDArray[np.float64] | None:
    """Corners (n, ndim), in pixels, of the box around all that is labelled; reads by sections."""
    low, high = np.full(labels.ndim, np.inf), np.full(labels.ndim, -np.inf)
    planes = [()] if labels.ndim < 3 else [(z,) for z in range(labels.shape[0])]
    for plane in planes:
        if cancel.is_set():
            raise Cancelled
        found = np.argwhere(np.asarray(labels[plane]))
        if len(found):
            low[len(plane) :] = np.minimum(low[len(plane) :], found.min(axis=0))
            high[len(plane) :] = np.maximum(high[len(plane) :], found.max(axis=0) + 1)
            for axis, at in enumerate(plane):
                low[axis], high[axis] = min(low[axis], at), max(high[axis], at + 1)
    if not np.isfinite(low).all():
        return None
    grid = np.meshgrid(*zip(low, high, strict=True), indexing="ij")
    return np.stack([axis.ravel() for axis in grid], axis=1)


def _window(points: npt.NDArray[np.float64] | None, shape: tuple[int, int], name: str) -> Window:
    """Rectangle around points (n, 2) in pixels, cut to the section."""
    if points is None or not len(points):
        raise BadInput(f"Nothing is drawn on the layer {name}: draw a region, or take all.")
    low = np.clip(np.floor(points.min(axis=0) + ROUNDING), 0, shape).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) - ROUNDING), 0, shape).astype(int)
    if (high <= low).any():
        raise BadInput(f"What is drawn on the layer {name} lies outside this stack.")
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
