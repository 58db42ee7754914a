"""Pictures of a section: reduced, smoothed, its fine detail, and what the network sees.

Easy to get wrong: sections with long sides are compared at half of the resolution of the view, so
masks and places are counted in pixels of comparison.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

#: Sections with shorter sides are compared at the view's resolution, others at half of it.
HALVED = 384
#: Sections are smoothed by this many pixels of comparison.
SMOOTH = 1.5
#: Median and MAD are those of every so manyth pixel of every so manyth row, and fine detail is
#: measured in every so manyth row.
THIN = 2
#: MAD (median absolute deviation) of a normal distribution whose standard deviation is 1.
MAD = 0.6745
#: Scale of spots that are even, in pixels of comparison.
SPOT = 2.6
#: Side of the middle in which shifts are found, in pixels of comparison.
FIELD = 320
#: Farther from the median, grey values and fine detail are all the same to the network.
FARTHEST = 5.0

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Scale(NamedTuple):
    """Median of a section, and standard deviation of a normal distribution of its MAD."""

    level: float
    contrast: float


def scale_of(values: Float) -> Scale:
    """By what a picture of grey values is scaled; the contrast is not 0, whatever they are."""
    level = float(np.median(values))
    spread = float(np.median(np.abs(values - np.float32(level)))) / MAD
    return Scale(level, spread or float(values.std(dtype=float)) or 1.0)


def step(shape: tuple[int, ...]) -> int:
    """Pixels of a section of this shape along a side of those that are compared."""
    return 1 if min(shape) < HALVED else 2


def coarse(image: Float) -> Float:
    """Reduce an image to the resolution at which sections are compared."""
    return image if step(image.shape) == 1 else halved(image)


def halved(image: Float) -> Float:
    """Join 2 x 2 pixels into their mean."""
    height, width = (n // 2 for n in image.shape)
    image = image[: 2 * height, : 2 * width]
    joined: Float = image[::2, ::2] + image[1::2, ::2]
    joined += image[::2, 1::2]
    joined += image[1::2, 1::2]
    return joined / np.float32(4)


def middle(image: Float) -> Float:
    """The middle of an image at the resolution of comparison."""
    parts = (slice(max(0, (n - FIELD) // 2), (n + FIELD) // 2) for n in image.shape)
    return image[tuple(parts)]


def detail_of(unit: Float) -> Float:
    """Fine detail of a section, squared."""
    return np.square(unit - gaussian_filter(unit, 1.2, truncate=2.5))


def fine_of(detail: Float) -> Float:
    """Logarithm of local fine detail, at the resolution of comparison."""
    local = gaussian_filter(coarse(detail), 2.5, truncate=3)
    # Where there is little to see, such as in resin, less of it is no blur.
    logarithm: Float = np.log(local + 0.2 * float(np.median(local)) + 1e-6)
    return logarithm


def means_of(smooth: Float) -> Float:
    """A smoothed picture, smoothed by the scale of even spots."""
    means: Float = gaussian_filter(smooth, SPOT, truncate=3)
    return means


def evidence(unit: Float, fine: Float) -> Float:
    """Grey values, and fine detail beside its median, within limits: (2, height, width)."""
    pictures = np.stack((unit, fine - np.float32(np.median(fine))), dtype=np.float32)
    return pictures.clip(-FARTHEST, FARTHEST, out=pictures)


def grain(unit: Float) -> Float:
    """What smoothing takes away in the middle of a section, up to 256 x 256 of its pixels."""
    middle = unit[tuple(slice(max(0, n // 2 - 128), n // 2 + 128) for n in unit.shape)]
    return middle - gaussian_filter(middle, 1)
