"""Opens an image in a zarr store: a bare array (v2, v3) or OME-Zarr (0.4, 0.5).

Metadata are read leniently and by hand: many stores break a rule of OME-Zarr that does not
matter for reading an image, and yaozarrs would refuse them. Only the writer validates.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_ssan.errors import BadInput
from napari_ssan.files.border import (
    always_allowed,
    check_codecs,
    check_kind,
    check_links,
    check_piece,
)
from napari_ssan.files.calibration import USUAL_AXES, Calibration, Flavour, sane
from napari_ssan.files.completeness import MANY, Chunks, ManyChunks, files_in, zarr_chunks
from napari_ssan.files.lazy import reader
from napari_ssan.files.provenance_io import KEY, from_plain
from napari_ssan.files.remote import MARKERS, Unreachable, read, zarr_store
from napari_ssan.files.units import unit_name
from napari_ssan.paths import address
from napari_ssan.stack.sections import ArrayLike


def is_zarr(path: Path) -> bool:
    """Whether a folder, or what an address stands for, is a zarr store."""
    if address(path):
        return any(read(path / marker) is not None for marker in MARKERS)
    return any((path / marker).is_file() for marker in MARKERS)


@reader
def open_zarr(
    path: Path, home: Path | None
) -> tuple[list[ArrayLike], Calibration, Chunks | ManyChunks | None]:
    """Open the image in a zarr store.

    Parameters
    ----------
    path : Path
        Path or address of the store, or of a group or array in it. Of a collection
        (bioformats2raw), the first image is opened.
    home : Path or None
        Where all links in it must lead to; see :mod:`~napari_ssan.files.border`.

    Returns
    -------
    levels : list of zarr.Array
        The pyramid, full resolution first; one level for a bare array.
    calibration : Calibration
        Of the first level.
    chunks : Chunks, ManyChunks or None
        Which chunks of the first level are there, where that can be found.

    Raises
    ------
    BadInput
        If there is no image, or its metadata make no sense.
    """
    seen = bool(address(path)) or check_links(home, path, MANY)
    store = zarr_store(path, home=None if seen else home)
    try:
        node: Any = zarr.open(store, mode="r")
    except Unreachable:
        raise
    except Exception as error:
        raise BadInput(
            f"{path.name} has no usable zarr metadata (zarr.json, .zarray or .zgroup); "
            "give the path of a zarr array or of an OME-Zarr image."
        ) from error
    if isinstance(node, zarr.Array):
        _admit(path, node)
        return [node], _bare(path, node), zarr_chunks(path, node)
    attributes = _ome_attributes(node)
    if "multiscales" not in attributes and "bioformats2raw.layout" in attributes:
        node = first if isinstance(first := node.get("0"), zarr.Group) else node
        attributes = _ome_attributes(node)
    try:
        multiscale = attributes["multiscales"][0]
        levels = [_array(node, str(dataset["path"])) for dataset in multiscale["datasets"]]
        ndim = levels[0].ndim
        axes = _axis_names(multiscale.get("axes"), ndim)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{path.name} is a zarr group without an OME-Zarr image in it; "
            "give the path of the array or image to open."
        ) from error
    for level in levels:
        _admit(path, level)
    if len(axes) != ndim:
        raise BadInput(
            f"{path.name} names {len(axes)} axes for an array of {ndim}; "
            "correct its OME-Zarr metadata first."
        )
    if not {"y", "x"} <= set(axes):
        raise BadInput(
            f"{path.name} has axes {axes!r}, without y and x; correct its OME-Zarr metadata first."
        )
    scale, translate = _transform(multiscale, ndim)
    units = [
        unit_name(axis.get("unit")) if isinstance(axis, dict) else None
        for axis in multiscale.get("axes") or [None] * ndim
    ]
    flavour: Flavour = "ome-zarr-0.5" if node.metadata.zarr_format == 3 else "ome-zarr-0.4"
    omero = attributes.get("omero")
    calibration = Calibration.of(
        axes,
        scale,
        units,
        translate,
        flavour=flavour,
        name=str(multiscale.get("name") or path.name.split(".")[0]),
        display_range=_window(omero),
        provenance=from_plain(dict(node.attrs).get(KEY)),
        omero=omero if isinstance(omero, dict) else None,
    )
    return [*levels], calibration, zarr_chunks(path, levels[0])


def _admit(path: Path, array: zarr.Array[Any]) -> None:
    """Refuse an array that must not be read: before its first pixel is."""
    check_kind(path.name, np.dtype(array.dtype))
    check_codecs(path.name, array.metadata.to_dict())
    size = math.prod(array.chunks) * array.dtype.itemsize
    if size > always_allowed():  # else there is no need to look at perhaps millions of files
        folder = path / array.path
        stored = 0 if address(path) else sum(each for _, each in files_in(folder))
        check_piece(path.name, size, stored)


def _array(group: zarr.Group, path: str) -> zarr.Array[Any]:
    array = group[path]
    if not isinstance(array, zarr.Array):
        raise KeyError(path)
    return array


def _ome_attributes(group: zarr.Group) -> dict[str, Any]:
    attributes: dict[str, Any] = dict(group.attrs)
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def _axis_names(axes: Any, ndim: int) -> str:
    """One letter per axis, from the names that version 0.3 and later have."""
    if not axes:
        return USUAL_AXES[ndim]
    names = [axis["name"] if isinstance(axis, dict) else axis for axis in axes]
    return "".join(str(name).lower()[0] for name in names)


def _transform(multiscale: dict[str, Any], ndim: int) -> tuple[list[float], list[float]]:
    """Scale and translation of the full resolution: the dataset's, then the image's."""
    scale, translate = np.ones(ndim), np.zeros(ndim)
    for holder in (multiscale["datasets"][0], multiscale):
        steps = holder.get("coordinateTransformations")
        for step in steps if isinstance(steps, list) else ():
            kind = step.get("type") if isinstance(step, dict) else None
            values = step.get(kind) if kind in ("scale", "translation") else None
            if not isinstance(values, list) or len(values) != ndim:
                continue
            if kind == "scale":
                factors = [sane(value, 1.0) for value in values]
                scale, translate = scale * factors, translate * factors
            else:
                translate = translate + [sane(value, 0.0) for value in values]
    return scale.tolist(), translate.tolist()


def _window(omero: Any) -> tuple[float, float] | None:
    try:
        window = omero["channels"][0]["window"]
        low, high = float(window["start"]), float(window["end"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return (low, high) if low < high else None


def _bare(path: Path, array: zarr.Array[Any]) -> Calibration:
    """Calibration of a bare array, from attributes in common use."""
    attributes: dict[str, Any] = dict(array.attrs)
    names = getattr(array.metadata, "dimension_names", None) or attributes.get("_ARRAY_DIMENSIONS")
    letters = "".join(str(name or "?").lower()[0] for name in names or ())
    known = len(letters) == array.ndim == len(set(letters)) and set(letters) <= set("tczyx")
    axes = letters if known and {"y", "x"} <= set(letters) else USUAL_AXES.get(array.ndim, "")
    if len(axes) != array.ndim:
        axes = "?" * max(array.ndim - 3, 0) + "zyx"[-array.ndim :]
    size = attributes.get("voxel_size", attributes.get("resolution"))
    units = attributes.get("units")
    given = isinstance(size, list) and len(size) == array.ndim
    scale = [sane(s, 1.0) for s in size] if given and size else None
    named = isinstance(units, list) and len(units) == array.ndim
    return Calibration.of(
        axes,
        scale,
        [unit_name(unit) for unit in units] if named and units else None,
        flavour="zarr",
        name=path.name.split(".")[0],
        provenance=from_plain(attributes.get(KEY)),
    )
