"""Plants damage in good sections, in memory, to learn how damage looks in a stack.

It serves the calibration and the benchmark. Easy to get wrong: strengths are in the section's
own contrast and size, so the same strength is as visible in every stack.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d, rotate, shift

from napari_ssan.inspection.pictures import Float, Mask, scale_of

#: Whole sections, and regions, that can be damaged in these ways.
SLICE_KINDS = ("blank", "duplicate", "brightness", "blur", "noise", "displaced", "discontinuity")
REGION_KINDS = ("contamination", "hole", "fold", "crack", "charging", "blur")
#: Weak, medium and strong: as dark or light as the 2 % darkest or lightest pixels, and more.
STRENGTHS = (0, 1, 2)


def plant_slice(
    kind: str, pixels: Float, other: Float, strength: int, random: np.random.Generator
) -> Float:
    """Damage a whole section.

    Parameters
    ----------
    kind : str
        One of :data:`SLICE_KINDS`.
    pixels : ndarray of float32, (height, width)
        The section.
    other : ndarray of float32, (height, width)
        The section before it for a duplicate; one from elsewhere for a discontinuity.
    strength : int
        0, 1 or 2.
    random : numpy.random.Generator
        Chooses directions and signs.
    """
    level, contrast = scale_of(pixels)
    sign = random.choice((-1.0, 1.0))
    if kind == "blank":
        return np.full_like(pixels, random.choice((0.0, level)))
    if kind == "duplicate":
        grain = (0.0, 0.02, 0.05)[2 - strength] * contrast
        return other + grain * _noise(random, pixels.shape)
    if kind == "brightness":
        gain = (0.7, 0.55, 0.4)[strength]
        offset = sign * (1.2, 2.0, 3.0)[strength] * contrast
        which = random.integers(3)
        moved = (pixels - level) * (gain if which else 1.0) + level
        return moved + (offset if which != 1 else 0)
    if kind == "blur":
        scale = (1.2, 2.0, 3.5)[strength]
        if random.integers(2):
            return gaussian_filter1d(pixels, 1.8 * scale, axis=int(random.integers(2)))
        return gaussian_filter(pixels, scale)
    if kind == "noise":
        return pixels + (0.7, 1.2, 2.0)[strength] * contrast * _noise(random, pixels.shape)
    if kind == "displaced":
        if random.integers(2):
            angle = sign * (2.5, 4.5, 7.0)[strength]
            return rotate(pixels, angle, reshape=False, order=1, mode="reflect")
        far = (0.02, 0.04, 0.08)[strength] * min(pixels.shape)
        turn = random.uniform(0, 2 * np.pi)
        offset = (far * np.sin(turn), far * np.cos(turn))
        return shift(pixels, offset, order=1, mode="reflect")
    return other


def plant_region(
    kind: str,
    pixels: Float,
    strength: float,
    random: np.random.Generator,
    around: Mask | None = None,
) -> tuple[Float, Mask]:
    """Damage a region of a section.

    Parameters
    ----------
    kind : str
        One of :data:`REGION_KINDS`.
    pixels : ndarray of float32, (height, width)
        The section.
    strength : float
        0 to 2: size and visibility.
    random : numpy.random.Generator
        Chooses place and shape.
    around : ndarray of bool, (height, width), optional
        Pixels that stay as they are; the region keeps clear of them if it can.

    Returns
    -------
    pixels, mask : ndarray, (height, width)
        The damaged section, and the pixels that are damaged.
    """
    level, contrast = scale_of(pixels)
    height, width = pixels.shape
    size = _at(strength, 0.001, 0.003, 0.008) * (3 if kind in ("charging", "blur") else 1)
    shape = _line if kind in ("fold", "crack") else _blob
    for _ in range(20):
        mask = shape(random, (height, width), size, strength)
        if around is None or not (mask & around).any():
            break
    soft = gaussian_filter(mask.astype(np.float32), 1.0)
    sign = -1 if kind in ("contamination", "fold") else 1
    end = float(np.quantile(pixels, 0.02 if sign < 0 else 0.98))
    depth = _at(strength, 0.9, 1.2, 1.6) * (end - level)
    cover = _at(strength, 0.8, 0.9, 0.97)
    if kind == "blur":
        change = soft * (gaussian_filter(pixels, _at(strength, 2.0, 3.0, 5.0)) - pixels)
    elif kind == "charging":
        reach = 0.15 * size**0.5 * min(height, width)
        change = depth * gaussian_filter(mask.astype(np.float32), reach)
    else:
        mottled = 0.3 * contrast * gaussian_filter(_noise(random, pixels.shape), 1.5)
        change = cover * soft * (level + depth + mottled - pixels)
    return (pixels + change).astype(np.float32), mask


def _at(strength: float, *figures: float) -> float:
    """A figure that is given at strengths 0, 1 and 2."""
    return float(np.interp(strength, STRENGTHS, figures))


def _noise(random: np.random.Generator, shape: tuple[int, ...]) -> Float:
    return random.standard_normal(shape).astype(np.float32)


def _place(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    return random.uniform(0.08, 0.92, 2) * shape


def _blob(
    random: np.random.Generator, shape: tuple[int, int], size: float, strength: float
) -> Mask:
    """A ragged blob that covers about this share of the section."""
    del strength
    radius = (size * shape[0] * shape[1] / np.pi) ** 0.5
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    y, x = _place(random, shape)
    distance = np.hypot(rows - y, columns - x)
    ragged = gaussian_filter(random.standard_normal(shape), max(1.0, radius / 3))
    mask: Mask = distance + 0.25 * radius * ragged / ragged.std() < radius
    return mask


def _line(
    random: np.random.Generator, shape: tuple[int, int], size: float, strength: float
) -> Mask:
    """A gently bent line, a quarter to half as long as the section."""
    del size
    side = min(shape)
    length = _at(strength, 0.25, 0.35, 0.5) * side
    half = _at(strength, 0.005, 0.007, 0.01) * side
    turn, bend = random.uniform(0, 2 * np.pi), random.uniform(-1, 1)
    steps = np.linspace(-0.5, 0.5, int(2 * length))
    heading = turn + bend * steps
    path = np.cumsum(np.stack((np.sin(heading), np.cos(heading))), axis=1) / 2
    path += (_place(random, shape) - path.mean(axis=1))[:, None]
    apart = np.ones(shape, bool)
    rows, columns = path.round().astype(int)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    apart[rows[inside], columns[inside]] = False
    mask: Mask = distance_transform_edt(apart) <= max(1.0, half)
    return mask
