"""Tiles: where they lie in a section, and how their results are blended into one.

Tiles cover what is to be synthesized and a little around it, with as few pixels as possible.
They are as large as is quick, evenly spread, overlap, and are blended with Hann weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from napari_ssan.stack.intensity import Float
from napari_ssan.stack.sections import Window


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

    def grid(self, shape: tuple[int, int], window: Window) -> TileGrid:
        """Cover a window of a section of `shape`, (height, width)."""
        (height, tops), (width, lefts) = (
            self._axis(length, part) for length, part in zip(shape, window, strict=True)
        )
        return TileGrid(shape, window, (height, width), self.overlap, tops, lefts)

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
    """

    shape: tuple[int, int]
    window: Window
    tile: tuple[int, int]
    overlap: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    @property
    def pixels(self) -> int:
        """Pixels of all tiles together."""
        return len(self) * self.tile[0] * self.tile[1]

    @property
    def columns(self) -> slice:
        """The columns of the section that the tiles cover."""
        return slice(self.lefts[0], min(self.lefts[-1] + self.tile[1], self.shape[1]))

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


class BandBlender:
    """Adds up weighted tiles, row of tiles by row, and hands out the rows that are complete.

    Holds one row of tiles, whatever the section's height.
    """

    def __init__(self, grid: TileGrid) -> None:
        self.grid = grid
        width = grid.columns.stop - grid.columns.start
        self._sum = np.zeros((grid.tile[0], width), np.float32)
        # What pixels weigh is a product of what lines do, however many tiles there are.
        self._down, self._across = np.zeros(grid.tile[0], np.float32), np.zeros(width, np.float32)
        for left in grid.lefts:
            columns = self._columns(left)
            self._across[columns] += grid.lines[1][: columns.stop - columns.start]

    def add(self, left: int, values: Float) -> None:
        """Add a tile of the current row whose first column in the section is `left`."""
        columns, (down, across) = self._columns(left), self.grid.lines
        width = columns.stop - columns.start
        weighed = values[:, :width] * across[:width]
        weighed *= down[:, None]
        self._sum[:, columns] += weighed

    def finish_row(self, number: int) -> tuple[slice, Float]:
        """End a row of tiles: the rows of the section, within the window, that are complete."""
        grid, (rows, columns) = self.grid, self.grid.window
        top = grid.tops[number]
        following = [*grid.tops, grid.tops[-1] + grid.tile[0]][number + 1]
        low, high = max(top, rows.start), max(min(following, rows.stop), rows.start)
        done = slice(low - top, high - top)
        across = slice(columns.start - grid.columns.start, columns.stop - grid.columns.start)
        self._down += grid.lines[0]
        blended = np.divide(self._sum[done, across], self._across[across], dtype=np.float32)
        blended /= self._down[done, None]
        for kept in (self._sum, self._down):
            rest = kept[following - top :].copy()
            kept[: len(rest)], kept[len(rest) :] = rest, 0
        return slice(low, high), blended

    def _columns(self, left: int) -> slice:
        """Where a tile lies among the columns that all of them cover."""
        start = left - self.grid.columns.start
        return slice(start, min(start + self.grid.tile[1], len(self._across)))
