"""The region to learn from: the rectangle around a drawing, and the marks that were saved.

A layer may only be touched in the GUI thread. Hence `window_finder` reads its position at
once, and returns a function that reads its pixels later, in a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Shapes

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.session.journal import NewerFormat, read
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack, Window
from napari_ssan.widgets.shared.layers import owner_of, to_data_of, unwrap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

#: Finds a window in a worker; None is the whole section.
FindWindow = Callable[[Flag], Window | None]

#: Pixels by which the conversion of units may move an edge.
ROUNDING = 1e-6


def region_layers(viewer: ViewerModel) -> list[Layer]:
    """List the Shapes and Labels layers of a viewer, without those of the repair dock."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(unwrap(layer), Shapes | Labels) and owner_of(layer) is None
    ]


def window_finder(region: Layer | None, image: Layer, stack: SliceStack) -> FindWindow:
    """Make a function that finds the rectangle around the drawing on a layer.

    Parameters
    ----------
    region : Shapes or Labels layer or None
        Has the drawing; None is the whole section.
    image : Image layer
        The rectangle is in its pixels.
    stack : SliceStack
        Stack of the image.

    Returns
    -------
    callable
        Call it in a worker. It raises BadInput if the layer is empty.
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
    # The layers may have any transform; only the matrix between them goes to the worker.
    corners = np.vstack([np.zeros(region.ndim), np.eye(region.ndim)])
    placed = to_data_of(image, region, corners)[:, plane]
    origin, matrix = placed[0], placed[1:] - placed[0]

    def find(cancel: Flag) -> Window | None:
        box = _label_corners(labels, cancel)
        return _window(None if box is None else box @ matrix + origin, shape, name)

    return find


def saved_marks(stack: SliceStack, source: Path | None) -> Marks:
    """Return the marks that the repair dock has saved for a stack, if any.

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
            "why and what to do."
        ) from None
    return Marks() if saved is None else saved.marks


def _label_corners(labels: Any, cancel: Flag) -> npt.NDArray[np.float64] | None:
    """Corners (n, ndim), in pixels, of the box around all labels; reads one section at a time."""
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
    """Rectangle around points (n, 2) in pixels, clipped to the section."""
    if points is None or not len(points):
        raise BadInput(f"The layer {name} is empty: draw a region on it, or choose whole slices.")
    low = np.clip(np.floor(points.min(axis=0) + ROUNDING), 0, shape).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) - ROUNDING), 0, shape).astype(int)
    if (high <= low).any():
        raise BadInput(f"The drawing on the layer {name} is outside this stack: draw it inside.")
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
