"""Intensity: what a section's grey values are like, and how two sections are made alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.stack.defects import Defects
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
        Whether all values are.
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
        return self.finite and self.maximum > self.minimum

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


def measure(stack: SliceStack, z: int, defects: Defects | None = None) -> Intensity:
    """Distribution of a section's grey values, reading it band by band.

    Parameters
    ----------
    stack : SliceStack
        Where to read.
    z : int
        Which section.
    defects : Defects, optional
        Marks; marked pixels do not count.
    """
    count, total, square = 0, 0.0, 0.0
    shift: float | None = None
    low, high = np.inf, -np.inf
    sample: list[Array] = []
    step = max(1, -(-stack.shape[1] * stack.shape[2] // SAMPLE))
    for rows, band in stack.bands(z):
        marked = defects.mask(z, (rows, slice(0, stack.shape[2]))) if defects else None
        pixels = band.ravel() if marked is None else band[~marked]
        values = pixels.astype(np.float64)
        if not np.isfinite(values).all():
            return Intensity(np.nan, np.nan, np.nan, np.nan, np.full_like(QUANTILES, np.nan), False)
        if not len(values):
            continue
        if shift is None:  # keeps the sum of squares well conditioned
            shift = float(values[0])
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        values -= shift
        count += len(values)
        total += float(values.sum())
        square += float(np.square(values).sum())
        sample.append(pixels[::step])
    if shift is None:
        return Intensity(np.nan, np.nan, np.nan, np.nan, np.full_like(QUANTILES, np.nan), False)
    mean = total / count
    std = float(np.sqrt(max(square / count - mean**2, 0.0)))
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
