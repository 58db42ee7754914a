"""Tiles: where they lie in a section, and how their results are blended into one.

Tiles cover what is to be synthesized and a little around it, with as few pixels as possible.
They are as large as is quick, evenly spread, overlap, and are blended with Hann weights. Where no
pixel of a region lies, none is made: a fold across a section is long and narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from napari_ssan.engine.stored import release
from napari_ssan.stack.intensity import Float
from napari_ssan.stack.region import Mask, Region
from napari_ssan.stack.sections import Window

#: Rows that are divided by their weights at once.
LINES = 64


@dataclass(frozen=True)
class Tiling:
    """How a method likes its tiles, in pixels.

    Attributes
    ----------
    largest : int
        Largest height and width of a tile.
    overlap : int
        What adjacent tiles share at least.
    multiple : int
        Heights and widths are multiples of this.
    context : int
        What a tile sees at least around the pixels that are wanted, where the section has it.
    smallest : int
        Smallest height and width of a tile.
    """

    largest: int
    overlap: int
    multiple: int = 1
    context: int = 0
    smallest: int = 1

    @property
    def reach(self) -> int:
        """How far tiles reach beyond the wanted pixels, at most."""
        return max(self.context + self.multiple, self.smallest)

    def grid(
        self, shape: tuple[int, int], window: Window, region: Region | None = None
    ) -> TileGrid:
        """Cover a window of a section of `shape`, (height, width); or only a region of it."""
        (height, tops), (width, lefts) = (
            self._axis(length, part) for length, part in zip(shape, window, strict=True)
        )
        rows = tuple(
            tuple(
                left for left in lefts
                if region is None or region.touches(_part(shape, (height, width), top, left))
            )
            for top in tops
        )  # fmt: skip
        return TileGrid(shape, window, (height, width), self.overlap, tops, lefts, rows)

    def _axis(self, length: int, part: slice) -> tuple[int, tuple[int, ...]]:
        """Size of the tiles along an axis, and their first pixels."""
        low, high = max(part.start - self.context, 0), min(part.stop + self.context, length)
        span = high - low
        count = max(1, -(-(span - self.overlap) // (self.largest - self.overlap)))
        # One tile more may have fewer pixels in all, as sizes are rounded up.
        tile, count = min(
            ((self._size(span, n), n) for n in (count, count + 1)),
            key=lambda size: size[0] * size[1],
        )
        extent = max(span, tile)
        start = min(max(low - (extent - span) // 2, 0), max(length - extent, 0))
        return tile, tuple(np.linspace(start, start + extent - tile, count).astype(int).tolist())

    def _size(self, span: int, count: int) -> int:
        """Size of `count` tiles that cover `span` pixels."""
        size = -(-(span - self.overlap) // count) + self.overlap
        return max(-(-size // self.multiple) * self.multiple, self.smallest)


@dataclass(frozen=True)
class TileGrid:
    """Overlapping tiles over a part of a section.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the section.
    window : (slice, slice)
        The part that is wanted.
    tile : (int, int)
        Height and width of a tile, in pixels.
    overlap : int
        Pixels over which a tile fades.
    tops, lefts : tuple of int
        First rows and columns of the tiles.
    rows : tuple of tuple of int
        First columns of the tiles that are made, in each row of them.
    """

    shape: tuple[int, int]
    window: Window
    tile: tuple[int, int]
    overlap: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return sum(map(len, self.rows))

    def complete(self) -> Mask:
        """Pixels of the window of which all tiles are made, (height, width)."""
        found = np.ones([part.stop - part.start for part in self.window], bool)
        for top, lefts in zip(self.tops, self.rows, strict=True):
            for left in set(self.lefts) - set(lefts):
                rows, columns = (
                    slice(max(part.start - own.start, 0), max(part.stop - own.start, 0))
                    for part, own in zip(self.part(top, left), self.window, strict=True)
                )
                found[rows, columns] = False
        return found

    @property
    def pixels(self) -> int:
        """Pixels of all tiles together."""
        return len(self) * self.tile[0] * self.tile[1]

    @property
    def columns(self) -> slice:
        """The columns of the section that the tiles cover."""
        return slice(self.lefts[0], self.part(0, self.lefts[-1])[1].stop)

    def part(self, top: int, left: int) -> Window:
        """The part of the section that a tile covers."""
        return _part(self.shape, self.tile, top, left)

    @cached_property
    def lines(self) -> tuple[Float, Float]:
        """Blending weights along a tile's rows and columns, flat inside; a pixel's is a product.

        They are Hann ramps over the overlap, never zero: at the section's border a tile stands
        alone.
        """
        rows, columns = (self._line(length) for length in self.tile)
        return rows, columns

    def _line(self, length: int) -> Float:
        overlap = min(self.overlap, length // 2)
        ramp = np.sin((np.arange(overlap) + 0.5) / overlap * np.pi / 2) ** 2
        line = np.concatenate((ramp, np.ones(length - 2 * overlap), ramp[::-1]))
        return line.astype(np.float32)

    def pad(self, pixels: Float) -> Float:
        """Complete a tile that reaches beyond the section, by reflection."""
        short = [(0, tile - n) for tile, n in zip(self.tile, pixels.shape, strict=True)]
        return np.pad(pixels, short, mode="reflect") if any(s[1] for s in short) else pixels


def _part(shape: tuple[int, int], tile: tuple[int, int], top: int, left: int) -> Window:
    rows, columns = (
        slice(start, min(start + extent, length))
        for start, extent, length in zip((top, left), tile, shape, strict=True)
    )
    return rows, columns


class Blender:
    """Adds up weighted tiles in an array, and divides rows that are complete by what they weigh.

    Besides that array, which may lie in a file, it holds a tile, however wide the section is.

    Parameters
    ----------
    grid : TileGrid
        Where the tiles lie.
    out : ndarray of float32, (height, width) of the grid's window
        Zeros; at the end, the blended pixels.
    """

    def __init__(self, grid: TileGrid, out: Float) -> None:
        self.grid, self.out = grid, out
        # What pixels weigh is a product of what lines do, however many tiles there are.
        self._down, self._across = (np.zeros(length, np.float32) for length in out.shape)
        axes = (self._down, grid.tops), (self._across, grid.lefts)
        for axis, (sums, starts) in enumerate(axes):
            for start in starts:
                inner, own = self._overlap(axis, start)
                sums[inner] += grid.lines[axis][own]

    def add(self, top: int, left: int, values: Float) -> None:
        """Add a tile whose first pixel in the section is (`top`, `left`)."""
        (rows, lines), (columns, across) = (
            self._overlap(axis, start) for axis, start in enumerate((top, left))
        )
        weighed = values[lines, across] * self.grid.lines[1][across]
        weighed *= self.grid.lines[0][lines, None]
        self.out[rows, columns] += weighed
        release(self.out)

    def finish_row(self, number: int) -> None:
        """End a row of tiles: rows of the section that no later tile reaches are complete."""
        tops, window = self.grid.tops, self.grid.window[0]
        first, end = (
            min(max(top, window.start), window.stop) - window.start
            for top in [*tops, window.stop][number : number + 2]
        )
        for start in range(first, end, LINES):
            rows = slice(start, min(start + LINES, end))
            self.out[rows] /= self._across
            self.out[rows] /= self._down[rows, None]
            release(self.out)

    def _overlap(self, axis: int, start: int) -> tuple[slice, slice]:
        """What a tile and the window share along an axis, counted in the window and in the tile."""
        window, length = self.grid.window[axis], self.grid.tile[axis]
        low = max(start, window.start)
        high = max(min(start + length, window.stop), low)
        return slice(low - window.start, high - window.start), slice(low - start, high - start)
