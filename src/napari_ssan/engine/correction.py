"""Correction: a section keeps its own pixels, brought to its neighbours' brightness and contrast.

Gain and offset are fields of few numbers, so that shading goes and structure stays. Easy to get
wrong: tissue changes from section to section, so a rectangle that differs from the neighbours
need not be shaded. Fields therefore follow the rectangles only as far as they differ more than
both neighbours differ from each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from napari_ssan.engine.inputs import placements
from napari_ssan.engine.plan import Job, marked_share
from napari_ssan.engine.provenance import CORRECT, SyntheticSection, Transform
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.stored import buffer, release
from napari_ssan.engine.survey import Survey
from napari_ssan.engine.synthesis import TileDone, kept
from napari_ssan.engine.tiles import TileGrid, Tiling
from napari_ssan.stack.intensity import SAMPLE, Intensity, to_dtype
from napari_ssan.stack.region import Mask, packed
from napari_ssan.stack.registration import read_placed
from napari_ssan.stack.sections import Window

#: Pixels that are corrected at once.
TILING = Tiling(4096, 0)
#: Smallest side of the rectangles of a section and of a region, in pixels, ...
SIDE, SIDE_IN_REGION = 64, 12
#: ... as a share of a region's half width, and the most along an axis.
SHARE, MOST = 0.4, 8
#: Quantiles between which contrast is measured.
ENDS = (0.1, 0.9)
#: Contrast below this share of the section's is not believed.
FAINT = 0.05
#: Largest logarithm by which the gain of a rectangle departs from the section's.
LARGEST = float(np.log(2))

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fields:
    """Gain and offset over a part of a section.

    Attributes
    ----------
    window : (slice, slice)
        The part.
    gain, offset : ndarray, (rows, columns)
        Values in the middles of equal rectangles; between them they are interpolated linearly.
    """

    window: Window
    gain: Float64
    offset: Float64

    def apply(self, pixels: npt.NDArray[np.generic], window: Window) -> Float64:
        """Correct the pixels of a window."""
        rows, columns = (
            _weights(part, span, count)
            for part, span, count in zip(window, self.window, self.gain.shape, strict=True)
        )
        gain, offset = (rows @ field @ columns.T for field in (self.gain, self.offset))
        corrected: Float64 = gain * pixels.astype(np.float64) + offset
        return corrected

    def transform(self) -> Transform:
        """The fields, as a record keeps them."""
        gain, offset = (
            tuple(tuple(float(f"{value:.5g}") for value in row) for row in field)
            for field in (self.gain, self.offset)
        )
        rows, columns = self.window
        box = rows.start, columns.start, rows.stop, columns.stop
        return Transform(gain=gain, offset=offset, window=box)


def correct(
    survey: Survey, job: Job, grid: TileGrid, scratch: Path | None = None
) -> Iterator[TileDone | Patch]:
    """Correct a section or region.

    Parameters are those of :func:`~napari_ssan.engine.inputs.gather`; the grid is that of
    :data:`TILING`.

    Yields
    ------
    TileDone or Patch
        After every tile; at the end.
    """
    stack, z = survey.stack, job.slot[0]
    window = job.window(stack.shape[1:])
    around = None if job.region is None else window
    levels = [survey.intensity(n, around) for n in job.neighbours]
    between = levels[0].blend(levels[-1], job.position)
    wanted = between if job.region is None else _own(survey, z, around, between)
    fields = _fields(survey, job, levels, wanted)
    top, left = window[0].start, window[1].start
    pixels = buffer(tuple(part.stop - part.start for part in window), stack.dtype, scratch)
    low, high = min(between.minimum, wanted.minimum), max(between.maximum, wanted.maximum)
    for row, lefts in zip(grid.tops, grid.rows, strict=True):
        for column in lefts:
            tile = (
                slice(row, min(row + grid.tile[0], window[0].stop)),
                slice(column, min(column + grid.tile[1], window[1].stop)),
            )
            grey = fields.apply(stack.read(z, tile), tile).clip(low, high)
            inside = tuple(
                slice(part.start - first, part.stop - first)
                for part, first in zip(tile, (top, left), strict=True)
            )
            pixels[inside] = to_dtype(grey, stack.dtype)
            release(pixels)
            yield TileDone()
    mask = None if job.region is None else job.region.mask
    record = SyntheticSection(
        section=z,
        kind=job.kind,
        share=marked_share(job, stack.shape[1:]),
        region=None if job.region is None else packed(job.region),
        neighbours=job.neighbours,
        position=job.position,
        method=CORRECT,
        transform=fields.transform(),
    )
    yield Patch(job.slot, top, left, kept(pixels, scratch, job), mask, record)


def _own(survey: Survey, z: int, around: Window | None, between: Intensity) -> Intensity:
    """Grey values of the good pixels of a section, or of its neighbours if there are none."""
    own = survey.intensity(z, around)
    return own if own.usable else between


def _fields(survey: Survey, job: Job, levels: list[Intensity], wanted: Intensity) -> Fields:
    """Fit gain and offset to what the neighbours have in the same place."""
    stack, z, region = survey.stack, job.slot[0], job.region
    whole = slice(0, stack.shape[1]), slice(0, stack.shape[2])
    if region is None:
        window, counts = whole, [_count(n, SIDE) for n in stack.shape[1:]]
        own, *others = (_thinned(survey, n) for n in (z, *job.neighbours))
        step = _step(stack.shape[1:])
        free = [survey.unmarked(n, whole)[::step, ::step] for n in (z, *job.neighbours)]
        valid = np.logical_and.reduce(free)
        valid |= not valid.any()  # what is free lies between the lines
    else:
        half = float(distance_transform_edt(np.pad(region.mask, 1)).max())
        side = max(SIDE_IN_REGION, round(SHARE * half))
        window = _padded(region.window, side, stack.shape[1:])
        counts = [_count(part.stop - part.start, side) for part in window]
        own = stack.read(z, window).astype(np.float64)
        valid = np.zeros(own.shape, bool)
        valid[
            region.top - window[0].start : region.window[0].stop - window[0].start,
            region.left - window[1].start : region.window[1].stop - window[1].start,
        ] = region.mask
        places = placements(survey, job, window)
        others = [  # as they would be if they had the section's grey values
            wanted.denormalize(level.normalize(read_placed(stack, n, window, place)))
            for n, level, place in zip(job.neighbours, levels, places, strict=True)
        ]
    gain, offset = fit(own, others, valid, (counts[0], counts[1]), job.position)
    return Fields(window, gain, offset)


def fit(
    own: Float64, others: list[Float64], valid: Mask, counts: tuple[int, int], position: float
) -> tuple[Float64, Float64]:
    """Fit gain and offset.

    Parameters
    ----------
    own : ndarray of float64, (height, width)
        The pixels to correct.
    others : list of one or two ndarray, (height, width)
        The same place in the neighbours, in the grey values that are wanted.
    valid : ndarray of bool, (height, width)
        Which pixels count. A rectangle without any is left as it is.
    counts : (int, int)
        Number of rectangles along rows and columns.
    position : float
        Where the section lies between its neighbours.

    Returns
    -------
    gain, offset : ndarray of float64, `counts`
    """
    images = [own, *others]
    overall = [_figures(image[valid], 0.0) for image in images]
    floors = [FAINT * spread for _, spread in overall]
    weight = np.zeros(counts)
    cells = np.zeros((len(images), 2, *counts))
    for row, column, part in _rectangles(own.shape, counts):
        seen = valid[part]
        weight[row, column] = seen.sum()
        if seen.any():
            for n, (image, floor) in enumerate(zip(images, floors, strict=True)):
                cells[n, :, row, column] = _figures(image[part][seen], floor)
    used = weight > 0
    cells[:, 1] = np.log(np.where(used, cells[:, 1], 1))
    near, far = (1 - position, position) if len(others) == 2 else (1.0, 0.0)
    level = near * overall[1][0] + far * overall[-1][0]
    spread = near * np.log(overall[1][1]) + far * np.log(overall[-1][1])
    target = near * cells[1] + far * cells[-1]
    change = cells[1] - cells[-1]

    def shrunk(excess: Float64, noise: Float64) -> Float64:
        """What is left of an excess when tissue that changes is discounted."""
        if len(others) < 2 or used.sum() < 2:
            return np.zeros_like(excess)
        share = weight / weight.sum()
        expected = (share * np.square(noise - (share * noise).sum())).sum()
        expected *= (1 + near**2 + far**2) / 2
        found = (share * np.square(excess)).sum()
        return excess * max(0.0, 1 - expected / found) if found else excess

    usual = spread - np.log(overall[0][1])
    excess = np.where(used, target[1] - cells[0, 1] - usual, 0)
    gain = np.exp(usual + shrunk(excess, change[1]).clip(-LARGEST, LARGEST))
    middle = overall[0][0]
    left = np.where(used, target[0] - gain * (cells[0, 0] - middle) - level, 0)
    offset = level + shrunk(left, change[0]) - gain * middle
    return np.where(used, gain, 1.0), np.where(used, offset, 0.0)


def _figures(values: Float64, floor: float) -> tuple[float, float]:
    """Median and contrast of grey values."""
    low, middle, high = np.quantile(values, (ENDS[0], 0.5, ENDS[1]))
    spread = float(high - low) + floor  # 0 where nearly all values are the same
    return float(middle), spread or float(values.std()) or 1.0


def _rectangles(
    shape: tuple[int, ...], counts: tuple[int, int]
) -> Iterator[tuple[int, int, Window]]:
    rows, columns = (
        np.linspace(0, length, count + 1).round().astype(int).tolist()
        for length, count in zip(shape, counts, strict=True)
    )
    for row in range(counts[0]):
        for column in range(counts[1]):
            yield (
                row,
                column,
                (
                    slice(rows[row], rows[row + 1]),
                    slice(columns[column], columns[column + 1]),
                ),
            )


def _weights(part: slice, span: slice, count: int) -> Float64:
    """How pixels of a part are interpolated between the middles of `count` rectangles."""
    side = (span.stop - span.start) / count
    at = (np.arange(part.start, part.stop) + 0.5 - span.start) / side - 0.5
    at = at.clip(0, count - 1)
    low = np.minimum(at.astype(int), max(count - 2, 0))
    weights = np.zeros((len(at), count))
    weights[np.arange(len(at)), low] = 1 - (at - low)
    if count > 1:
        weights[np.arange(len(at)), low + 1] = at - low
    return weights


def _count(length: int, side: int) -> int:
    """Number of rectangles along an axis."""
    return max(1, min(MOST, length // side))


def _padded(window: Window, side: int, shape: tuple[int, int]) -> Window:
    """A window with a rectangle more to each side, where the section has it."""
    rows, columns = (
        slice(max(0, part.start - side), min(part.stop + side, length))
        for part, length in zip(window, shape, strict=True)
    )
    return rows, columns


def _thinned(survey: Survey, z: int) -> Float64:
    """Evenly spread pixels of a section."""
    stack = survey.stack
    step = _step(stack.shape[1:])
    bands = [
        band[-rows.start % step :: step, ::step].astype(np.float64) for rows, band in stack.bands(z)
    ]
    return np.concatenate(bands)


def _step(shape: tuple[int, int]) -> int:
    return max(1, int(np.ceil((shape[0] * shape[1] / SAMPLE) ** 0.5)))
