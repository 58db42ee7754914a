"""Lines in a section: folds and cracks, and membranes that run straight for a while.

Easy to get wrong: a line of a section is odd only if no neighbour has one of like direction nearby,
since membranes move from section to section.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter
from skimage.draw import line as draw_line

#: Length of the lines along which pixels are averaged, and the number of their directions.
LINE, DIRECTIONS = 41, 20
#: The most by which a pixel counts, in MADs, and the scale of the surroundings it is compared with.
MOST_BEYOND, SURROUNDINGS = 2.0, 6.0
#: Lines may move by half of this from section to section, in pixels.
MOVES = 7

#: Lines are kept as whole numbers, so many to a MAD: in half the memory, and twice as quick.
PER_MAD = 8000

Float = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int16]


def lines_of(unit: Float) -> Whole:
    """How much lighter lines of a (height, width) image are than what is around them.

    Returns
    -------
    ndarray of int16, (directions, height, width)
        For lines that are centred at a pixel, 8000 to a MAD; dark lines are negative.
    """
    fine = gaussian_filter(unit, 0.8, truncate=3)
    raised = fine - gaussian_filter(fine, SURROUNDINGS, truncate=2)
    bounded = PER_MAD * raised.clip(-MOST_BEYOND, MOST_BEYOND)
    return np.stack([each.astype(np.int16) for each in along_lines(bounded)])


def around_lines(lines: Whole) -> Whole:
    """The lightest lines of like direction near each pixel; 0 where all are dark.

    Lines of the next directions count, too.
    """
    near, reach = np.empty_like(lines), MOVES // 2
    height, width = lines.shape[1:]
    wider = np.zeros((height + 2 * reach, width + 2 * reach), lines.dtype)
    for n, own in enumerate(lines):  # one after the other, since each stays in the cache
        moved = wider
        moved[reach : reach + height, reach : reach + width] = own
        moved = _running_maximum(_running_maximum(moved).T).T
        np.maximum(moved, lines[n - 1], out=near[n])
        np.maximum(near[n], lines[(n + 1) % len(lines)], out=near[n])
    return near.clip(0, out=near)


def beyond_lines(lines: Whole, *others: Iterable[Whole]) -> Float:
    """By how much lines are lighter than all that are near them in other sections.

    Parameters
    ----------
    lines : ndarray of int16, (directions, height, width)
        From :func:`lines_of`; the negative of it for dark lines.
    *others : iterable of ndarray, (height, width)
        Of each other section, what :func:`around_lines` gives for the directions in turn.

    Returns
    -------
    ndarray of float32, (height, width)
        The most of all directions, in MADs.
    """
    most = np.full(lines.shape[1:], np.iinfo(np.int16).min, np.int16)
    for own, *theirs in zip(lines, *others, strict=True):
        np.maximum(most, own - np.maximum.reduce(theirs), out=most)
    return np.divide(most, PER_MAD, dtype=np.float32)


def _running_maximum(image: Whole) -> Whole:
    """Maximum of every `MOVES` rows; six times as quick as SciPy's filter."""
    seen = 1
    while seen < MOVES:
        step = min(seen, MOVES - seen)
        image = np.maximum(image[:-step], image[step:])
        seen += step
    return image


def along_lines(image: Float) -> Iterator[Float]:
    """Mean of a (height, width) image along lines, for one direction after the other."""
    size = tuple(next_fast_len(n + LINE, real=True) for n in image.shape)
    half, spectrum = LINE // 2, rfft2(image, size)
    rows, columns = (slice(half, half + n) for n in image.shape)
    for each in _lines(size):
        yield irfft2(spectrum * each, size)[rows, columns]


@lru_cache(maxsize=4)
def _lines(size: tuple[int, ...]) -> list[npt.NDArray[np.complex64]]:
    """Fourier transforms of lines of all directions."""
    lines, half = [], LINE // 2
    for turn in np.pi * np.arange(DIRECTIONS) / DIRECTIONS:
        kernel = np.zeros((LINE, LINE), np.float32)
        ends = np.round(half * np.array([np.sin(turn), np.cos(turn)])).astype(int)
        kernel[draw_line(*(half - ends), *(half + ends))] = 1
        kernel = gaussian_filter(kernel, 0.7)
        lines.append(rfft2(kernel / kernel.sum(), size))
    return lines
