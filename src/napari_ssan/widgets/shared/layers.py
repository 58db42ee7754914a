"""What a napari layer is to a repair: its stack, its place in the world, the slice on screen.

Viewers and layers are used by what they offer in public, so that a
``ViewerModel``, a viewer and napari's proxy of one are all the same here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Layer

from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import SliceStack

if TYPE_CHECKING:
    from napari.components import ViewerModel


Vector = npt.NDArray[np.float64]

#: Where a layer's metadata hold what this plugin knows about it.
METADATA = "napari_ssan"
#: By layer: the record of earlier repairs, as its metadata hold it and as it reads.
_EARLIER: WeakKeyDictionary[Any, tuple[Any, Provenance]] = WeakKeyDictionary()


def unwrap(value: Any) -> Any:
    """Return what stands behind napari's proxy, which wraps our own objects, too."""
    while type(value).__name__.endswith("PublicOnlyProxy"):
        value = value.__wrapped__
    return value


def is_image(layer: object) -> TypeGuard[Image]:
    """Whether a layer is an image."""
    return isinstance(unwrap(layer), Image)


def stack_of(layer: Layer) -> SliceStack:
    """Return the stack that an image layer shows, at full resolution.

    Raises
    ------
    BadInput
        If it is none; the sentence says what to do.
    """
    if getattr(layer, "rgb", False):
        raise BadInput("This is a colour (RGB) image; convert it to grey first.")
    data = full_resolution(layer.data)
    labels = [str(label) for label in layer.axis_labels]
    return SliceStack(data, labels.index("z") if "z" in labels else None)


def full_resolution(data: Any) -> Any:
    """Data of an image layer, of a pyramid the first level."""
    data = unwrap(data)
    return unwrap(data[0]) if isinstance(data, Sequence) else data


def source_path(layer: Layer) -> Path | None:
    """Return the file or folder that a layer was read from."""
    known = (unwrap(layer.metadata).get(METADATA) or {}).get("path") or layer.source.path
    return Path(known) if known else None


def source_files(layer: Layer) -> list[Path]:
    """Return all files that a layer is read from, the one that was opened first."""
    own = unwrap(layer.metadata).get(METADATA) or {}
    first = source_path(layer)
    return [Path(file) for file in own.get("files", ())] or ([first] if first else [])


def earlier_repairs(layer: Layer) -> Provenance:
    """What of a layer was synthetic already when its file was opened."""
    from napari_ssan.files.provenance_io import from_plain  # brings in what reads files

    layer = unwrap(layer)
    known = (unwrap(layer.metadata).get(METADATA) or {}).get("provenance")
    if layer not in _EARLIER or _EARLIER[layer][0] is not known:
        _EARLIER[layer] = known, (from_plain(known) if known else None) or Provenance()
    return _EARLIER[layer][1]


def made_for(image: Image, use: str = "") -> dict[str, Any]:
    """Metadata of a layer that is made for an image; its file is not to be overwritten."""
    files = [str(file) for file in source_files(image)]
    known = {"path": files[0], "files": files} if files else {}
    return {METADATA: {"made_for": image.unique_id, "use": use, **known}}


def owner_of(layer: Layer) -> Any:
    """Which image a layer was made for, as its unique id; None for all others."""
    return (unwrap(layer.metadata).get(METADATA) or {}).get("made_for")


def use_of(layer: Layer) -> str:
    """What a layer was made for an image for; empty if that was not said."""
    return str((unwrap(layer.metadata).get(METADATA) or {}).get("use", ""))


def is_made_for(layer: Layer, image: Layer) -> bool:
    """Whether a layer was made for an image, here or by the reader that opened its file."""
    return owner_of(layer) in names_of(image)


def names_of(image: Layer) -> set[Any]:
    """What the metadata of layers that were made for an image may call it."""
    if owner_of(image) is not None:
        return {image.unique_id}
    return {image.unique_id, str(source_path(image))}


def shows(layer: Layer) -> str:
    """What a layer that was made for an image tells of its pixels; empty if nothing."""
    return str((unwrap(layer.metadata).get(METADATA) or {}).get("shows", ""))


def placement(layer: Layer) -> dict[str, Any]:
    """Return what gives another layer the same place in the world."""
    names = ("scale", "translate", "rotate", "shear", "units", "axis_labels")
    place = {name: unwrap(getattr(layer, name)) for name in names}
    return {**place, "affine": np.array(layer.affine.affine_matrix)}


def look(layer: Image) -> dict[str, Any]:
    """Return what makes another image layer look the same."""
    names = ("contrast_limits", "gamma", "interpolation2d")
    return {**{name: getattr(layer, name) for name in names}, "colormap": unwrap(layer.colormap)}


def pixel_nm(layer: Layer, axis: int) -> float | None:
    """Length of a layer's pixels along an axis, in nm; None if its unit is no length."""
    unit = layer.units[axis]
    if not hasattr(unit, "is_compatible_with") or not unit.is_compatible_with("nm"):
        return None
    return float((float(layer.scale[axis]) * unit).to("nm").magnitude)


