"""Finds the calibration of a viewer's layer, from its data and its state as plain values.

It knows no napari: callers pass the layer's state as a dict. The layer is right where it and
its file differ, as the user may have changed it; its file only adds what a layer cannot hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from napari_ssan.engine.repaired import PixelFacts, RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.open import open_stack
from napari_ssan.files.provenance_io import from_plain


def layer_calibration(data: Any, meta: dict[str, Any]) -> Calibration:
    """Calibration of a layer, from its data and state.

    If axes, scale and position are still those of its file, the file's other metadata are
    kept: flavour, compression, ImageJ's and OME's metadata, rendering settings.
    """
    ndim = len(data.shape)
    z_axis: int | None = None
    if isinstance(data, PixelFacts):
        data = data.repaired
    if isinstance(data, RepairedStack):
        z_axis = data.stack.z_axis
    elif ndim >= 3:
        z_axis = ndim - 3
    axes = _axes(ndim, z_axis, meta.get("axis_labels") or ())
    if "z" in axes:
        z_axis = axes.index("z")
    known = file_record(meta).get("provenance")
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
    return _as_stored(own, source, file_record(meta).get("path"))


def _as_stored(own: Calibration, shape: tuple[int, ...], path: str | None) -> Calibration:
    if not path:
        return own
    try:
        file = open_stack(path)
    except (BadInput, OSError):  # gone or changed since it was opened
        return own
    stored = file.calibration
    same = (stored.z_axis, stored.units) == (own.z_axis, own.units)
    if tuple(file.data.shape) != shape or not same:
        return own
    if not np.allclose([stored.scale, stored.translate], [own.scale, own.translate]):
        return own
    return replace(
        stored,
        name=own.name,
        display_range=own.display_range,
        provenance=own.provenance or stored.provenance,
    )


def file_record(meta: dict[str, Any]) -> dict[str, Any]:
    """What this plugin keeps in a layer's metadata: path and provenance of its file."""
    ours = (meta.get("metadata") or {}).get("napari_ssan")
    return ours if isinstance(ours, dict) else {}


def _axes(ndim: int, z_axis: int | None, labels: Any) -> str:
    """One letter per axis: the layer's labels if they are letters, else the usual ones."""
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
