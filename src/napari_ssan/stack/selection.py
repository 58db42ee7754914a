"""Selects the triplets of a stack that are fit to learn from, and says why others are not.

Sections are measured in :mod:`~napari_ssan.stack.comparison`; crops are drawn from the selected
triplets in :mod:`~napari_ssan.stack.triplets`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_ssan.errors import Cancelled
from napari_ssan.stack.comparison import (
    DAMAGED,
    DIFFERENT,
    MARKED,
    REASONS,
    SectionFigures,
    Shift,
    match_sections,
    measure_section,
)
from napari_ssan.stack.intensity import Intensity
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.source import Source

#: Share of triplets whose outer sections lie 2, 3 and 4 sections apart.
SPANS = {2: 0.7, 3: 0.2, 4: 0.1}

#: How far the outer sections lie from the target of an uneven triplet: twice or one and a half
#: times as far on one side.
UNEVEN = ((1, 2), (2, 1), (2, 3), (3, 2))

#: A triplet with marked regions is left out if fewer than this share of its crops avoid them.
ROOM = 0.1

#: Called with the sections done and the sections in total.
Report = Callable[[int, int], object]


@dataclass(frozen=True)
class TripletSections:
    """Three sections of a stack, and the shifts that align the outer ones with the target.

    Attributes
    ----------
    first, target, last : int
        Sections.
    position : float
        Where `target` lies: 0 at `first`, 1 at `last`.
    shift_first, shift_last : (int, int)
        Rows and columns by which `first` and `last` must be moved to lie on `target`.
    """

    first: int
    target: int
    last: int
    position: float
    shift_first: Shift = (0, 0)
    shift_last: Shift = (0, 0)

    @property
    def shifted(self) -> tuple[tuple[int, Shift], ...]:
        """The three sections with their shifts."""
        return (self.first, self.shift_first), (self.target, (0, 0)), (self.last, self.shift_last)


@dataclass(frozen=True)
class Selection:
    """Triplets of a source that are fit to learn from.

    Attributes
    ----------
    triplets : tuple of TripletSections
        Triplets of direct neighbours.
    wider : dict of int to tuple of TripletSections
        Triplets whose outer sections lie 3 and 4 sections apart.
    reasons : dict of (int, int, int) to str
        Triplets of direct neighbours that are left out, and why: one of :data:`REASONS`.
    intensities : dict of int to Intensity
        Intensities of the sections in use, in the middle of the source's area.
    uneven : tuple of TripletSections
        Triplets of which one outer section lies farther from the target than the other, by
        :data:`UNEVEN`; their `position` is the middle nevertheless.
    """

    triplets: tuple[TripletSections, ...]
    wider: dict[int, tuple[TripletSections, ...]]
    reasons: dict[tuple[int, int, int], str]
    intensities: dict[int, Intensity]
    uneven: tuple[TripletSections, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of triplets that are left out for each reason."""
        counted = Counter(self.reasons.values())
        return {reason: counted[reason] for reason in REASONS if reason in counted}

    def __str__(self) -> str:
        number = len(self.triplets)
        said = f"{number} triplet{'' if number == 1 else 's'}"
        if not self.reasons:
            return f"{said}, none left out"
        why = ", ".join(f"{count} {reason}" for reason, count in self.counts.items())
        return f"{said}, {len(self.reasons)} left out: {why}"


