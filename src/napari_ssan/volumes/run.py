"""A repair in place from its beginning to its end: what is left to do, and what is kept.

The only writer of the volume's metadata; `drive` has the slabs done. Easy to get wrong: the
metadata say where the originals are *before* the first pixel changes, so that whatever is killed
can be found, gone on with, or undone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_ssan.engine.repaired import Patch
from napari_ssan.errors import BadInput
from napari_ssan.paths import address, real
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.claim import Claim
from napari_ssan.volumes.drive import FAILURES, Hire, drive
from napari_ssan.volumes.given import GIVEN, Given
from napari_ssan.volumes.journal import Journal, State, counted, joined
from napari_ssan.volumes.layout import Layout, find_layout
from napari_ssan.volumes.objects import Objects
from napari_ssan.volumes.originals import (
    check_belongs,
    folder_of,
    make_folder,
    note_in_metadata,
    noted_folder,
    remove_folder,
)
from napari_ssan.volumes.slabs import How, Order, Slab, Volume, plan_slabs, volume_of


@dataclass(frozen=True)
class Outcome:
    """What a run has come to.

    Attributes
    ----------
    sections, left : tuple of int
        What the run was to repair: what is repaired at full resolution, and what is not.
    failed : tuple of (tuple of int, str)
        Sections of each slab that failed, and why.
    backup : Path
        Folder of the originals.
    """

    sections: tuple[int, ...]
    left: tuple[int, ...]
    failed: tuple[tuple[tuple[int, ...], str], ...]
    backup: Path


def repair_in_place(
    path: Path,
    marks: Marks,
    how: How,
    tell: Callable[[Any], object],
    *,
    device: str = "auto",
    backup: Path | None = None,
    resume: bool = False,
    crew: Hire | None = None,
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
            left = len(state.asked) - len(state.repaired)
            tell(f"Going on: {left} of {len(state.asked)} slices are left to do.")
        else:
            asked = sorted({*marks.whole, *marks.regions})
            every = joined(state.marks(stack.shape[1:]), marks)
            every.check(stack.shape)
            # refused before anything is changed
            method = how.make(device) if given is None else None
            make_folder(objects, layout)
            if given is not None:
                _keep(given, objects, layout)
            note_in_metadata(objects, layout, state)
            Journal(objects.backup).write(
                "begin",
                format=1,
                sections=asked,
                marks=every.to_json(),
                size=list(stack.shape[1:]),
                layout=asdict(layout),
                incomplete=counted(stack.incomplete, state.records),
                how=asdict(how if given is None else How(GIVEN)),
                sha256=method.model.sha256 if method and method.model else None,
            )
        order = Order(path, objects.backup, claim.token, device)
        return _run(order, tell, crew)


def _keep(given: Iterable[Patch], objects: Objects, layout: Layout) -> None:
    """Keep the pixels to be written. If that fails, a folder that was new is gone again."""
    try:
        Given(objects.backup).keep(given)
    except BaseException:
        if noted_folder(objects.store, layout.node) is None:
            remove_folder(objects)
        raise


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
    hire: Hire | None,
) -> Outcome:
    volume, journal = volume_of(order), Journal(order.backup)

    def undo(slab: Slab) -> None:
        _undo(volume, slab, journal.read())

    drive(journal, plan_slabs(volume, journal.read()), order, tell, hire, undo)
    state = journal.read()
    note_in_metadata(volume.objects, volume.layout, state)
    if not state.failed:
        journal.write("end")
        Given(order.backup).forget()
    volume.objects.sweep()
    failed = tuple((tuple(sections), why) for sections, why in state.failed.values())
    left = tuple(sorted(state.asked - state.repaired))
    return Outcome(tuple(sorted(state.repaired)), left, failed, order.backup)


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
    if where := address(path):
        if where.startswith("http"):
            raise BadInput(f"{where} can only be read, so it cannot be repaired in place.")
        return
    for folder in {path, path / layout.node, *(path / level for level in layout.levels)}:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise BadInput(f"{folder} cannot be written to, so it cannot be repaired in place.")
