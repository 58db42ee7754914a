"""Figures of a section by itself: level and contrast, sharpness, stripes, specks, what is clipped.

Easy to get wrong: a figure is compared between sections, so what is left of the tissue in it, or
of how few grey values there are, counts as a departure from what is usual.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft2
from scipy.ndimage import gaussian_filter

from napari_ssan.inspection.pictures import MAD, THIN, Float, halved
from napari_ssan.stack.alignment import taper

#: A grey value that is as common as this is no step of a scale.
COMMON = 0.5
#: Quadrants in which stripes are sought are this large at least, in pixels of comparison.
SMALLEST_QUADRANT = 32
#: Pixels count by so many MADs at most, and directions are compared down to this share of the mean
#: power.
CLIP, WEAK = 2.0, 0.005
#: Directions in which stripes are sought, and their shortest and longest waves, in these pixels.
DIRECTIONS, SHORTEST_WAVE, LONGEST_WAVE = 90, 2.4, 20.0
#: Parts of a section along a side in which specks are sought, the share of them that need not
#: have any, and the share of fine detail that tissue does not exceed.
PARTS, MOST_PARTS, MUCH = 8, 0.4, 0.9


def level_and_contrast(values: Float) -> tuple[float, float]:
    """Median and scaled MAD of grey values, each of which counts as spread evenly over its step.

    Else both would jump from one whole grey value to the next.

    Parameters
    ----------
    values : ndarray of float32, (number,)
        Grey values of a section.

    Returns
    -------
    level, contrast : float
        In grey values; the contrast is 0 where most pixels have the same one.
    """
    level = _grouped_median(values)
    return level, _grouped_median(np.abs(values - np.float32(level))) / MAD


def _grouped_median(values: Float) -> float:
    """The median, where pixels of one grey value count as spread evenly over its step."""
    value = float(np.median(values))
    below, above = values[values < value], values[values > value]
    same = 1 - (len(below) + len(above)) / len(values)
    if not 0 < same <= COMMON or not (len(below) and len(above)):
        return value
    least, most = (value + float(below.max())) / 2, (value + float(above.min())) / 2
    return least + (most - least) * (0.5 - len(below) / len(values)) / same


def clipped(pixels: npt.NDArray[np.generic]) -> float:
    """Share of a section's pixels that have its lowest value, or its highest if there are more."""
    return max(float(np.mean(pixels == end)) for end in (pixels.min(), pixels.max()))


def sharpness(unit: Float) -> Float:
    """Logarithm of fine detail along four directions, divided by coarse detail, (4,)."""
    inner = unit[1:-1, 1:-1]
    along = (unit[2:, 1:-1], unit[1:-1, 2:], unit[2:, 2:], unit[2:, :-2])
    steps = np.array([np.abs(each[::THIN] - inner[::THIN]).mean() for each in along])
    broad = gaussian_filter(halved(halved(unit)), 1)
    scale = float((broad - gaussian_filter(broad, 4)).std())
    return np.log((steps + 1e-3) / (scale + 1e-3)).astype(np.float32)


def stripes(image: Float) -> float:
    """How much stronger a section varies across its stripes than in most directions.

    Stripes of whatever kind run through all four quadrants, unlike a fold or a scratch. They
    vary in one direction, so that their spectrum lies on a ray.
    """
    height, width = (n // 2 for n in image.shape)
    if min(height, width) < SMALLEST_QUADRANT:
        return 0.0
    along = []
    for top in (0, height):
        for left in (0, width):
            part = image[top : top + height, left : left + width].clip(-CLIP, CLIP)
            power = np.square(np.abs(rfft2(taper(part))))
            rays = power[_rays(part.shape)]
            usual = np.median(rays, axis=0) + WEAK * power.mean() + 1e-6
            along.append((rays / usual).mean(axis=1))
    least = np.min(along, axis=0)
    return float(np.log((least.max() + 1e-6) / (np.median(least) + 1e-6)))


@lru_cache(maxsize=8)
def _rays(shape: tuple[int, int]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of a spectrum from `rfft2` along rays, (directions, frequencies) each."""
    side = min(shape)
    frequencies = np.arange(side / LONGEST_WAVE, side / SHORTEST_WAVE) / side
    turns = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    rows, columns = np.outer(np.sin(turns), frequencies), np.outer(np.cos(turns), frequencies)
    # The spectrum of a real image ends at half of its columns; what is left of 0 lies opposite.
    rows, columns = np.where(columns < 0, -rows, rows) * shape[0], np.abs(columns) * shape[1]
    return rows.round().astype(int) % shape[0], columns.round().astype(int)


def specks(detail: Float) -> float:
    """How strong the strongest fine detail is in most parts of a section."""
    rows, columns = (n // PARTS for n in detail.shape)
    if not min(rows, columns):
        return 0.0
    cut = detail[: PARTS * rows, : PARTS * columns].reshape(PARTS, rows, PARTS, columns)
    strongest = np.quantile(cut.max(axis=(1, 3)), MOST_PARTS)
    much = np.quantile(detail[::THIN, ::THIN], MUCH)
    return float(np.log((strongest + 1e-6) / (much + 1e-6)))