def select(
    source: Source,
    report: Report = lambda done, total: None,
    cancel: threading.Event | None = None,
    *,
    size: int = 128,
    closely: bool = True,
) -> Selection:
    """Select the triplets of a source that are fit to learn from.

    Every section is measured once, in a field of at most 1024 x 1024 pixels in the middle of the
    source's area. Sections marked as a whole are not read. A triplet is left out if

    - a section is marked, or a section between them is missing;
    - a section is constant, incomplete or not finite, or looks broken
      (:attr:`~napari_ssan.stack.source.Source.damage`);
    - sections between them look as if they were lost (damage, too).

    Parameters
    ----------
    source : Source
    report : callable
        Called with the sections done and the sections in total.
    cancel : threading.Event, optional
        Set it to stop.
    size : int
        Side of the crops that will be drawn, in pixels. Crops must fit beside marked regions.
    closely : bool
        If False, nothing is aligned.

    Raises
    ------
    Cancelled
        If `cancel` was set.
    """
    measured: dict[int, SectionFigures] = {}
    shifts: dict[int, Shift] = {}
    for done, z in enumerate(source.sections):
        if cancel is not None and cancel.is_set():
            raise Cancelled("The choice of triplets was cancelled.")
        report(done, len(source.sections))
        if z not in source.avoided.whole:
            measured[z] = measure_section(source, z, closely)
        before = measured.get(z - source.spacing)
        if closely and before is not None and z in measured:
            shifts[z - source.spacing] = match_sections(before, measured[z])
        if before is not None:
            before.patch = None  # no longer needed
    report(len(source.sections), len(source.sections))
    judge = _Judge(source, measured, size)
    reasons: dict[tuple[int, int, int], str] = {}
    chosen: dict[int, list[TripletSections]] = {span: [] for span in SPANS}
    uneven: list[TripletSections] = []
    for span in sorted({*SPANS, *map(sum, UNEVEN)}):
        reach = span * source.spacing
        for first in range(source.start, source.stop - reach):
            chain = range(first, first + reach + 1, source.spacing)
            why = judge.reason(chain)
            if why is None:
                along = _along(chain, shifts)
                chosen.get(span, []).extend(along)
                uneven += (
                    replace(triplet, position=0.5)
                    for inside, triplet in enumerate(along, start=1)
                    if (inside, span - inside) in UNEVEN
                )
            elif span == 2:
                reasons[chain[0], chain[1], chain[2]] = why
    direct = tuple(chosen.pop(2))
    wider = {span: tuple(triplets) for span, triplets in chosen.items()}
    used = {z for triplet in direct for z, _ in triplet.shifted}
    intensities = {z: measured[z].intensity for z in sorted(used)}
    return Selection(direct, wider, reasons, intensities, tuple(uneven))


class _Judge:
    """Judges whether a chain of adjacent sections is fit to learn from."""

    def __init__(self, source: Source, measured: dict[int, SectionFigures], size: int) -> None:
        self.source, self.size = source, size
        self.empty = {z for z, seen in measured.items() if not seen.intensity.usable}
        self.empty |= {z for z in source.sections if z in source.stack.incomplete}
        self._free: dict[int, npt.NDArray[np.bool_]] = {}

    def reason(self, chain: range) -> str | None:
        """Say why a chain of sections is left out; None if it is fit."""
        damage = self.source.damage or Marks()
        if self._touched(chain, self.source.marks or Marks()):
            return MARKED
        if self.empty.intersection(chain) or self._touched(chain, replace(damage, missing={})):
            return DAMAGED
        return DIFFERENT if self._touched(chain, damage) else None

    def _touched(self, chain: range, marks: Marks) -> bool:
        """Whether marks leave too little of a chain of sections."""
        if marks.whole.intersection(chain):
            return True
        if any(z in marks.missing for z in range(chain[0], chain[-1])):
            return True
        free = [self._room(z) for z in chain if z in marks.regions]
        return bool(free) and float(np.logical_and.reduce(free).mean()) < ROOM

    def _room(self, z: int) -> npt.NDArray[np.bool_]:
        """Which crops, each overlapping the next by half, hold no mark."""
        if z not in self._free:
            rows, columns = (
                [
                    slice(at, at + self.size)
                    for at in range(
                        part.start, max(part.stop - self.size, part.start) + 1, self.size // 2
                    )
                ]
                for part in self.source.area
            )
            self._free[z] = np.array(
                [[not self.source.touches_mark(z, (r, c)) for c in columns] for r in rows]
            )
        return self._free[z]


def _along(chain: range, shifts: dict[int, Shift]) -> list[TripletSections]:
    """Triplets of the two ends of a chain of sections, with each inner section as target."""
    moves = np.array([shifts.get(z, (0, 0)) for z in chain[:-1]])
    triplets = []
    for inside in range(1, len(chain) - 1):
        forth, back = moves[:inside].sum(axis=0), -moves[inside:].sum(axis=0)
        triplets.append(
            TripletSections(
                chain[0],
                chain[inside],
                chain[-1],
                inside / (len(chain) - 1),
                (int(forth[0]), int(forth[1])),
                (int(back[0]), int(back[1])),
            )
        )
    return triplets
