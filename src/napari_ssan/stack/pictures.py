"""Small pictures of sections: which part of them is shown, and on which grey scale.

A picture has a limited size, so of a large section only every n-th pixel is read. Easy to get
wrong: the grey scale is that of the good slices, since a broken one may be all white.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion

from napari_ssan.stack.sections import Array, Window

#: Smallest side of what is shown of a region, and largest side of a picture, in pixels.
SMALLEST, LARGEST = 128, 320
#: Largest side of a picture that is to be looked at closely.
ENLARGED = 512
#: Percentiles of the pixels that are shown black and white.
ENDS = (0.5, 99.5)
#: Colour of the line around a part of a picture.
OUTLINE = (255, 140, 0)


def framed(shape: tuple[int, int], part: Window | None = None, largest: int = LARGEST) -> Window:
    """Choose what to show of a section: all of it, or a part with its surroundings.

    Parameters
    ----------
    shape : (int, int)
        Of the section.
    part : (slice, slice), optional
        The part.
    largest : int
        Longest side of the picture, in pixels.

    Returns
    -------
    (slice, slice)
        With the steps that make the picture small enough.
    """
    spans = []
    for number, length in enumerate(shape):
        if part is None:
            spans.append((0, length))
            continue
        half = max(SMALLEST, 2 * (part[number].stop - part[number].start)) // 2
        centre = (part[number].start + part[number].stop) // 2
        low = max(0, min(centre - half, length - 2 * half))
        spans.append((low, min(low + 2 * half, length)))
    step = max(1, -(-max(stop - start for start, stop in spans) // largest))
    rows, columns = (slice(start, stop, step) for start, stop in spans)
    return rows, columns


def around(shape: tuple[int, int], centre: tuple[int, int], span: int) -> Window:
    """Choose a square of a section, within it, with the steps that make its picture small enough.

    Parameters
    ----------
    shape, centre : (int, int)
        Of the section, and of the square.
    span : int
        Side of the square, in pixels; less where the section is smaller.
    """
    step = max(1, -(-span // ENLARGED))
    parts = []
    for length, middle in zip(shape, centre, strict=True):
        start = max(0, min(middle - span // 2, length - span))
        parts.append(slice(start, min(start + span, length), step))
    return parts[0], parts[1]


def grey_limits(pictures: Iterable[Array]) -> tuple[float, float]:
    """Grey values to show black and white in pictures, whatever their sizes."""
    found = [np.nan_to_num(each.astype(np.float64)).ravel() for each in pictures]
    low, high = np.percentile(np.concatenate(found), ENDS)
    return float(low), float(high)


def to_grey(pixels: Array, limits: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Turn grey values into those of a picture; what is not a number is black."""
    low, high = limits
    unit = (np.nan_to_num(pixels.astype(np.float64), nan=low) - low) / ((high - low) or 1.0)
    grey: npt.NDArray[np.uint8] = (255 * unit.clip(0, 1)).round().astype(np.uint8)
    return grey


def outlined(
    grey: npt.NDArray[np.uint8], part: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.uint8]:
    """Give a grey picture (height, width) colours (height, width, 3), and a part of it a line."""
    picture = np.repeat(grey[..., None], 3, axis=2)
    if part is not None:
        picture[part & ~binary_erosion(part, border_value=0)] = OUTLINE
    return picture
