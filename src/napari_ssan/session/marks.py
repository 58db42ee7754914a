"""The marks of a session in words: their states, and the rows of the table that shows them.

What is marked is :class:`~napari_ssan.stack.marks.Marks`. A slot is a section of the repaired
stack; what is missing after section z is one mark, (z, 1), but may be several slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from napari_ssan.engine.plan import merge
from napari_ssan.engine.repaired import Slot
from napari_ssan.stack.marks import Mark, Marks

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


def table(marks: Marks, states: Mapping[Mark, State], shape: tuple[int, int]) -> list[Row]:
    """Rows for marks of sections of a shape; adjacent whole ones in the same state share one."""
    rows: list[Row] = []
    for mark in sorted(states):
        row = _row(marks, mark, states[mark], shape)
        last = rows[-1] if rows else None
        if (
            last is not None
            and row.kind == last.kind == "whole"
            and row.state == last.state
            and mark[0] == last.marks[-1][0] + 1
        ):
            rows[-1] = replace(last, marks=(*last.marks, mark), count=last.count + 1)
        else:
            rows.append(row)
    return rows


def _row(marks: Marks, mark: Mark, state: State, shape: tuple[int, int]) -> Row:
    z, missing = mark
    if missing:
        return Row((mark,), "missing", marks.missing[z], 1.0, state)
    if z in marks.whole:
        return Row((mark,), "whole", 1, 1.0, state)
    return Row(
        (mark,), "region", len(marks.regions[z]), pixels(marks, z) / float(np.prod(shape)), state
    )


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
