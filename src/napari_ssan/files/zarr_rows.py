"""Writes an OME-Zarr image row by row: as many sections at once as one object of the store has.

An object is a chunk, or a shard where there are shards. Levels are those that `write_zarr` makes:
all have as many sections, so that a row has what it needs of the level before. Easy to get wrong:
what is written at once is made of whole objects, so that none is written twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from napari_ssan.stack.sections import BAND_PIXELS, Array, ArrayLike, Window

#: Sections, rows and columns.
Size = tuple[int, int, int]


class Rows:
    """The rows of objects of an image, of all levels.

    Parameters
    ----------
    levels : sequence of array
        Full resolution first.
    order : sequence of int
        The axis of the data that each axis of the store is.
    zyx : (int, int, int)
        Axes of the data; all others have length 1.
    size : (int, int, int)
        Of an object.
    shrink : callable
        Makes a section of a level from that of the level before.
    """

    def __init__(
        self,
        levels: Sequence[Any],
        order: Sequence[int],
        zyx: Size,
        size: Size,
        shrink: Callable[[Array], Array],
    ) -> None:
        self._levels, self._zyx, self._size, self._shrink = levels, zyx, size, shrink
        self._turned = order.index(zyx[0]), order.index(zyx[1]), order.index(zyx[2])

    def __len__(self) -> int:
        length: int = self._levels[0].shape[self._turned[0]]
        return -(-length // self._size[0])

    def sections(self, row: int) -> range:
        """The sections of a row."""
        first, length = row * self._size[0], self._levels[0].shape[self._turned[0]]
        return range(first, min(first + self._size[0], length))

    def names(self, row: int) -> Iterator[str]:
        """The objects of a row, by their names in the store."""
        for level in self._levels:
            counts = [
                -(-level.shape[at] // n) for at, n in zip(self._turned, self._size, strict=True)
            ]
            for y, x in np.ndindex(*counts[1:]):
                grid = [0] * level.ndim
                for axis, number in zip(self._turned, (row, y, x), strict=True):
                    grid[axis] = number
                name = level.metadata.encode_chunk_key(tuple(grid))
                yield f"{level.path}/{name}"

    def write(self, data: ArrayLike, row: int, step: Callable[[bool], None]) -> None:
        """Write a row of all levels; each coarser one is made from the one before, as written.

        Parameters
        ----------
        data : array-like
            Only the sections of the row are read.
        row : int
        step : callable
            Called often, with True once for every section that is done; it may raise.
        """
        found = self.sections(row)
        sections = slice(found.start, found.stop)
        for number, level in enumerate(self._levels):
            shape = level.shape[self._turned[1]], level.shape[self._turned[2]]
            for window in _windows(shape, self._size, BAND_PIXELS // (4 if number else 1)):
                if number == 0:
                    block = _block(data, self._zyx, (sections, *window))
                else:
                    block = self._coarse(self._levels[number - 1], sections, window)
                index: list[int | slice] = [0] * level.ndim
                for at, part in zip(self._turned, (sections, *window), strict=True):
                    index[at] = part
                level[tuple(index)] = block.transpose(np.argsort(self._turned))
                step(False)
        for _ in found:
            step(True)

    def _coarse(self, fine: Any, sections: slice, window: Window) -> Array:
        """Pixels of a window of a coarser level; of the finer one no more than that is held."""
        rows, columns = window
        shape = rows.stop - rows.start, columns.stop - columns.start
        block = np.empty((sections.stop - sections.start, *shape), fine.dtype)
        high, wide = (max(1, -(-n // 2)) for n in shape)
        for top, left in itertools.product(range(0, shape[0], high), range(0, shape[1], wide)):
            part = block[:, top : top + high, left : left + wide]
            double = tuple(
                slice(2 * (whole.start + first), 2 * (whole.start + first + length))
                for whole, first, length in zip(window, (top, left), part.shape[1:], strict=True)
            )
            for section, pixels in zip(
                part, _block(fine, self._turned, (sections, *double)), strict=True
            ):
                section[...] = self._shrink(pixels)
        return block


def _windows(shape: tuple[int, int], size: Size, most: int) -> Iterator[Window]:
    """Windows of whole objects that cover a section, of about `most` pixels of all sections."""
    thick, high, wide = size
    wide *= max(1, min(most // (thick * high * wide), -(-shape[1] // wide)))
    high *= max(1, most // (thick * high * wide))
    for top, left in itertools.product(range(0, shape[0], high), range(0, shape[1], wide)):
        yield slice(top, min(top + high, shape[0])), slice(left, min(left + wide, shape[1]))


def _block(data: ArrayLike, zyx: tuple[int, int, int], box: tuple[slice, ...]) -> Array:
    """Pixels of a box, (sections, rows, columns); all other axes have length 1."""
    index: list[int | slice] = [0] * len(data.shape)
    for at, part in zip(zyx, box, strict=True):
        index[at] = part
    return np.asarray(data[tuple(index)]).transpose(np.argsort(np.argsort(zyx)))


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


def thinned(section: Array) -> Array:
    """Every second pixel of every second row."""
    return section[::2, ::2]
