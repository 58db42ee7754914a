"""Registers sections by a shift: finds it, and reads a section shifted.

Turns and stretches are left to :mod:`~napari_ssan.stack.registration`. A shift is in (rows,
columns), and says how far the *moving* section must be moved.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq
from scipy.ndimage import gaussian_filter, shift

from napari_ssan.stack.sections import Array, SliceStack, Window

#: Scale of grain, in pixels. It is removed before sections are compared, so that they can be
#: compared at a resolution that is reduced by this factor.
GRAIN, REDUCTION = 2.0, 2
#: Scale from which a blur is broad, in pixels.
BROAD = 8
#: Places between pixels that are tried on either side of the best pixel.
FINER = 15
#: Largest side of the field that is compared, in pixels.
FIELD = 1024
#: Shifts longer than this share of the compared field are rejected.
LARGEST = 0.25
#: Longest shift that can be found, in pixels.
LONGEST_SHIFT = round(LARGEST * FIELD)
#: Shifts shorter than this, in pixels, are ignored: resampling would do more harm than good.
SMALLEST = 0.75
#: A shift is accepted only if it raises the correlation by this much.
GAIN = 0.04

#: Extra pixels that a spline needs around those that it interpolates.
SPLINE = 5

Shift = tuple[float, float]
#: float32, or float64 if the pixels need it.
Float = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int_]
NOWHERE: Shift = (0.0, 0.0)


def find_shift(
    reference: Array, moving: Array, valid: Mask | None = None, valid_moving: Mask | None = None
) -> Shift:
    """Find how far `moving` must be shifted to lie on `reference`.

    The shift is found by cross-correlation to a tenth of a pixel. It is accepted only if
    the sections then correlate better than unshifted.

    Parameters
    ----------
    reference, moving : ndarray, (height, width)
        Two sections, or the same part of them.
    valid, valid_moving : ndarray of bool, (height, width), optional
        Pixels of `reference` and `moving` that count.

    Returns
    -------
    (float, float)
        Rows and columns; (0, 0) if no shift is accepted.
    """
    flat = [structure(reference, valid), structure(moving, valid_moving)]
    tapered = [taper(image) for image in flat]
    if min(np.ptp(image) for image in tapered) == 0:
        return NOWHERE
    rows, columns = offset_between(*tapered)
    offset = (rows, columns)
    if (
        np.abs(offset).max() < SMALLEST
        or (np.abs(offset) > LARGEST * np.array(reference.shape)).any()
    ):
        return NOWHERE
    there = np.divide(offset, REDUCTION)
    moved = shift(flat[1], there, order=1, mode="constant", cval=np.nan)
    seen = (
        np.isfinite(moved)
        if valid is None
        else np.isfinite(moved) & (reduced(valid, REDUCTION) == 1)
    )
    if seen.sum() < 0.25 * seen.size:
        return NOWHERE
    better = correlation(flat[0][seen], moved[seen])
    return offset if better > correlation(flat[0][seen], flat[1][seen]) + GAIN else NOWHERE


def read_shifted(
    stack: SliceStack, z: int, window: Window, offset: Shift, order: Literal[1, 3] = 3
) -> Array:
    """Shift a section by `offset`, and read the part that then lies in `window`.

    Shifts by whole pixels keep the values and the dtype. Fractions are interpolated by
    splines of an order, in float64. Outside its border, the section is continued by reflection.
    """
    if offset == NOWHERE:
        return stack.read(z, window)
    whole = np.floor(offset).astype(int)
    fraction = np.subtract(offset, whole)
    margin = SPLINE if fraction.any() else 0
    low, high = (
        np.array([getattr(part, end) for part in window]) - whole for end in ("start", "stop")
    )
    pixels = read_padded(stack, z, low - margin, high + margin)
    if not margin:
        return pixels
    moved: Array = shift(pixels.astype(np.float64), fraction, order=order, mode="nearest")
    return moved[margin:-margin, margin:-margin]


def read_padded(stack: SliceStack, z: int, low: Index, high: Index) -> Array:
    """Read a section from `low` up to `high`, (row, column) each, even outside its border.

    Outside its border, the section is continued by reflection.
    """
    window = inside(stack, low, high)
    pads = [
        (max(part.start - first, 0), max(end - part.stop, 0))
        for part, first, end in zip(window, low.tolist(), high.tolist(), strict=True)
    ]
    pixels = np.pad(stack.read(z, window), pads, mode="symmetric")
    return pixels[: high[0] - low[0], : high[1] - low[1]]


def inside(stack: SliceStack, low: Index, high: Index) -> Window:
    """Clip the range from `low` up to `high` to a section; keeps at least one row and column."""
    rows, columns = (
        slice(min(max(first, 0), length - 1), max(min(end, length), 1))
        for first, end, length in zip(low.tolist(), high.tolist(), stack.shape[1:], strict=True)
    )
    return rows, columns


def field_of(shape: tuple[int, int], window: Window | None) -> Window:
    """Field in which sections are compared: around `window` or the middle, at most 1024 x 1024."""
    spans = []
    for length, part in zip(shape, window or (None, None), strict=True):
        centre = length // 2 if part is None else (part.start + part.stop) // 2
        low = min(max(centre - FIELD // 2, 0), max(length - FIELD, 0))
        spans.append(slice(low, min(low + FIELD, length)))
    return spans[0], spans[1]


def structure(pixels: Array, valid: Mask | None = None, reduction: int = REDUCTION) -> Float:
    """Remove grain and slow shading from (height, width) pixels, and reduce the resolution.

    Height and width of the result are divided by `reduction` and rounded up. It is
    zero where `valid`, (height, width), is False; pixels there have no effect.
    """
    scales = (GRAIN / reduction, 8 * GRAIN / reduction)
    if valid is None or valid.all():
        image = reduced(pixels, reduction)
        fine, coarse = (_blurred(image, scale) for scale in scales)
    else:
        weight, image = (reduced(x, reduction) for x in (valid, np.where(valid, pixels, 0)))
        fine, coarse = (
            weight * _blurred(image, scale) / np.maximum(_blurred(weight, scale), 1e-6)
            for scale in scales
        )
    return fine - coarse


def taper(image: Float) -> Float:
    """Fade an image out towards its border."""
    lines = (np.hanning(n + 2)[1:-1].astype(np.float32) for n in image.shape)
    return image * np.outer(*lines)


def offset_between(reference: Float, moving: Float) -> Shift:
    """Shift between the structures of two sections, in pixels of these, to a tenth."""
    # No whitening: it would amplify the band of grain, which was removed.
    shape = np.array(reference.shape)
    spectrum = rfft2(reference) * np.conj(rfft2(moving))
    products = np.abs(irfft2(spectrum, shape))
    place = np.array(np.unravel_index(products.argmax(), products.shape))
    place -= np.where(place > shape // 2, shape, 0)
    # The same by sums, for places between pixels near the largest (Guizar-Sicairos et al. 2008).
    near = np.arange(-FINER, FINER + 1) / (10 * REDUCTION)
    rows, columns = place[:, None] + near
    waves = np.exp(2j * np.pi * np.outer(rows, fftfreq(shape[0]))).astype(spectrum.dtype)
    across = np.exp(2j * np.pi * np.outer(columns, rfftfreq(shape[1]))).astype(spectrum.dtype)
    across[:, 1 : (shape[1] + 1) // 2] *= 2  # these stand for their mirror images as well
    # Not with @: the threads of BLAS would wait for more in a loop, and take a core from others.
    found = np.einsum("yh,wh->yw", waves, np.ascontiguousarray(spectrum.T))
    closer = np.abs(np.einsum("yw,xw->yx", found, across).real)
    row, column = np.unravel_index(closer.argmax(), closer.shape)
    return float(REDUCTION * rows[row]), float(REDUCTION * columns[column])


def _blurred(image: Float, scale: float) -> Float:
    """Blur; broadly at a reduced resolution, where that is ten times as quick."""
    if scale < BROAD:
        blurred: Float = gaussian_filter(image, scale)
        return blurred
    step = BROAD // 2
    # Means of squares and interpolation blur as well: by a quarter of the step's square.
    blurred = gaussian_filter(reduced(image, step), (scale**2 - step**2 / 4) ** 0.5 / step)
    for axis, length in enumerate(image.shape):
        blurred = interpolated(blurred, (np.arange(length) + 0.5) / step - 0.5, axis)
    return blurred


def interpolated(values: Float, at: npt.NDArray[np.float64], axis: int) -> Float:
    """Interpolate linearly along an axis, at places `at`; beyond the ends, their values go on."""
    last = values.shape[axis] - 1
    at = at.clip(0, last)
    low = at.astype(int)
    share = (at - low).astype(values.dtype).reshape(-1, *[1] * (values.ndim - axis - 1))
    here, there = (values.take(np.minimum(low + n, last), axis) for n in (0, 1))
    there -= here
    there *= share
    between: Float = here + there
    return between


def reduced(pixels: Array, reduction: int) -> Float:
    """Means of squares of pixels; the last row and column count again where they are cut short."""
    pads = [(0, -length % reduction) for length in pixels.shape]
    image = np.pad(pixels, pads, mode="edge") if any(pad for _, pad in pads) else pixels
    # Sums of few large slices: a mean over short axes is many times slower.
    exact = np.result_type(image.dtype, np.float32)
    lines = image[::reduction].astype(exact)
    for n in range(1, reduction):
        lines += image[n::reduction]
    means: Float = lines[:, ::reduction].copy()
    for n in range(1, reduction):
        means += lines[:, n::reduction]
    means /= exact.type(reduction**2)
    return means


def correlation(a: Array, b: Array) -> float:
    """Correlation of two arrays' values; 0 if either is constant."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum()) / norm if norm else 0.0