def view_objection(
    viewer: ViewerModel, layer: Layer, stack: SliceStack, count: int | None = None
) -> str:
    """Why slices cannot be marked in the present view, and what to do; empty if they can.

    The layer has `count` sections: by default as many as the stack.
    """
    if len(viewer.dims.point) < layer.ndim:
        return "The layer is on its way into the viewer."  # napari sizes its sliders afterwards
    if viewer.dims.ndisplay != 2:
        return "3-D view: go back to 2-D (the cube button, Ctrl+Y) to mark slices."
    offset = viewer.dims.ndim - layer.ndim
    displayed = {axis - offset for axis in viewer.dims.displayed}
    if displayed != {stack.y_axis, stack.x_axis}:
        return (
            "The view cuts across the slices: roll the dimensions (Ctrl+E) until the slider "
            "moves through z."
        )
    data, linear = _data_and_directions(viewer, layer)
    tilt = max(abs(linear[stack.z_axis, axis - offset]) for axis in viewer.dims.displayed)
    if tilt * max(stack.shape[1:]) > 0.5 * max(np.abs(linear).max(), 1e-12):
        return "The layer is turned out of the plane of the view: reset its transform first."
    if not -0.5 <= data[stack.z_axis] <= (count or len(stack)) - 0.5:
        return "The slice on screen lies outside this stack: move the slider into it."
    return ""


def section_on_screen(viewer: ViewerModel, layer: Layer, z_axis: int, count: int) -> int | None:
    """Return the data index of the section that is shown; it need not be the slider's."""
    data = world_to_data(viewer, layer, np.asarray(viewer.dims.point, float))
    z = int(np.round(data[z_axis]))
    return z if 0 <= z < count else None


def centre_on_screen(viewer: ViewerModel, layer: Layer, stack: SliceStack) -> tuple[int, int]:
    """Row and column in the middle of the view, or of the section if that is elsewhere."""
    point = np.asarray(viewer.dims.point, float)
    camera = getattr(viewer, "scene", viewer).camera  # napari before 0.9 has it on the viewer
    for axis, at in zip(viewer.dims.displayed, camera.center[-2:], strict=True):
        point[axis] = at
    data = world_to_data(viewer, layer, point)
    y, x = (round(float(data[axis])) for axis in (stack.y_axis, stack.x_axis))
    height, width = stack.shape[1:]
    return (y, x) if 0 <= y < height and 0 <= x < width else (height // 2, width // 2)


def go_to(viewer: ViewerModel, layer: Layer, z_axis: int, z: int) -> None:
    """Move the slider to a section of a layer."""
    data = world_to_data(viewer, layer, np.asarray(viewer.dims.point, float))
    data[z_axis] = z
    world = np.asarray(layer.data_to_world(data)) * _unit_factors(
        layer.units, getattr(viewer.dims, "units", None)
    )
    offset = viewer.dims.ndim - layer.ndim
    viewer.dims.set_point(z_axis + offset, float(world[z_axis]))


def world_to_data(viewer: ViewerModel, layer: Layer, point: Vector) -> Vector:
    """Point of the viewer's world, (ndim,), in pixels of a layer."""
    factors = _unit_factors(getattr(viewer.dims, "units", None), layer.units)
    return np.array(layer.world_to_data(point[-layer.ndim :] * factors), float)


def to_data_of(layer: Layer, other: Layer, points: Vector) -> Vector:
    """Points (n, ndim) in pixels of `other`, in pixels of `layer`."""
    return way_to_data_of(layer, other)(points)


def way_to_data_of(layer: Layer, other: Layer) -> Callable[[Vector], Vector]:
    """What :func:`to_data_of` does to points (n, ndim), found once for many shapes."""
    factors = _unit_factors(other.units, layer.units)

    def there(point: Vector) -> Vector:
        world = np.asarray(other.data_to_world(point), float)[-layer.ndim :] * factors
        return np.asarray(layer.world_to_data(world), float)

    origin = there(np.zeros(other.ndim))
    matrix = np.stack([there(unit) - origin for unit in np.eye(other.ndim)])
    return lambda points: np.asarray(points, float) @ matrix + origin


def voxel_text(layer: Layer) -> str:
    """Voxel size in words, such as ``30 x 24 x 24 nm (z, y, x)``."""
    units = [f"{unit:~}" if hasattr(unit, "dimensionality") else str(unit) for unit in layer.units]
    numbers = [f"{size:.4g}" for size in layer.scale]
    if len(set(units)) == 1:
        unit = units[0].replace("pixel", "px")
        return f"{' × '.join(numbers)} {unit}"
    return " × ".join(f"{n} {unit}" for n, unit in zip(numbers, units, strict=True))


def _data_and_directions(viewer: ViewerModel, layer: Layer) -> tuple[Vector, Vector]:
    """Return the viewer's point in pixels of a layer, and pixels per unit of world (ndim, ndim)."""
    point = np.asarray(viewer.dims.point, float)[-layer.ndim :]
    data = world_to_data(viewer, layer, point)
    columns = [world_to_data(viewer, layer, point + unit) - data for unit in np.eye(layer.ndim)]
    return data, np.stack(columns, axis=1)


def _unit_factors(own: Any, other: Any) -> Vector:
    """Return the factors that turn lengths in units of `own` into units of `other`."""
    if own is None or other is None:
        return np.ones(len(own or other or ()) or 1)
    count = min(len(own), len(other))
    pairs = zip(own[-count:], other[-count:], strict=True)
    return np.array([_factor(a, b) for a, b in pairs])


@lru_cache
def _factor(own: Any, other: Any) -> float:
    """Pixels and lengths have nothing to do with each other: napari draws one as the other."""
    if own.dimensionality != other.dimensionality:
        return 1.0
    return float((1 * own).to(other).magnitude)
