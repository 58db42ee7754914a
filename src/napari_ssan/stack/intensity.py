"""Intensity: what a section's grey values are like, and how two sections are made alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import Array, SliceStack

#: The network's unit interval spans this many standard deviations of a section.
SPAN = 6.0
#: Points at which the distribution of a section is kept.
QUANTILES = np.linspace(0, 1, 1025)
#: Pixels from which a distribution is taken, at most.
SAMPLE = 2**21

Float = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Intensity:
    """Distribution of grey values in a section.

    Attributes
    ----------
    mean, std, minimum, maximum : float
        In units of the stack.
    quantiles : ndarray of float64, (1025,)
        Values at :data:`QUANTILES`.
    finite : bool
        Whether all values are, and their spread can be computed in float64.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    quantiles: Float64
    finite: bool = True

    @property
    def usable(self) -> bool:
        """Whether there is anything to learn from the section: finite, and not constant."""
        return self.finite and self.std > 0

    def normalize(self, pixels: Array) -> Float:
        """Grey values to the network's scale: the mean at 0.5, six deviations wide."""
        unit = (pixels.astype(np.float64) - self.mean) / (SPAN * self.std) + 0.5
        return unit.astype(np.float32)

    def denormalize(self, unit: Float) -> Float64:
        """The inverse of :meth:`normalize`."""
        return (unit.astype(np.float64) - 0.5) * (SPAN * self.std) + self.mean

    def blend(self, other: Intensity, share: float) -> Intensity:
        """What lies between two sections, `share` of the way from this to `other`."""

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


#: Of a section with values that are not finite, or with none that count.
UNKNOWN = Intensity(np.nan, np.nan, np.nan, np.nan, np.full_like(QUANTILES, np.nan), False)


def measure(stack: SliceStack, z: int, marks: Marks | None = None) -> Intensity:
    """Distribution of a section's grey values, reading it band by band.

    Parameters
    ----------
    stack : SliceStack
        Where to read.
    z : int
        Which section.
    marks : Marks, optional
        Marks; marked pixels do not count.
    """
    count, total, square = 0, 0.0, 0.0
    shift: float | None = None
    low, high = np.inf, -np.inf
    sample: list[Array] = []
    step = max(1, -(-stack.shape[1] * stack.shape[2] // SAMPLE))
    for rows, band in stack.bands(z):
        marked = marks.mask(z, (rows, slice(0, stack.shape[2]))) if marks else None
        pixels = band.ravel() if marked is None else band[~marked]
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


def specify(values: Float64, own: Float64, wanted: Float64) -> Float64:
    """Histogram specification: give values the distribution that is wanted.

    Parameters
    ----------
    values : ndarray of float64
        Any shape.
    own, wanted : ndarray of float64, (1025,)
        The distribution that `values` belong to, and the one that they should
        have, at :data:`QUANTILES`. Beyond its ends, `own` is continued.
    """
    rising = np.concatenate(([True], np.diff(own) > 0))
    matched = np.interp(values, own[rising], wanted[rising])
    beyond: Float64 = np.minimum(values - own[0], 0) + np.maximum(values - own[-1], 0)
    return matched + beyond


def to_dtype(values: Float64, dtype: np.dtype[Any]) -> Array:
    """Round to an integer dtype and stay within its range; floats are only cast."""
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        values = np.clip(np.rint(values), info.min, info.max)
    return values.astype(dtype)
