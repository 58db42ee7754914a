"""Intensity: the distribution of a section's grey values, and matching it to another's.

The network works on normalized values: the mean at 0.5, and 1 / SPAN per standard deviation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import Array, SliceStack, Window

#: The network's unit interval spans this many standard deviations of a section.
SPAN = 6.0
#: Quantiles at which the distribution of a section is kept.
QUANTILES = np.linspace(0, 1, 1025)
#: Largest number of pixels from which a distribution is measured.
SAMPLE = 2**21
#: Pixels that are counted at once: they stay in the processor's cache.
COUNTED = 2**18
#: All grey values of a byte.
GREYS = np.arange(256)

Float = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Intensity:
    """Distribution of grey values in a section.

    Attributes
    ----------
    mean, std, minimum, maximum : float
        In the stack's grey values.
    quantiles : ndarray of float64, (1025,)
        Values at :data:`QUANTILES`.
    finite : bool
        Whether all values are finite and their variance can be computed in float64.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    quantiles: Float64
    finite: bool = True

    @property
    def usable(self) -> bool:
        """Whether the section is finite and not constant."""
        return self.finite and self.std > 0

    def normalize(self, pixels: Array) -> Float:
        """Convert grey values to the network's scale: mean at 0.5, six standard deviations to 1."""
        if pixels.dtype == np.uint8 and pixels.size > GREYS.size:  # to look them up is quicker
            return self.normalize(GREYS.astype(np.float64))[pixels]
        unit = (pixels.astype(np.float64) - self.mean) / (SPAN * self.std) + 0.5
        return unit.astype(np.float32)

    def denormalize(self, unit: Float) -> Float64:
        """The inverse of :meth:`normalize`."""
        return (unit.astype(np.float64) - 0.5) * (SPAN * self.std) + self.mean

    def blend(self, other: Intensity, share: float) -> Intensity:
        """Mix two distributions, `share` of the way from this one to `other`."""

        def mix(a: Any, b: Any) -> Any:
            return (1 - share) * a + share * b

        return Intensity(
            mix(self.mean, other.mean),
            mix(self.std, other.std),
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            mix(self.quantiles, other.quantiles),
            self.finite and other.finite,
        )


#: Intensity of a section with values that are not finite, or without pixels that count.
UNKNOWN = Intensity(np.nan, np.nan, np.nan, np.nan, np.full_like(QUANTILES, np.nan), False)


def measure(
    stack: SliceStack, z: int, marks: Marks | None = None, window: Window | None = None
) -> Intensity:
    """Measure the distribution of a section's grey values, reading it band by band.

    Parameters
    ----------
    stack : SliceStack
    z : int
    marks : Marks, optional
        Marks; marked pixels do not count.
    window : (slice, slice), optional
        The part of the section that counts, with start and stop; default is all.
    """
    lines, columns = window or (slice(0, stack.shape[1]), slice(0, stack.shape[2]))
    bands = (
        band.ravel() if marked is None else band[~marked]
        for rows, band in stack.bands(z, columns, lines)
        for marked in [marks.mask(z, (rows, columns)) if marks else None]
    )
    if stack.dtype.kind in "ui" and stack.dtype.itemsize <= 2:
        return _counted(bands, stack.dtype)
    count, total, square = 0, 0.0, 0.0
    shift: float | None = None
    low, high = np.inf, -np.inf
    sample: list[Array] = []
    step = max(1, -(-stack.shape[1] * stack.shape[2] // SAMPLE))
    for pixels in _parts(bands, step):
        values = pixels.astype(np.float64)
        if not np.isfinite(values).all():
            return UNKNOWN
        if not len(values):
            continue
        if shift is None:  # keeps the sum of squares well conditioned
            shift = float(values[0])
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        values -= shift
        count += len(values)
        total += float(values.sum())
        with np.errstate(over="ignore"):
            square += float(np.square(values).sum())
        sample.append(pixels[::step])
    if shift is None:
        return UNKNOWN
    mean = total / count
    with np.errstate(over="ignore", invalid="ignore"):
        variance = float(square / count - np.square(mean))
    if not np.isfinite(variance):
        return UNKNOWN
    std = max(variance, 0.0) ** 0.5
    quantiles = np.quantile(np.concatenate(sample).astype(np.float64), QUANTILES)
    return Intensity(mean + shift, std, low, high, quantiles)


def _parts(bands: Iterable[Array], step: int) -> Iterator[Array]:
    """Few pixels at a time, so that their copies stay small; a multiple of `step`, but the last."""
    size = -(-COUNTED // step) * step
    for pixels in bands:
        for start in range(0, len(pixels), size):
            yield pixels[start : start + size]


def _counted(bands: Iterable[Array], dtype: np.dtype[Any]) -> Intensity:
    """Of few grey values, each is counted: that is exact, and quicker than sums and sorting."""
    first = np.iinfo(dtype).min
    counts = np.zeros(256**dtype.itemsize, np.int64)
    for pixels in _parts(bands, 1):
        counts += np.bincount(pixels.astype(np.int64) - first, minlength=len(counts))
    count = int(counts.sum())
    if not count:
        return UNKNOWN
    values = np.flatnonzero(counts) + float(first)
    counts = counts[counts > 0]
    mean = float(np.average(values, weights=counts))
    std = float(np.average(np.square(values - mean), weights=counts)) ** 0.5
    ranks, places = np.cumsum(counts), QUANTILES * (count - 1)
    below, above = (
        values[np.searchsorted(ranks, end(places), side="right")] for end in (np.floor, np.ceil)
    )
    quantiles = below + (above - below) * (places % 1)
    return Intensity(mean, std, float(values[0]), float(values[-1]), quantiles)


def specify(values: Float64, own: Float64, wanted: Float64) -> Float64:
    """Give values a wanted distribution (histogram specification).

    Parameters
    ----------
    values : ndarray of float64
        Any shape.
    own, wanted : ndarray of float64, (1025,)
        The distribution of `values` and the wanted one, at :data:`QUANTILES`. Values
        outside `own` keep their distance from its ends.
    """
    rising = np.concatenate(([True], np.diff(own) > 0))
    matched = np.interp(values, own[rising], wanted[rising])
    beyond: Float64 = np.minimum(values - own[0], 0) + np.maximum(values - own[-1], 0)
    return matched + beyond


def to_dtype(values: Float64, dtype: np.dtype[Any]) -> Array:
    """Round to an integer dtype and clip to its range; float dtypes are only cast."""
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        values = np.clip(np.rint(values), info.min, info.max)
    return values.astype(dtype)
