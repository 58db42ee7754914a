"""A repair in place from its beginning to its end: what is left to do, who does it, what is kept.

The only writer of the journal and of the volume's metadata. Who works, this process or a cluster,
is a `Crew`. Easy to get wrong: the metadata say where the originals are *before* the first pixel
changes, so that whatever is killed can be found, gone on with, or undone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from napari_ssan.atomic import reason
from napari_ssan.engine.repaired import Patch
from napari_ssan.errors import BadInput
from napari_ssan.paths import real
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.claim import Claim
from napari_ssan.volumes.given import GIVEN, Given
from napari_ssan.volumes.journal import Journal, Row, State, joined
from napari_ssan.volumes.layout import Layout, find_layout
from napari_ssan.volumes.objects import Objects
from napari_ssan.volumes.originals import check_belongs, folder_of, make_folder, note_in_metadata
from napari_ssan.volumes.slabs import (
    Gone,
    How,
    Order,
    Slab,
    Tell,
    Volume,
    plan_slabs,
    repair_slab,
    volume_of,
)

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


@dataclass(frozen=True)
class Outcome:
    """What a run has come to.

    Attributes
    ----------
    sections : tuple of int
        All that the run was to repair and has repaired.
    failed : tuple of (tuple of int, str)
        Sections of each slab that failed, and why.
    backup : Path
        Folder of the originals.
    """

    sections: tuple[int, ...]
    failed: tuple[tuple[tuple[int, ...], str], ...]
    backup: Path


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
    order : Order
    tell : callable
        Receives what the engine yields.
    """

    def __init__(self, order: Order, tell: Tell) -> None:
        self._order, self._tell = order, tell
        self._slabs: list[Slab] = []

    def start(self, slab: Slab) -> None:
        """See :meth:`Crew.start`."""
        self._slabs.append(slab)

    def next(self) -> tuple[Slab, Result]:
        """See :meth:`Crew.next`."""
        slab = max(self._slabs, key=lambda each: (each.level, -each.row))
        self._slabs.remove(slab)
        try:
            return slab, repair_slab(self._order, slab, self._tell)
        except FAILURES as error:
            return slab, error


def repair_in_place(
    path: Path,
    marks: Marks,
    how: How,
    tell: Callable[[Any], object],
    *,
    device: str = "auto",
    backup: Path | None = None,
    resume: bool = False,
    crew: Callable[[Order], AbstractContextManager[Crew]] | None = None,
    given: Iterable[Patch] | None = None,
) -> Outcome:
    """Repair a zarr store where it lies; originals are kept, so that it can be undone.

    Parameters
    ----------
    path : Path
        Zarr array or OME-Zarr image.
    marks : Marks
        What is broken. With `resume` it may be empty: the last run's.
    how : How
        How to synthesize.
    tell : callable
        Receives notices as text, what the engine yields, and :class:`SlabsDone`.
    device : str
        Where to compute.
    backup : Path, optional
        Folder for the originals; default is one beside the volume.
    resume : bool
        Whether to go on with a run that has not ended.
    crew : callable, optional
        Makes those who work; default is this process.
    given : iterable of Patch, optional
        Pixels of the marks, which are written as they are; nothing is synthesized then.

    Raises
    ------
    BadInput
        If it cannot be repaired in place as asked; nothing was changed.
    Gone
        If the volume has vanished meanwhile.
    """
    path = real(path)
    layout, file = find_layout(path)
    stack = file.stack()
    if marks.missing:
        raise BadInput(
            "Sections cannot be inserted in place, since all that follow would have to move; "
            "repair to a new output."
        )
    if marks or not resume:
        marks.check(stack.shape)
    _check_writable(path, layout)
    with Claim(path, tell) as claim:
        objects = Objects(path, folder_of(path, layout, backup))
        state = Journal(objects.backup).read()
        check_belongs(objects, layout, stack.shape[1:], state)
        objects.sweep()
        if _goes_on(state, marks, how, resume, stack.shape[1:]):
            tell(f"Going on: {len(state.asked) - len(state.repaired)} slices are left to do.")
        else:
            asked = sorted({*marks.whole, *marks.regions})
            every = joined(state.marks(stack.shape[1:]), marks)
            every.check(stack.shape)
            # refused before anything is changed
            method = how.make(device) if given is None else None
            make_folder(objects, layout)
            note_in_metadata(objects, layout, state)
            if given is not None:
                Given(objects.backup).keep(given)
            Journal(objects.backup).write(
                "begin",
                format=1,
                sections=asked,
                marks=every.to_json(),
                size=list(stack.shape[1:]),
                layout=asdict(layout),
                incomplete=sorted(stack.incomplete - state.records.keys()),
                how=asdict(how if given is None else How(GIVEN)),
                sha256=method.model.sha256 if method and method.model else None,
            )
        order = Order(path, objects.backup, claim.token, device)
        return _run(order, tell, crew)


