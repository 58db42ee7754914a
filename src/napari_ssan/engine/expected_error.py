"""The expected error of a repaired section: summed up in figures, and said in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.provenance import ErrorSummary, SyntheticSection
from napari_ssan.engine.repaired import RepairedStack, Slot, slot_text
from napari_ssan.engine.stored import release
from napari_ssan.stack.sections import Array

#: Side of the squares whose means are compared, in pixels.
SQUARE = 16
#: Pixels that are looked at for the highest place, at most.
SAMPLE = 2**21
#: Mean error over the section's contrast: up to here structures can be trusted, or their course.
STRUCTURES, COURSE = 0.5, 0.8
#: What the distances to both neighbours do to an error, as powers of the shorter one and of the
#: mean: the network that estimates errors knows neither (``benchmarks/expected_error.py gaps``).
SHORTER, BETWEEN = 0.17, -0.12
#: Sections from the nearest real one up to which this was measured.
FARTHEST = 5
#: Colours of a map: share of its scale, and red, green, blue and opacity, each 0 to 1. What is
#: good stays clear. What nothing is known of has a colour of its own.
COLOURS = (
    (0.0, (1.0, 0.9, 0.1, 0.0)),
    (0.4, (1.0, 0.9, 0.1, 0.0)),
    (STRUCTURES / COURSE, (1.0, 0.9, 0.1, 0.35)),
    (0.8, (1.0, 0.45, 0.0, 0.5)),
    (1.0, (0.8, 0.0, 0.1, 0.65)),
)
UNKNOWN = (0.1, 0.45, 1.0, 0.35)
#: Round numbers that a scale ends at, times a power of ten.
ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


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
    side, lines = max(1, SQUARE // step), range(0, len(error), step)
    columns = np.arange(0, -(-error.shape[1] // step), side)
    counted = None if mask is None else mask[::step, ::step]
    if counted is not None and not counted.any():  # a mask so thin that the steps miss it
        counted = None
    sums, pixels = np.empty((2, -(-len(lines) // side), len(columns)))
    for number, start in enumerate(range(0, len(lines), side)):
        # Line by line: a map in a file is read where it is looked at, and nowhere else.
        seen = np.array([error[line, ::step] for line in lines[start : start + side]], np.float64)
        release(error)
        weight = np.ones_like(seen) if counted is None else counted[start : start + side]
        sums[number] = np.add.reduceat((seen * weight).sum(0), columns)
        pixels[number] = np.add.reduceat(weight.sum(0), columns)
    # Squares with little of the mask in them are left out: their means are those of few pixels.
    means = np.where(pixels >= 0.5 * pixels.max(), sums / np.maximum(pixels, 1), -np.inf)
    row, column = np.unravel_index(int(means.argmax()), means.shape)
    y, x = (
        first + min((int(at) * side + side // 2) * step, length - 1)
        for at, first, length in zip((row, column), (top, left), error.shape, strict=True)
    )
    mean = float(sums.sum() / pixels.sum())
    return ErrorSummary(mean=mean, highest=float(means.max()), y=y, x=x, contrast=contrast)


def gap_factor(distances: Sequence[int]) -> float:
    """How many times as large as estimated an error is, so far from the neighbours; 1 beside both.

    Parameters
    ----------
    distances : sequence of int
        How many sections away the neighbours are.
    """
    return float(min(distances) ** SHORTER * np.mean(distances) ** BETWEEN)


def scale_end(repaired: RepairedStack) -> float:
    """The expected error that a map shows in its last colour, in grey values of the stack.

    It is that of uniform grey, as a round number, so that it is the same for all sections.
    """
    records = [patch.record for slot in repaired.slots for patch in repaired.patches(slot)]
    known = [record.error.contrast for record in records if record.error is not None]
    wanted = COURSE * float(np.median(known)) if known else 0.0
    if wanted <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(power * min(ROUND, key=lambda number: abs(number - wanted / power)))


def coloured(error: Array, end: float) -> npt.NDArray[np.float64]:
    """Colours of a map, (height, width, 4): red, green, blue and opacity, each 0 to 1."""
    places = [place for place, _ in COLOURS]
    ramp = np.array([colour for _, colour in COLOURS])
    painted = np.stack([np.interp(error / end, places, ramp[:, n]) for n in range(4)], axis=-1)
    painted[np.isnan(error)] = UNKNOWN
    return painted


def error_sentence(repaired: RepairedStack, slot: Slot) -> str:
    """Say how far a section can be trusted; empty if all of it is real."""
    records = [patch.record for patch in repaired.patches(slot)]
    if not records:
        return ""
    inserted = sum(z == slot[0] and number > 0 for z, number in repaired.slots)
    name = slot_text(slot, inserted)
    which = name[0].upper() + name[1:]
    if all(record.corrected for record in records):
        return f"{which}: its own pixels, corrected; nothing of it is synthetic."
    records = [record for record in records if not record.corrected]
    far = too_far(records)
    if far:
        return f"{which}: {far}"
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


def too_far(records: Sequence[SyntheticSection]) -> str:
    """Say that a section is too far from a real one for its error to be known; empty if it is not.

    Parameters
    ----------
    records : sequence of SyntheticSection
        All of one section.
    """
    away = max((record.distance or 0 for record in records), default=0)
    if away <= FARTHEST:
        return ""
    return f"{away} slices from the nearest real one: do not use for tracing."


def _trust(share: float) -> str:
    """What an error, as a share of the section's contrast, leaves to be trusted."""
    part = f"That is {100 * share:.0f} % of the section's contrast: "
    if share < STRUCTURES:
        return f"{part}trust the structures, not the fine texture."
    if share < COURSE:
        return f"{part}trust the course of large structures, not details."
    return f"{part}no better than uniform grey; trust nothing in it."
