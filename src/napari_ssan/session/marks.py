"""The marks of a session in words: their states, and the rows of the table that shows them.

What is marked is :class:`~napari_ssan.stack.marks.Marks`. A slot is a section of the repaired
stack; what is missing after section z is one mark, (z, 1), but may be several slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from napari_ssan.engine.plan import merge, tasks
from napari_ssan.engine.repaired import RepairedStack, Slot
from napari_ssan.stack.marks import Mark, Marks
from napari_ssan.stack.region import Treatment

#: Synthetic: it was so already when the stack's file was opened.
State = Literal["marked", "synthesized", "accepted", "reverted", "synthetic"]


@dataclass(frozen=True)
class Row:
    """A line in the table of marks."""

    #: The marks that it stands for: one, or adjacent whole sections.
    marks: tuple[Mark, ...]
    kind: Literal["whole", "region", "missing"]
    #: Marked sections, regions or missing sections.
    count: int
    #: Share of a section that is marked, 0 to 1.
    share: float
    #: What became of it. Marked: a repair is still to come.
    state: State
    #: Where its sections lie in the repaired stack; empty while none of it is there.
    places: tuple[int, ...] = ()
    #: What becomes of its pixels.
    treatment: Treatment = "synthesize"
    #: Regions that are synthesized in a section that is corrected as a whole.
    regions: int = 0


def table(marks: Marks, states: Mapping[Mark, State], repaired: RepairedStack) -> list[Row]:
    """Rows for the marks of a stack; adjacent whole sections in the same state share one."""
    rows: list[Row] = []
    place = {slot: n for n, slot in enumerate(repaired.slots)}
    for mark in sorted(states):
        places = tuple(place[slot] for slot in slots_of(marks, mark) if slot in place)
        row = _row(marks, mark, states[mark], places, repaired.stack.shape[1:])
        last = rows[-1] if rows else None
        if (
            last is not None
            and row.kind == last.kind == "whole"
            and (row.state, row.treatment) == (last.state, last.treatment)
            and not row.regions
            and not last.regions
            and mark[0] == last.marks[-1][0] + 1
        ):
            rows[-1] = replace(
                last,
                marks=(*last.marks, mark),
                count=last.count + 1,
                places=last.places + places,
            )
        else:
            rows.append(row)
    return rows


def _row(
    marks: Marks, mark: Mark, state: State, places: tuple[int, ...], shape: tuple[int, int]
) -> Row:
    z, missing = mark
    if missing:
        return Row((mark,), "missing", marks.missing[z], 1.0, state, places)
    treatment: Treatment = "correct" if marks.treated(z, "correct") else "synthesize"
    if z in marks.whole:
        regions = len(tasks(marks, z)) - 1
        return Row((mark,), "whole", 1, 1.0, state, places, treatment, regions)
    share = pixels(marks, z) / float(np.prod(shape))
    return Row((mark,), "region", len(marks.regions[z]), share, state, places, treatment)


def pixels(marks: Marks, z: int) -> int:
    """How many pixels are in regions of a section, each counted once."""
    return sum(region.pixels for region in merge(marks.regions[z]))


def mark_of(slot: Slot) -> Mark:
    """Return the mark that a section of the repaired stack belongs to."""
    return slot[0], min(slot[1], 1)


def slots_of(marks: Marks, mark: Mark) -> list[Slot]:
    """Sections of the repaired stack that belong to a mark."""
    z, missing = mark
    return [(z, n + 1) for n in range(marks.missing.get(z, 0))] if missing else [mark]


def known_state(states: Mapping[Mark, str], mark: Mark) -> State:
    """State of a mark as it was saved; one that is not known is still to be repaired."""
    known: tuple[State, ...] = ("synthesized", "accepted", "reverted")
    return next((state for state in known if states.get(mark) == state), "marked")


def next_mark(marks: Iterable[Mark], slot: Slot | None, back: bool = False) -> Mark | None:
    """Return the next mark after a section of the repaired stack, or the one before it.

    After the last one comes the first; None if there is no mark.
    """
    order = sorted(marks, reverse=back)
    if not order:
        return None
    beyond = [] if slot is None else [m for m in order if (m < slot if back else m > slot)]
    return (beyond or order)[0]
