"""What a job needs of the stack, gathered beforehand into plain arrays.

Here sections are read and registered; :mod:`~napari_ssan.engine.synthesis` sees only the
result, which can be pickled. Neighbours are kept tile by tile, although tiles overlap: what is read
of a file for one tile then lies together, and so little of it is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.plan import Job
from napari_ssan.engine.stored import buffer, release
from napari_ssan.engine.survey import Survey
from napari_ssan.engine.tiles import TileGrid
from napari_ssan.stack.alignment import field_of
from napari_ssan.stack.intensity import Float, Intensity
from napari_ssan.stack.motion import read_moved
from napari_ssan.stack.registration import HERE, Placement, find_placement, halfway, read_placed
from napari_ssan.stack.sections import Array, Window

#: Threads: one for each neighbour.
AT_ONCE = 2
#: Columns of a row of tiles that are read at once.
COLUMNS = 2048


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A good section beside the wanted one, placed where that lies.

    Attributes
    ----------
    tiles : sequence of sequence of ndarray, (height, width) of a tile
        Pixels of each tile that is made, in each row of tiles, in the stack's dtype; if
        `normalized`, float32 on the network's scale. What lies beyond the section is undefined or
        missing. Views of a stack in memory, where it need not be moved.
    intensity : Intensity
        Grey values of the whole section.
    normalized : bool
        Whether the pixels had to be interpolated, and are on the network's scale already.
    """

    tiles: Sequence[Sequence[Array]]
    intensity: Intensity
    normalized: bool

    def unit(self, row: int, place: int, part: Window) -> Float:
        """Pixels of a tile that covers a part of the section, on the network's scale."""
        height, width = (along.stop - along.start for along in part)
        pixels = self.tiles[row][place][:height, :width]
        return pixels if self.normalized else self.intensity.normalize(pixels)


@dataclass(frozen=True, eq=False)
class Inputs:
    """All that a synthesis is made from, but for the method.

    Attributes
    ----------
    job : Job
        What is wanted, and where it lies between the neighbours.
    grid : TileGrid
        Tiles over the part of the section that is synthesized.
    dtype : dtype
        The stack's.
    neighbours : tuple of Neighbour
        Two; or one, which is to be copied.
    own : ndarray, (height, width), or None
        For a region, the section's own pixels in the grid's window.
    good : ndarray of bool, (height, width), or None
        Which of these are good: neither marked nor infinite nor NaN.
    """

    job: Job
    grid: TileGrid
    dtype: np.dtype[Any]
    neighbours: tuple[Neighbour, ...]
    own: Array | None = None
    good: npt.NDArray[np.bool_] | None = None


def gather(survey: Survey, job: Job, grid: TileGrid, scratch: Path | None = None) -> Inputs:
    """Read and register what a job needs.

    What is too large for memory goes to the folder `scratch`, or the system's own; an
    ``OSError`` says that there is no room. The grid is the method's.
    """
    stack, window, columns = survey.stack, grid.window, grid.columns

    whole = job.region is None and len(job.neighbours) == 2
    motion = survey.motion(*job.neighbours) if whole else None

    def neighbour(z: int, placement: Placement) -> Neighbour:
        moved = motion is not None or bool(np.mod(placement, 1).any())
        share = -job.position if z == job.neighbours[0] else 1 - job.position
        intensity = survey.intensity(z, None if job.region is None else job.region.window)
        if isinstance(stack.data, np.ndarray) and not moved and np.array_equal(placement, HERE):
            views = [
                [stack.read(z, grid.part(top, left)) for left in lefts]
                for top, lefts in zip(grid.tops, grid.rows, strict=True)
            ]
            return Neighbour(views, intensity, moved)
        dtype = np.dtype(np.float32) if moved else stack.dtype
        tiles = buffer((len(grid), *grid.tile), dtype, scratch)
        rows = np.split(tiles, np.cumsum([len(lefts) for lefts in grid.rows])[:-1])
        for row, top, lefts in zip(rows, grid.tops, grid.rows, strict=True):
            lines, _ = grid.part(top, columns.start)
            for part in _spans(lefts, grid.tile[1], columns):
                if motion is None:
                    pixels = read_placed(stack, z, (lines, part), placement)
                else:
                    pixels = read_moved(stack, z, (lines, part), placement, motion, share)
                if moved:
                    pixels = intensity.normalize(pixels)
                for tile, left in zip(row, lefts, strict=True):
                    low, high = max(left, part.start), min(left + grid.tile[1], part.stop)
                    if low < high:
                        inner = slice(low - left, high - left)
                        outer = slice(low - part.start, high - part.start)
                        tile[: len(pixels), inner] = pixels[:, outer]
                release(tiles)
        return Neighbour([list(row) for row in rows], intensity, moved)

    places = placements(survey, job, window)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        neighbours = tuple(pool.map(neighbour, job.neighbours, places))
    own = good = None
    if job.region is not None:
        own = np.array(stack.read(job.slot[0], window))
        good = survey.unmarked(job.slot[0], window) & np.isfinite(own)
    return Inputs(job, grid, stack.dtype, neighbours, own, good)


def _spans(lefts: Sequence[int], width: int, columns: slice) -> Iterator[slice]:
    """Columns to read for the tiles of a row, a part at a time."""
    for start in range(columns.start, columns.stop, COLUMNS):
        stop = min(start + COLUMNS, columns.stop)
        reached = [left for left in lefts if left < stop and left + width > start]
        if reached:
            yield slice(max(reached[0], start), min(reached[-1] + width, stop))


def placements(survey: Survey, job: Job, window: Window) -> tuple[Placement, ...]:
    """Where the neighbours have what the section has, or would have."""
    stack, unmarked = survey.stack, survey.unmarked
    if job.region is not None:
        own = job.slot[0]
        field = field_of(stack.shape[1:], window)
        if np.isfinite(stack.read(own, field)[unmarked(own, field)]).all():
            with ThreadPoolExecutor(AT_ONCE) as pool:
                found = pool.map(
                    lambda z: find_placement(stack, own, z, unmarked, window), job.neighbours
                )
                return tuple(found)
    elif len(job.neighbours) == 2:
        before, after = job.neighbours
        return halfway(survey.placement(before, after), job.position)
    return (HERE,) * len(job.neighbours)
