"""A repair in the making: what is marked, what of it is done, and what the user thinks of it.

Knows no viewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from psygnal import Signal

from napari_ssan.engine.provenance import percent
from napari_ssan.engine.repaired import Patch, RepairedStack, Slot
from napari_ssan.errors import BadInput
from napari_ssan.session.jobs import RepairJob
from napari_ssan.session.marks import EditableMarks, Row, State, mark_of
from napari_ssan.session.sidecar import Saved
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


class RepairSession:
    """Marks of a stack, their states, and the repaired stack.

    The source is never changed. All marks take part in every repair, so that a
    marked pixel never enters a result, even where its own repair is still to come.

    Parameters
    ----------
    stack : SliceStack
        The stack.
    save : callable, optional
        Called with a :class:`~napari_ssan.session.sidecar.Saved` after every change.
    """

    #: Marks or states are not what they were.
    changed = Signal()
    #: Pixels of the repaired stack are not what they were: set of slots.
    patched = Signal(object)

    def __init__(self, stack: SliceStack, save: Callable[[Saved], object] | None = None) -> None:
        self.stack = stack
        self.repaired = RepairedStack(stack)
        self._save = save or (lambda saved: None)
        self.marks = EditableMarks(stack.shape)
        self._states: dict[Slot, State] = {}
        self._revisions: dict[Slot, int] = {}
        self._claimed: dict[int, RepairJob] = {}

    # ---- marks

    @property
    def defects(self) -> Marks:
        """All marks, as a copy that later changes do not reach."""
        return self.marks.defects

    def mark(self, sections: Iterable[int]) -> None:
        """Mark whole sections.

        Raises
        ------
        BadInput
            If one is not in the stack, or no good one would be left.
        """
        new = self.marks.add_whole(sections)
        if new:
            self._altered(new, added=True)

    def set_region(self, key: str, z: int, region: Region) -> None:
        """Mark a region of section `z`, in place of what had the same key.

        Raises
        ------
        BadInput
            If the section is not in the stack.
        """
        replaced = self.marks.remove_region(key)
        self.marks.add_region(key, z, region)
        # What is done for other regions of the section stays on view until it is made anew.
        self._altered(sorted({(z, 0), *replaced}), added=True, keep=not replaced)

    def remove_regions(self, keys: Iterable[str]) -> None:
        """Unmark regions; keys that are not there are passed over."""
        slots = {slot for key in keys for slot in self.marks.remove_region(key)}
        if slots:
            self._altered(sorted(slots))

    def regions(self) -> dict[str, tuple[int, Region]]:
        """Section and region by key."""
        return {
            key: (z, region)
            for z, found in self.marks.regions.items()
            for key, region in found.items()
        }

    def set_missing(self, z: int, number: int) -> None:
        """Mark `number` sections as absent after section `z`; 0 takes the mark away.

        Raises
        ------
        BadInput
            If there is no section on both sides, or the number is negative.
        """
        if self.marks.set_missing(z, number):
            self._altered([(z, 1)], added=True)

    def unmark(self, marks: Iterable[Slot]) -> None:
        """Forget marks, and what was synthesized for them."""
        slots = [slot for slot in marks if slot in self._states]
        for slot in slots:
            self.marks.discard(slot)
        if slots:
            self._altered(slots, added=any(missing for _, missing in slots))

    def state(self, slot: Slot) -> State | None:
        """State of the mark that a section of the repaired stack belongs to."""
        return self._states.get(mark_of(slot))

    def rows(self) -> list[Row]:
        """Return the table of marks; adjacent whole sections in the same state share a row."""
        rows: list[Row] = []
        for mark in sorted(self._states):
            row = self.marks.row(mark, self._states[mark])
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

    # ---- repair

    @property
    def pending(self) -> frozenset[Slot]:
        """Marks whose repair is still to come, and that no job is at work on."""
        return frozenset(
            mark
            for mark, state in self._states.items()
            if state == "marked"
            and not any(
                job.revisions.get(mark) == self._revisions[mark] for job in self._claimed.values()
            )
        )

    def claim(self) -> RepairJob:
        """Make a job of what is pending; :meth:`release` it when it has ended.

        Raises
        ------
        BadInput
            If nothing is pending.
        """
        pending = self.pending
        if not pending:
            raise BadInput("Nothing is to be repaired: mark a slice or a region first.")
        only = {slot for mark in pending for slot in self.marks.slots(mark)}
        revisions = {mark: self._revisions[mark] for mark in pending}
        job = RepairJob(self.stack, self.defects, frozenset(only), revisions)
        self._claimed[id(job)] = job
        return job

    def release(self, job: RepairJob) -> None:
        """Note that a job has ended; what it has not done is pending again."""
        self._claimed.pop(id(job), None)
        self.changed.emit()

    def take(self, patch: Patch, job: RepairJob) -> bool:
        """Lay a patch over the stack, unless the marks that it was made for have changed.

        Returns
        -------
        bool
            Whether it was taken.
        """
        mark = mark_of(patch.slot)
        known = mark in self.marks and self._revisions[mark] == job.revisions.get(mark)
        if not known or self._outdated(patch, job.defects):
            return False
        if patch.slot not in job.begun:  # the first of a new repair replaces the old one
            self.repaired.revert(patch.slot)
            job.begun.add(patch.slot)
        self.repaired.add(patch)
        if job.begun.issuperset(self.marks.slots(mark)) and self._complete(mark):
            self._states[mark] = "synthesized"
        self._emit({patch.slot})
        return True

    def accept(self, marks: Iterable[Slot]) -> None:
        """Keep what was synthesized."""
        for mark in map(mark_of, marks):
            if self._states.get(mark) == "synthesized":
                self._states[mark] = "accepted"
        self._emit()

    def revert(self, marks: Iterable[Slot]) -> None:
        """Take what was synthesized away; the marks stay, and can be repaired again."""
        slots: set[Slot] = set()
        for mark in map(mark_of, marks):
            if mark in self._states:
                slots |= self._drop_patches(mark)
                self._states[mark] = "reverted"
                self._revisions[mark] += 1
        self._emit(slots)

    def redo(self, marks: Iterable[Slot]) -> None:
        """Make marks pending again; what is there stays until the new repair replaces it."""
        for mark in map(mark_of, marks):
            if mark in self._states:
                self._states[mark] = "marked"
                self._revisions[mark] += 1
        self._emit()

    def caption(self, slot: Slot) -> str:
        """Say what is synthetic of a section, in a line; empty if nothing is."""
        records = [patch.record for patch in self.repaired.patches(slot)]
        if not records:
            return ""
        share = min(1.0, sum(record.share for record in records))
        origin = sorted({z for record in records for z in record.neighbours})
        what = "synthetic" if share == 1 else f"{percent(share)} synthetic"
        z, number = slot
        which = f"missing section {number} after {z}" if number else f"slice {z}"
        return f"{which}: {what}, from {' and '.join(map(str, origin))}"

    def snapshot(self) -> RepairedStack:
        """Copy the repaired stack as it is now; later changes do not reach it."""
        copy = RepairedStack(self.stack)
        for slot in self.repaired.slots:
            for patch in self.repaired.patches(slot):
                copy.add(patch)
        return copy

    # ---- what is kept

    def saved(self) -> Saved:
        """Return the state, as a sidecar keeps it."""
        patches = tuple(
            patch for slot in self.repaired.slots for patch in self.repaired.patches(slot)
        )
        return Saved(self.defects, dict(self._states), patches)

    def restore(self, saved: Saved) -> None:
        """Take up a state that was saved, in place of the present one."""
        slots = {slot for mark in self._states for slot in self._drop_patches(mark)}
        marks = self.marks.take_over(saved.defects)
        for patch in saved.patches:
            if mark_of(patch.slot) in marks:
                self.repaired.add(patch)
                slots.add(patch.slot)
        self._states = {}
        for mark in marks:
            self._revisions[mark] = self._revisions.get(mark, 0) + 1
            self._states[mark] = _state(saved.states, mark)
            if self._states[mark] != "reverted" and not self._complete(mark):
                self._states[mark] = "marked"
        self._emit(slots)

    # ---- within

    def _altered(self, marks: Sequence[Slot], added: bool = False, keep: bool = False) -> None:
        """Follow a change of marks with states, patches and what depends on them."""
        slots: set[Slot] = set()
        for mark in marks:
            self._revisions[mark] = self._revisions.get(mark, 0) + 1
            if not keep:
                slots |= self._drop_patches(mark)
            if mark in self.marks:
                self._states[mark] = "marked"
            else:
                self._states.pop(mark, None)
        if added:
            self._outdate(marks)
        self._emit(slots)

    def _outdate(self, marks: Sequence[Slot]) -> None:
        """Mark for repair again what was made from sections that turn out to be broken."""
        for mark, state in self._states.items():
            if state not in ("synthesized", "accepted") or mark in marks:
                continue
            patches = [p for slot in self.marks.slots(mark) for p in self.repaired.patches(slot)]
            if any(_depends(patch, altered) for patch in patches for altered in marks):
                self._states[mark] = "marked"
                self._revisions[mark] += 1

    def _outdated(self, patch: Patch, planned: Marks) -> bool:
        """Whether marks that were set since the plan concern a patch."""
        now = self.defects
        for z in patch.record.neighbours:
            if z in now.whole - planned.whole:
                return True
            known = planned.regions.get(z, [])
            if any(region not in known for region in now.regions.get(z, [])):
                return True
        low, high = min(patch.record.neighbours), max(patch.record.neighbours)
        return any(now.missing.get(z, 0) != planned.missing.get(z, 0) for z in range(low, high))

    def _complete(self, mark: Slot) -> bool:
        """Whether all marked pixels are synthesized."""
        if mark[1]:
            return all(self.repaired.patches(slot) for slot in self.marks.slots(mark))
        patches = self.repaired.patches(mark)
        if mark[0] in self.marks.whole:
            return any(patch.mask is None for patch in patches)
        done = sum(int(patch.mask.sum()) for patch in patches if patch.mask is not None)
        return done == self.marks.pixels(mark[0])

    def _drop_patches(self, mark: Slot) -> set[Slot]:
        belonging = [slot for slot in self.repaired.slots if mark_of(slot) == mark]
        return {slot for slot in belonging if self.repaired.revert(slot)}

    def _emit(self, slots: set[Slot] | None = None) -> None:
        if slots:
            self.patched.emit(slots)
        self.changed.emit()
        self._save(self.saved())


def _depends(patch: Patch, mark: Slot) -> bool:
    """Whether a patch would be another one if something were marked."""
    z, missing = mark
    neighbours = patch.record.neighbours
    return min(neighbours) <= z < max(neighbours) if missing else z in neighbours


def _state(states: Mapping[Slot, str], mark: Slot) -> State:
    known: tuple[State, ...] = ("synthesized", "accepted", "reverted")
    return next((state for state in known if states.get(mark) == state), "marked")
