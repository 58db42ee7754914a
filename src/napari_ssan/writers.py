"""What napari calls to save an image layer: streamed, with voxel size and provenance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ssan.errors import BadInput

if TYPE_CHECKING:
    from napari_ssan.files import Calibration


def write(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save an image layer as `.tif`, `.ome.tif`, `.ome.zarr` or `.zarr`.

    Parameters
    ----------
    path : str
    data : RepairedStack, array-like, or sequence of array-like
        The layer's data; of a pyramid, the full resolution is saved, and a new
        pyramid with it in a zarr store. It is read section by section.
    meta : dict
        The layer's state: scale, translate, units, axis labels, name, metadata.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    BadInput
        If it is in colour, or cannot be written.
    """
    from napari_ssan.files import check_output, save_stack

    if meta.get("rgb"):
        raise BadInput("This layer is in colour (RGB); convert it to grey, or save it as .png.")
    # napari's pyramids have a dtype, too
    if meta.get("multiscale") or not hasattr(data, "dtype"):
        data = data[0]
    # napari has asked whether a file that exists may be replaced, but not the one that is shown
    ours = _ours(meta)
    check_output(path, ours.get("files") or ours.get("path"), overwrite=True)
    written = save_stack(Path(path), data, calibration(data, meta), overwrite=True)
    return [str(one) for one in written]


def calibration(data: Any, meta: dict[str, Any]) -> Calibration:
    """Derive the calibration of a layer from its data and state.

    Where the layer still lies as its file says, what else the file keeps is taken
    over: flavour, compression, ImageJ's and OME's metadata, rendering settings.
    """
    from napari_ssan.engine.expected_error import ExpectedError
    from napari_ssan.engine.repaired import RepairedStack
    from napari_ssan.files import Calibration
    from napari_ssan.files.provenance_io import from_plain

    ndim = len(data.shape)
    z_axis: int | None = None
    if isinstance(data, ExpectedError):
        data = data.repaired
    if isinstance(data, RepairedStack):
        z_axis = data.stack.z_axis
    elif ndim >= 3:
        z_axis = ndim - 3
    axes = _axes(ndim, z_axis, meta.get("axis_labels") or ())
    if "z" in axes:
        z_axis = axes.index("z")
    known = _ours(meta).get("provenance")
    limits = meta.get("contrast_limits")
    units = meta.get("units")
    own = Calibration.of(
        axes,
        meta.get("scale"),
        [str(unit) for unit in units] if units is not None else None,
        meta.get("translate"),
        z_axis=z_axis,
        name=str(meta.get("name") or ""),
        display_range=(float(limits[0]), float(limits[1])) if limits is not None else None,
        provenance=from_plain(known) if known else None,
    )
    source = data.stack.source_shape if isinstance(data, RepairedStack) else tuple(data.shape)
    return _as_stored(own, source, _ours(meta).get("path"))


def _as_stored(own: Calibration, shape: tuple[int, ...], path: str | None) -> Calibration:
    from napari_ssan.files import open_stack

    if not path:
        return own
    try:
        file = open_stack(path)
    except (BadInput, OSError):  # gone or changed since it was opened
        return own
    stored = file.calibration
    if tuple(file.data.shape) != shape:
        return own
    if (stored.z_axis, stored.units) != (own.z_axis, own.units):
        return own
    if not np.allclose([stored.scale, stored.translate], [own.scale, own.translate]):
        return own
    return replace(
        stored,
        name=own.name,
        display_range=own.display_range,
        provenance=own.provenance or stored.provenance,
    )


def _ours(meta: dict[str, Any]) -> dict[str, Any]:
    """Give what this plugin keeps in a layer's metadata: path and provenance of its file."""
    ours = (meta.get("metadata") or {}).get("napari_ssan")
    return ours if isinstance(ours, dict) else {}


def _axes(ndim: int, z_axis: int | None, labels: Any) -> str:
    """One letter per axis: the layer's labels if they are such, else the usual ones."""
    letters = "".join(str(label).lower() for label in labels)
    if len(letters) == ndim == len(set(letters)) and {"y", "x"} <= set(letters) <= set("tczyx"):
        return letters
    if z_axis is None:
        return "yx"
    named = [""] * ndim
    named[z_axis] = "z"
    free = [at for at in range(ndim) if at != z_axis]
    others = len(free) - 2
    spare = "t" if others == 1 else "wvutc"[5 - others :]
    for at, letter in zip(free, spare + "yx", strict=True):
        named[at] = letter
    return "".join(named)
