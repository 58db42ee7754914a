"""The expected error of a repaired section: summed up in figures, and said in a sentence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.provenance import ErrorSummary
from napari_ssan.engine.repaired import RepairedStack, Slot
from napari_ssan.stack.sections import Array

#: Side of the squares whose means are compared, in pixels.
SQUARE = 16
#: Pixels that are looked at for the highest place, at most.
SAMPLE = 2**21
#: Mean error over the section's contrast: up to here structures can be trusted, or their course.
STRUCTURES, COURSE = 0.5, 0.8


def summarize(
    error: Array, mask: npt.NDArray[np.bool_] | None, top: int, left: int, contrast: float
) -> ErrorSummary:
    """Mean of a map, and the place where it is highest.

    Parameters
    ----------
    error : ndarray of float32, (height, width)
        The map; of a large one, not every pixel is looked at.
    mask : ndarray of bool, (height, width), or None
        Which pixels count; None for all.
    top, left : int
        Place of its first pixel in the section.
    contrast : float
        Standard deviation of the section.
    """
    step = max(1, int(np.ceil(np.sqrt(error.size / SAMPLE))))
    seen = error[::step, ::step].astype(np.float64)
    weight = np.ones(seen.shape) if mask is None else mask[::step, ::step].astype(np.float64)
    if not weight.any():  # a mask so thin that the steps miss it
        weight[:] = 1
    side = max(1, SQUARE // step)
    sums, pixels = (_squares(values, side) for values in (seen * weight, weight))
    # Squares with little of the mask in them are left out: their means are those of few pixels.
    means = np.where(pixels >= 0.5 * pixels.max(), sums / np.maximum(pixels, 1), -np.inf)
    row, column = np.unravel_index(int(means.argmax()), means.shape)
    y, x = (
        start + min((int(at) * side + side // 2) * step, length - 1)
        for at, start, length in zip((row, column), (top, left), error.shape, strict=True)
    )
    mean = float(sums.sum() / pixels.sum())
    return ErrorSummary(mean=mean, highest=float(means.max()), y=y, x=x, contrast=contrast)


def error_sentence(repaired: RepairedStack, slot: Slot) -> str:
    """Say how far a section can be trusted; empty if all of it is real."""
    records = [patch.record for patch in repaired.patches(slot)]
    if not records:
        return ""
    z, number = slot
    if all(record.corrected for record in records):
        return f"Slice {z}: its own pixels, corrected; nothing of it is synthetic."
    records = [record for record in records if not record.corrected]
    which = f"Missing section {number} after {z}" if number else f"Slice {z}"
    known = [(record.share, record.error) for record in records if record.error is not None]
    if not known:
        copied = all(len(record.neighbours) == 1 for record in records)
        why = "it is a copy of one slice." if copied else "repair it again to have it estimated."
        return f"{which}: nothing is known of its error; {why}"
    shares = [share for share, _ in known]
    mean = float(np.average([error.mean for _, error in known], weights=shares))
    contrast = float(np.average([error.contrast for _, error in known], weights=shares))
    worst = max((error for _, error in known), key=lambda error: error.highest)
    return (
        f"{which}: expected error {mean:.3g} grey values on average, highest near "
        f"y {worst.y}, x {worst.x} ({worst.highest:.3g}). {_trust(mean / contrast)}"
    )


def _trust(share: float) -> str:
    """What an error, as a share of the section's contrast, leaves to be trusted."""
    part = f"That is {100 * share:.0f} % of the section's contrast: "
    if share < STRUCTURES:
        return f"{part}trust the structures, not the fine texture."
    if share < COURSE:
        return f"{part}trust the course of large structures, not details."
    return f"{part}no better than uniform grey; trust nothing in it."


def _squares(values: Array, side: int) -> Array:
    """Sums over squares; those at the end may be smaller."""
    rows, columns = (np.arange(0, length, side) for length in values.shape)
    summed: Array = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    return summed
