"""Has slabs done, each after those that it waits for, by whoever does them.

What a slab is, and where, is up to an `Order`; who works, this process or a cluster, is a `Crew`.
Easy to get wrong: only this writes what is done or has failed into the journal, never a worker.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from napari_ssan.atomic import reason
from napari_ssan.errors import BadInput
from napari_ssan.files.remote import Full
from napari_ssan.stack.marks_io import format_slices
from napari_ssan.volumes.journal import Journal, Row
from napari_ssan.volumes.slabs import Gone, Slab, Tell

#: How often a slab is tried, and what makes it fail: data, disk, memory or GPU.
TRIES = 3
FAILURES = (BadInput, OSError, MemoryError, RuntimeError)
Result = list[dict[str, Any]] | Exception


@dataclass(frozen=True)
class SlabsDone:
    """After every slab.

    Attributes
    ----------
    done, total : int
        Sections.
    failed : int
        Slabs.
    rate : float
        Sections per minute.
    seconds_left : float or None
        Estimate; None until there is something to estimate from.
    """

    done: int
    total: int
    failed: int
    rate: float
    seconds_left: float | None


class Work(Protocol):
    """What a worker is told of a run: plain data, from which it finds all that it needs."""

    @property
    def device(self) -> str:
        """Where to compute."""

    def on(self, device: str) -> Work:
        """The same work, computed there."""

    def do(self, slab: Slab, tell: Tell | None = None) -> list[dict[str, Any]]:
        """Do a slab; what is synthetic in it then, each a record of provenance."""


class Crew(Protocol):
    """Does slabs, in any order."""

    def start(self, slab: Slab) -> None:
        """Take on a slab; one that has failed is tried by another worker, if there is one."""

    def next(self) -> tuple[Slab, Result]:
        """Wait for a slab that is done, or has failed with one of `FAILURES`."""


class Alone:
    """A crew of one: the process itself.

    Parameters
    ----------
    order : Work
    tell : callable
        Receives what the engine yields.
    """

    def __init__(self, order: Work, tell: Tell) -> None:
        self._order, self._tell = order, tell
        self._slabs: list[tuple[int, int, Slab]] = []

    def start(self, slab: Slab) -> None:
        """See :meth:`Crew.start`."""
        heapq.heappush(self._slabs, (-slab.level, slab.row, slab))

    def next(self) -> tuple[Slab, Result]:
        """See :meth:`Crew.next`."""
        *_, slab = heapq.heappop(self._slabs)
        try:
            return slab, self._order.do(slab, self._tell)
        except FAILURES as error:
            return slab, error


#: Makes those who work.
Hire = Callable[[Work], AbstractContextManager[Crew]]


def drive(
    journal: Journal,
    plan: dict[Slab, set[Row]],
    order: Work,
    tell: Callable[[Any], object],
    hire: Hire | None = None,
    undo: Callable[[Slab], object] = lambda slab: None,
) -> None:
    """Have all slabs done.

    Parameters
    ----------
    journal : Journal
        Is told of what is done and what has failed.
    plan : dict
        Slabs, each with those that it waits for.
    order : Work
    tell : callable
        Receives what the engine yields, :class:`SlabsDone`, and text where a slab has failed for
        good.
    hire : callable, optional
        Makes the crew; default is this process.
    undo : callable, optional
        Is given every slab that has failed for good.

    Raises
    ------
    Gone, Full
        If no slab can be done any more.
    """
    if plan and hire is not None:
        with hire(order) as crew:
            _drive(journal, plan, crew, tell, undo)
    elif plan:
        _drive(journal, plan, Alone(order, tell), tell, undo)


def _drive(
    journal: Journal,
    plan: dict[Slab, set[Row]],
    crew: Crew,
    tell: Callable[[Any], object],
    undo: Callable[[Slab], object],
) -> None:
    waits = {slab.key: set(before) for slab, before in plan.items()}
    sections = {slab.key: set(slab.sections) for slab in plan}
    lost: dict[Row, set[int]] = {key: set() for key in waits}
    follow: dict[Row, list[Row]] = {key: [] for key in waits}
    for key, before in waits.items():
        for each in before:
            follow[each].append(key)
    total = sum(len(slab.sections) for slab in plan if not slab.level)
    done, failed, begin = 0, 0, time.monotonic()
    tries: dict[Row, int] = {}
    running = 0

    def start(key: Row) -> int:
        """Start a slab, or, if nothing is left of it, those that wait for it."""
        left = sections[key] - lost[key]
        if left:
            crew.start(Slab(*key, tuple(sorted(left))))
            return 1
        return settle(key)

    def settle(key: Row) -> int:
        started = 0
        for other in follow[key]:
            lost[other] |= lost[key]
            waits[other].discard(key)
            started += 0 if waits[other] else start(other)
        return started

    for key in [key for key, before in waits.items() if not before]:
        running += start(key)
    while running:
        slab, found = crew.next()
        running -= 1
        if isinstance(found, (Gone, Full)) or not isinstance(found, (list, *FAILURES)):
            raise found
        if isinstance(found, list):
            journal.write("done", row=slab.key, sections=slab.sections, records=found)
            done += 0 if slab.level else len(slab.sections)
        elif tries.setdefault(slab.key, 1) < TRIES:
            tries[slab.key] += 1
            crew.start(slab)
            running += 1
            continue
        else:
            why = reason(found) if isinstance(found, OSError) else str(found)
            journal.write("failed", row=slab.key, sections=slab.sections, reason=why)
            what = "Slice {} has" if len(slab.sections) == 1 else "Slices {} have"
            tell(f"{what.format(format_slices(slab.sections))} failed: {why}")
            lost[slab.key] |= set(slab.sections)
            failed += 1
            undo(slab)
        spent = time.monotonic() - begin
        left = spent / done * (total - done) if done else None
        tell(SlabsDone(done, total, failed, 60 * done / spent if spent else 0.0, left))
        running += settle(slab.key)
