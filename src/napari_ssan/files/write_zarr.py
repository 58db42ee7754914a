"""Writes a volume as OME-Zarr 0.5 with a pyramid, section by section.

yaozarrs validates the metadata and makes the arrays. OME-Zarr wants time and channel before
space, so the axes of the store may be in another order than those of the data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from pydantic import ValidationError
from yaozarrs.write.v05 import prepare_image
from zarr.codecs import BloscCodec

from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.ome_metadata import axis_order, image_metadata
from napari_ssan.files.provenance_io import KEY, to_plain
from napari_ssan.files.remote import zarr_store
from napari_ssan.files.zarr_rows import Rows, halved, thinned
from napari_ssan.json_text import dump_json, finite
from napari_ssan.stack.sections import BAND_PIXELS, Array, ArrayLike

#: Height and width of a chunk, which has one section.
CHUNK = 512

#: Largest height and width of the coarsest level of the pyramid.
SMALLEST_LEVEL = 512


@dataclass(frozen=True)
class Pieces:
    """How a store is cut up.

    Attributes
    ----------
    chunks, shards : (int, int, int), or None
        Sections, rows and columns.
    """

    chunks: tuple[int, int, int]
    shards: tuple[int, int, int] | None = None

    @classmethod
    def parse(cls, chunks: str, shards: str) -> Pieces | None:
        """Pieces from text such as ``1,512,512``; None if both are empty.

        Raises
        ------
        BadInput
            If these are no three numbers, or a shard is not made of whole chunks.
        """
        if not chunks and not shards:
            return None
        within = _numbers(chunks) if chunks else (1, CHUNK, CHUNK)
        around = _numbers(shards) if shards else None
        if around and any(a % w for a, w in zip(around, within, strict=True)):
            raise BadInput(
                f"A shard of {shards} is not made of whole chunks of {','.join(map(str, within))}; "
                "give multiples of them."
            )
        return cls(within, around)


def _numbers(text: str) -> tuple[int, int, int]:
    try:
        z, y, x = (int(part) for part in text.split(","))
        if min(z, y, x) > 0:
            return z, y, x
    except ValueError:
        pass
    raise BadInput(f"{text!r} are no sections, rows and columns; write them as in 1,512,512.")


def write_zarr(
    path: Path,
    data: ArrayLike,
    calibration: Calibration,
    provenance: Provenance | None,
    step: Callable[[bool], None],
    pieces: Pieces | None = None,
    *,
    labels: bool = False,
) -> None:
    """Write a volume as OME-Zarr 0.5.

    The levels are arrays "0", "1", ... in the root. Each is half as high and wide as the
    one before, by the mean of 2 by 2 pixels, or by the first of them if they are labels. Time
    and channel go before the other axes; sections that a TIFF has along time are along z.

    Parameters
    ----------
    path : Path
        Folder to write.
    data : array-like
        Indexed band by band, section by section; never as a whole.
    calibration : Calibration
        Of `data`.
    provenance : Provenance or None
        Written to the attributes of the root.
    step : callable
        Called after each band, with True when it was the last of a section; it may raise.
    pieces : Pieces, optional
        Size of chunks and shards; default is single sections of `CHUNK` by `CHUNK` pixels.
    labels : bool
        Whether pixels are labels.

    Raises
    ------
    BadInput
        If OME-Zarr cannot hold the axes.
    """
    shape = tuple(data.shape)
    levels = make_zarr(path, shape, data.dtype, calibration, provenance, pieces, labels=labels)
    fill(levels, data, calibration, step, pieces, labels=labels)


def fill(
    levels: list[Any],
    data: ArrayLike,
    calibration: Calibration,
    step: Callable[[bool], None],
    pieces: Pieces | None = None,
    *,
    labels: bool = False,
) -> None:
    """Write all pixels of what :func:`make_zarr` has made; see :func:`write_zarr`."""
    shrink = thinned if labels else halved
    if pieces is not None:
        rows = rows_of(levels, calibration, pieces, shrink)
        for row in range(len(rows)):
            rows.write(data, row, step)
        return
    axes = calibration.with_z().axes
    y, x = axes.index("y"), axes.index("x")
    for place in np.ndindex(*(n for at, n in enumerate(data.shape) if at not in (y, x))):
        _write_section(data, levels, axis_order(axes), place, (y, x), step, shrink)


def make_zarr(
    path: Path,
    shape: tuple[int, ...],
    dtype: Any,
    calibration: Calibration,
    provenance: Provenance | None,
    pieces: Pieces | None = None,
    *,
    labels: bool = False,
) -> list[Any]:
    """Make an OME-Zarr 0.5 without its pixels; see :func:`write_zarr`.

    Returns
    -------
    list of zarr.Array
        Its levels, full resolution first.
    """
    check_zarr(calibration)
    calibration = calibration.with_z()
    order = axis_order(calibration.axes)
    y, x = calibration.axes.index("y"), calibration.axes.index("x")
    shapes = _level_shapes(shape, y, x)
    attributes = {KEY: finite(to_plain(provenance))} if provenance is not None else None
    how = "nearest" if labels else "local mean"
    image = image_metadata(calibration, order, len(shapes), how)
    cut = pieces or Pieces((1, CHUNK, CHUNK))
    sizes = (dict(zip("zyx", size or (), strict=False)) for size in (cut.chunks, cut.shards))
    chunks, shards = (tuple(size.get(calibration.axes[at], 1) for at in order) for size in sizes)
    with _every_chunk():
        _, arrays = prepare_image(
            path,
            image,
            [(tuple(level[at] for at in order), np.dtype(dtype)) for level in shapes],
            extra_attributes=attributes,
            chunks=chunks,
            shards=shards if cut.shards else None,
            writer="zarr" if pieces is None else partial(_array, chunks),
        )
    return [arrays[str(number)] for number in range(len(shapes))]


def note_provenance(path: Path, provenance: Provenance) -> None:
    """Write provenance into what :func:`make_zarr` has made."""
    metadata = path / "zarr.json"
    group = json.loads(metadata.read_bytes())
    group["attributes"][KEY] = finite(to_plain(provenance))
    draft = path / "zarr.json.partial"
    draft.write_text(dump_json(group, indent=2), encoding="utf-8")  # as yaozarrs does
    os.replace(draft, metadata)


def open_levels(path: Path, names: Iterable[str]) -> list[Any]:
    """The levels of what :func:`make_zarr` has made, by their names, to be written to."""
    store = zarr_store(path, read_only=False)
    with _every_chunk():
        return [zarr.open_array(store, path=name, mode="r+") for name in names]


def _every_chunk() -> Any:
    """A chunk that is left out because it is blank could not be told from one that was lost."""
    return zarr.config.set({"array.write_empty_chunks": True})


def rows_of(
    levels: Sequence[Any],
    calibration: Calibration,
    pieces: Pieces | None,
    shrink: Callable[[Array], Array] = halved,
) -> Rows:
    """The rows of what :func:`make_zarr` has made of the same calibration and pieces."""
    axes, cut = calibration.with_z().axes, pieces or Pieces((1, CHUNK, CHUNK))
    zyx = axes.index("z"), axes.index("y"), axes.index("x")
    return Rows(levels, axis_order(axes), zyx, cut.shards or cut.chunks, shrink)


def check_zarr(calibration: Calibration) -> None:
    """Refuse axes that OME-Zarr does not have.

    Raises
    ------
    BadInput
        If OME-Zarr cannot hold them.
    """
    calibration = calibration.with_z()
    try:
        image_metadata(calibration, axis_order(calibration.axes), 1)
    except ValidationError as error:
        raise BadInput(
            f"OME-Zarr cannot hold the axes {calibration.axes!r}; it needs z, y and x, and "
            "takes at most one time and one channel axis besides."
        ) from error


def _write_section(
    data: ArrayLike,
    levels: list[Any],
    order: list[int],
    place: tuple[int, ...],
    plane: tuple[int, int],
    step: Callable[[bool], None],
    shrink: Callable[[Array], Array],
) -> None:
    """Write a section into all levels: full resolution in bands, the coarser ones at once."""
    y, x = plane
    index: list[Any] = [None] * len(order)
    for at, position in zip(
        (at for at in range(len(order)) if at not in plane), place, strict=True
    ):
        index[at] = position
    index[x] = slice(None)

    def write(level: Any, rows: slice, section: Array) -> None:
        index[y] = rows
        turned = section if order.index(y) < order.index(x) else section.T
        level[tuple(index[at] for at in order)] = turned

    height = data.shape[y]
    coarse = []
    for rows in _bands(height, data.shape[x]):
        index[y] = rows
        band = np.asarray(data[tuple(index)])
        band = band if y < x else band.T
        write(levels[0], rows, band)
        if len(levels) > 1:
            coarse.append(shrink(band))
        step(rows.stop == height)
    section = np.concatenate(coarse) if coarse else band
    for level in levels[1:]:
        write(level, slice(None), section)
        section = shrink(section)


def _array(
    whole: tuple[int, ...],
    path: Path,
    shape: tuple[int, ...],
    dtype: Any,
    chunks: tuple[int, ...],
    **options: Any,
) -> Any:
    """As yaozarrs makes an array, but with whole chunks where a level is smaller than these."""
    compressor = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")
    options["compressors"] = {"blosc-zstd": compressor}[options.pop("compression")]
    return zarr.create_array(str(path), shape=shape, dtype=dtype, chunks=whole, **options)


def _bands(height: int, width: int) -> Iterator[slice]:
    """Rows to write at once: whole chunks, so that none is written twice."""
    step = max(1, BAND_PIXELS // (width * CHUNK)) * CHUNK
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def _level_shapes(shape: tuple[int, ...], y: int, x: int) -> list[tuple[int, ...]]:
    shapes = [shape]
    while max(shapes[-1][y], shapes[-1][x]) > SMALLEST_LEVEL:
        shapes.append(tuple(-(-n // 2) if at in (y, x) else n for at, n in enumerate(shapes[-1])))
    return shapes
