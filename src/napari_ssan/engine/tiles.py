"""Tiles: where they lie in a section, and how their results are blended into one.

The attention's lattice sees a whole tile, so a tile moved is a tile changed.
Hence tiles of fixed size on a fixed grid, the same for every repair of a
section, overlapping, blended with Hann weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_ssan.stack.intensity import Float
from napari_ssan.stack.sections import Window


@dataclass(frozen=True)
class TileGrid:
    """Grid of overlapping tiles over a section.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the section.
    tile : int
        Height and width of a tile, in pixels.
    overlap : int
        Pixels that adjacent tiles share.
    """

    shape: tuple[int, int]
    tile: int
    overlap: int

    @property
    def step(self) -> int:
        """Distance of adjacent tiles."""
        return self.tile - self.overlap

    def origins(self, axis: int, part: slice) -> range:
        """First pixels, along an axis, of all tiles that reach into `part`."""
        last = max(0, -(-(self.shape[axis] - self.tile) // self.step))
        first = max(0, (part.start - self.tile) // self.step + 1)
        return range(
            min(first, last) * self.step, min((part.stop - 1) // self.step, last) * self.step + 1,
            self.step,
        )  # fmt: skip

    def reach(self, window: Window) -> Window:
        """The part of the section that all tiles of a window cover."""
        spans = []
        for axis, part in enumerate(window):
            origins = self.origins(axis, part)
            spans.append(slice(origins[0], min(origins[-1] + self.tile, self.shape[axis])))
        return spans[0], spans[1]

    def __len__(self) -> int:
        return self.count((slice(0, self.shape[0]), slice(0, self.shape[1])))

    def count(self, window: Window) -> int:
        """How many tiles reach into a window."""
        return len(self.origins(0, window[0])) * len(self.origins(1, window[1]))

    def weights(self) -> Float:
        """Blending weights of a tile, (tile, tile): Hann ramps over the overlap, flat inside."""
        ramp = np.sin((np.arange(self.overlap) + 0.5) / self.overlap * np.pi / 2) ** 2
        line = np.concatenate((ramp, np.ones(self.tile - 2 * self.overlap), ramp[::-1]))
        # Never zero: at the section's border a tile stands alone.
        return np.outer(line, line).clip(1e-4).astype(np.float32)

    def pad(self, pixels: Float) -> Float:
        """Complete a tile that reaches beyond the section, by reflection."""
        short = [(0, self.tile - n) for n in pixels.shape]
        return np.pad(pixels, short, mode="reflect") if any(s[1] for s in short) else pixels


class BandBlender:
    """Adds up weighted tiles, row of tiles by row, and hands out the rows that are complete.

    Holds one row of tiles, whatever the section's height.
    """

    def __init__(self, grid: TileGrid, window: Window) -> None:
        self.grid = grid
        self.window = window
        self.columns = grid.reach(window)[1]
        self.weights = grid.weights()
        width = self.columns.stop - self.columns.start
        self._sum = np.zeros((grid.tile, width), np.float32)
        self._weight = np.zeros((grid.tile, width), np.float32)

    def add(self, left: int, values: Float) -> None:
        """Add a tile of the current row whose first column in the section is `left`."""
        start = left - self.columns.start
        width = min(self.grid.tile, self._sum.shape[1] - start)
        columns = slice(start, start + width)
        self._sum[:, columns] += (values * self.weights)[:, :width]
        self._weight[:, columns] += self.weights[:, :width]

    def finish_row(self, top: int, last: bool) -> Iterator[tuple[slice, Float]]:
        """End the row of tiles at `top`: (rows, pixels) within the window that are complete."""
        step = self.grid.tile if last else self.grid.step
        low, high = max(top, self.window[0].start), min(top + step, self.window[0].stop)
        if low < high:
            done = slice(low - top, high - top)
            columns = slice(
                self.window[1].start - self.columns.start, self.window[1].stop - self.columns.start
            )
            blended = np.divide(self._sum[done, columns], self._weight[done, columns])
            yield slice(low, high), blended.astype(np.float32, copy=False)
        for kept in (self._sum, self._weight):
            kept[: -self.grid.step] = kept[self.grid.step :]
            kept[-self.grid.step :] = 0
