"""Writes a volume as OME-Zarr 0.5 with a pyramid, section by section.

yaozarrs validates the metadata and makes the arrays. OME-Zarr wants time and channel before
space, so the axes of the store may be in another order than those of the data.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
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
from napari_ssan.json_text import finite
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
    check_zarr(calibration)
    calibration = calibration.with_z()
    order = axis_order(calibration.axes)
    y, x = calibration.axes.index("y"), calibration.axes.index("x")
    shapes = _level_shapes(shape, y, x)
    attributes = {KEY: finite(to_plain(provenance))} if provenance is not None else None
    image = image_metadata(calibration, order, len(shapes), "nearest" if labels else "local mean")
    shrink = _thinned if labels else halved
    cut = pieces or Pieces((1, CHUNK, CHUNK))
    sizes = (dict(zip("zyx", size or (), strict=False)) for size in (cut.chunks, cut.shards))
    chunks, shards = (tuple(size.get(calibration.axes[at], 1) for at in order) for size in sizes)
    # A chunk that is left out because it is blank could not be told from one that was lost.
    with zarr.config.set({"array.write_empty_chunks": True}):
        _, arrays = prepare_image(
            path,
            image,
            [(tuple(level[at] for at in order), np.dtype(data.dtype)) for level in shapes],
            extra_attributes=attributes,
            chunks=chunks,
            shards=shards if cut.shards else None,
            writer="zarr" if pieces is None else partial(_array, chunks),
        )
    levels = [arrays[str(number)] for number in range(len(shapes))]
    if pieces is not None:
        zyx = calibration.axes.index("z"), y, x
        _write_slabs(data, levels, order, zyx, cut.shards or cut.chunks, step, shrink)
        return
    for place in np.ndindex(*(n for at, n in enumerate(shape) if at not in (y, x))):
        _write_section(data, levels, order, place, (y, x), step, shrink)


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


def _write_slabs(
    data: ArrayLike,
    levels: list[Any],
    order: list[int],
    zyx: tuple[int, int, int],
    size: tuple[int, int, int],
    step: Callable[[bool], None],
    shrink: Callable[[Array], Array],
) -> None:
    """Write all levels object by object, as many sections at once as an object has.

    The coarser levels are made from the one before, as it has just been written.
    """
    turned = order.index(zyx[0]), order.index(zyx[1]), order.index(zyx[2])
    for top in range(0, data.shape[zyx[0]], size[0]):
        sections = slice(top, min(top + size[0], data.shape[zyx[0]]))
        for number, level in enumerate(levels):
            for box in itertools.product(
                *(_cut(level.shape[at], n) for at, n in zip(turned[1:], size[1:], strict=True))
            ):
                if number == 0:
                    block = _block(data, zyx, (sections, *box))
                else:
                    double = (slice(2 * part.start, 2 * part.stop) for part in box)
                    fine = _block(levels[number - 1], turned, (sections, *double))
                    block = np.stack([shrink(section) for section in fine])
                index: list[int | slice] = [0] * len(order)
                for at, part in zip(turned, (sections, *box), strict=True):
                    index[at] = part
                level[tuple(index)] = block.transpose(np.argsort(turned))
                step(False)
        for _ in range(sections.start, sections.stop):
            step(True)


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


def _cut(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _block(data: ArrayLike, zyx: tuple[int, int, int], box: tuple[slice, ...]) -> Array:
    """Pixels of a box, (sections, rows, columns); all other axes have length 1."""
    index: list[int | slice] = [0] * len(data.shape)
    for at, part in zip(zyx, box, strict=True):
        index[at] = part
    return np.asarray(data[tuple(index)]).transpose(np.argsort(np.argsort(zyx)))


def _bands(height: int, width: int) -> Iterator[slice]:
    """Rows to write at once: whole chunks, so that none is written twice."""
    step = max(1, BAND_PIXELS // (width * CHUNK)) * CHUNK
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def halved(section: Array) -> Array:
    """Mean of 2 by 2 pixels, (ceil(height / 2), ceil(width / 2)), rounded, in the same dtype.

    At an odd edge the last row or column counts twice.
    """
    height, width = section.shape
    if height % 2 or width % 2:
        section = np.pad(section, ((0, height % 2), (0, width % 2)), mode="edge")
    dtype = section.dtype
    if dtype.kind == "f":
        # divided before they are added, so that no sum overflows
        quarters = section * dtype.type(0.25)
        total: Array = quarters[::2, ::2] + quarters[1::2, ::2]
        total += quarters[::2, 1::2]
        total += quarters[1::2, 1::2]
        return total
    wide = np.dtype(f"i{min(8, 2 * dtype.itemsize)}") if dtype.itemsize > 1 else np.dtype("i2")
    wide = np.dtype("i8") if dtype.itemsize >= 2 and dtype.kind == "u" else wide
    total = section[::2, ::2].astype(wide)
    for part in (section[1::2, ::2], section[::2, 1::2], section[1::2, 1::2]):
        total += part
    return ((total + 2) >> 2).astype(dtype)


def _thinned(section: Array) -> Array:
    """Every second pixel of every second row."""
    return section[::2, ::2]


def _level_shapes(shape: tuple[int, ...], y: int, x: int) -> list[tuple[int, ...]]:
    shapes = [shape]
    while max(shapes[-1][y], shapes[-1][x]) > SMALLEST_LEVEL:
        shapes.append(tuple(-(-n // 2) if at in (y, x) else n for at, n in enumerate(shapes[-1])))
    return shapes