def _goes_on(state: State, marks: Marks, how: How, resume: bool, shape: tuple[int, int]) -> bool:
    """Whether a run goes on; False if one begins."""
    if state.restoring:
        raise BadInput("A restore of this volume was interrupted; repeat it first.")
    open_ = bool(state.run) and not state.finished and bool(state.asked)
    if not resume:
        if open_:
            raise BadInput(
                "A repair of this volume has not come to its end: go on with it (--resume), or "
                "undo it (napari-ssan restore)."
            )
        return False
    if not state.run and not marks:
        raise BadInput("There is no run to go on with: say what is broken, without --resume.")
    if not state.run:
        return False
    if marks:
        known = state.marks(shape)
        asked = {*marks.whole, *marks.regions}
        same = asked == state.asked and joined(known, marks).to_json() == known.to_json()
        if not same and not open_:
            return False
        if not same or asdict(how) != state.run["how"]:
            raise BadInput(
                "The run to go on with repairs other slices, or in another way: repeat its "
                "command with --resume, or leave its marks and options out."
            )
    return True


def _run(
    order: Order,
    tell: Callable[[Any], object],
    make: Callable[[Order], AbstractContextManager[Crew]] | None,
) -> Outcome:
    volume, journal = volume_of(order), Journal(order.backup)
    state = journal.read()
    plan = plan_slabs(volume, state)
    if plan and make is not None:
        with make(order) as crew:
            _drive(volume, plan, crew, tell)
    elif plan:
        _drive(volume, plan, Alone(order, tell), tell)
    state = journal.read()
    note_in_metadata(volume.objects, volume.layout, state)
    if not state.failed:
        journal.write("end")
        Given(order.backup).forget()
    volume.objects.sweep()
    failed = tuple((tuple(sections), why) for sections, why in state.failed.values())
    return Outcome(tuple(sorted(state.repaired)), failed, order.backup)


def _drive(
    volume: Volume, plan: dict[Slab, set[Row]], crew: Crew, tell: Callable[[Any], object]
) -> None:
    """Have all slabs done, each after those that it waits for."""
    journal = Journal(volume.order.backup)
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
        if isinstance(found, Gone) or not isinstance(found, (list, *FAILURES)):
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
            tell(f"Slices {', '.join(map(str, slab.sections))} have failed: {why}")
            lost[slab.key] |= set(slab.sections)
            failed += 1
            _undo(volume, slab, journal.read())
        spent = time.monotonic() - begin
        left = spent / done * (total - done) if done else None
        tell(SlabsDone(done, total, failed, 60 * done / spent if spent else 0.0, left))
        running += settle(slab.key)


def _undo(volume: Volume, slab: Slab, state: State) -> None:
    """Take back what a slab that has failed has changed, if that can be done now."""
    new = tuple(z for z in slab.sections if z not in state.records)
    if slab.level or not new:
        return
    others = set(state.records) - set(new)
    try:
        volume.revert(Slab(0, slab.row, new), volume.changed(0, others))
    except FAILURES:
        return  # the next try overwrites it, and a restore puts all originals back


def _check_writable(path: Path, layout: Layout) -> None:
    for folder in {path, path / layout.node, *(path / level for level in layout.levels)}:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise BadInput(f"{folder} cannot be written to, so it cannot be repaired in place.")
