"""A repair in the making: what is marked, what of it is done, and what the user thinks of it.

Knows no viewer and no disk: it hands its state to whoever keeps it. Its marks are replaced
at every change, never changed, so that whoever holds them has them as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set

from psygnal import Signal

from napari_ssan.engine.provenance import percent
from napari_ssan.engine.repaired import Patch, RepairedStack, Slot
from napari_ssan.errors import BadInput
from napari_ssan.session.jobs import RepairJob
from napari_ssan.session.marks import Row, State, mark_of, pixels, slots_of, table
from napari_ssan.session.saved import Saved
from napari_ssan.stack.marks import Mark, Marks
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
        Called with a :class:`~napari_ssan.session.saved.Saved` after every change.

    Attributes
    ----------
    marks : Marks
        All marks, as they are now; not to be changed from outside.
    """

    #: Marks or states are not what they were.
    changed = Signal()
    #: Pixels of the repaired stack are not what they were: set of slots.
    patched = Signal(object)

    def __init__(self, stack: SliceStack, save: Callable[[Saved], object] | None = None) -> None:
        self.stack = stack
        self.repaired = RepairedStack(stack)
        self._save = save or (lambda saved: None)
        self.marks = Marks()
        self._states: dict[Slot, State] = {}
        self._revisions: dict[Slot, int] = {}
        self._claimed: dict[int, RepairJob] = {}

    # ---- marks

    def mark(self, sections: Iterable[int]) -> None:
        """Mark whole sections.

        Raises
        ------
        BadInput
            If one is not in the stack, or no good one would be left.
        """
        marks, new = self.marks.copy(), set(sections) - self.marks.whole
        marks.whole |= new
        if new:
            self._replace(marks, {(z, 0) for z in new})

    def add_region(self, z: int, region: Region) -> None:
        """Mark a region of section `z`; one that is marked already stays as it is.

        Raises
        ------
        BadInput
            If it lies outside the stack.
        """
        if region.key(z) in self.marks.by_key():
            return
        marks = self.marks.copy()
        marks.add_region(z, region)
        # What is done for other regions of the section stays on view until it is made anew.
        self._replace(marks, {(z, 0)}, keep=True)

    def remove_regions(self, keys: Iterable[str]) -> None:
        """Unmark regions; keys that are not there are passed over."""
        marks = self.marks.copy()
        self._remove(marks, marks.discard_regions(set(keys)))

    def set_missing(self, z: int, number: int) -> None:
        """Mark `number` sections as absent after section `z`; 0 takes the mark away.

        Raises
        ------
        BadInput
            If there is no section on both sides, or the number is negative.
        """
        marks = self.marks.copy()
        marks.missing[z] = number
        if not number:
            self.unmark([(z, 1)])
        elif self.marks.missing.get(z) != number:
            self._replace(marks, {(z, 1)})

    def adopt(self, recorded: Marks) -> None:
        """Mark what was synthetic already when the stack's file was opened.

        It is not saved, since its file tells it again. Raises BadInput if nothing would be left.
        """
        new = {mark: each for mark, each in recorded.each().items() if mark not in self._states}
        marks = self.marks.copy()
        for each in new.values():
            marks.whole, marks.regions = marks.whole | each.whole, marks.regions | each.regions
        if new:
            marks.check(self.stack.shape)
            self.marks = marks
            self._states |= dict.fromkeys(new, "synthetic")
            self._revisions |= {mark: self._revisions.get(mark, 0) + 1 for mark in new}
            self.changed.emit()

    def unmark(self, marks: Iterable[Slot]) -> None:
        """Forget marks, and what was synthesized for them."""
        kept, gone = self.marks.copy(), set(marks) & set(self._states)
        for mark in gone:
            kept.discard(mark)
        self._remove(kept, gone)

    def state(self, slot: Slot) -> State | None:
        """State of the mark that a section of the repaired stack belongs to."""
        return self._states.get(mark_of(slot))

    def rows(self) -> list[Row]:
        """Return the table of marks; adjacent whole sections in the same state share a row."""
        return table(self.marks, self._states, self.stack.shape[1:])

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
        only = {slot for mark in pending for slot in slots_of(self.marks, mark)}
        revisions = {mark: self._revisions[mark] for mark in pending}
        job = RepairJob(self.stack, self.marks, frozenset(only), revisions)
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
        if not known or self._outdated(patch, job.marks):
            return False
        if patch.slot not in job.begun:  # the first of a new repair replaces the old one
            self.repaired.revert(patch.slot)
            job.begun.add(patch.slot)
        self.repaired.add(patch)
        if job.begun.issuperset(slots_of(self.marks, mark)) and self._complete(mark):
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
        for patch in self._patches(self.repaired.slots):
            copy.add(patch)
        return copy

    # ---- what is kept

    def saved(self) -> Saved:
        """Return the state, as a sidecar keeps it."""
        marks, states = self.marks.copy(), dict(self._states)
        for mark in [mark for mark, state in states.items() if state == "synthetic"]:
            marks.discard(mark)
            del states[mark]
        return Saved(marks, states, self._patches(self.repaired.slots))

    def restore(self, saved: Saved) -> None:
        """Take up a state that was saved, in place of the present one."""
        slots = {slot for mark in self._states for slot in self._drop_patches(mark)}
        self.marks = saved.marks.copy()
        for patch in saved.patches:
            if mark_of(patch.slot) in self.marks:
                self.repaired.add(patch)
                slots.add(patch.slot)
        self._states = {}
        for mark in self.marks.each():
            self._revisions[mark] = self._revisions.get(mark, 0) + 1
            self._states[mark] = _state(saved.states, mark)
            if self._states[mark] != "reverted" and not self._complete(mark):
                self._states[mark] = "marked"
        self._emit(slots)

    # ---- within

    def _replace(self, marks: Marks, altered: Set[Mark], keep: bool = False) -> None:
        """Have other marks in place of the present ones, if they fit the stack."""
        marks.check(self.stack.shape)
        self.marks = marks
        self._altered(altered, added=True, keep=keep)

    def _remove(self, marks: Marks, gone: Set[Mark]) -> None:
        """Have fewer marks than before; what is no longer missing moves what spans it."""
        self.marks = marks
        if gone:
            self._altered(gone, added=any(missing for _, missing in gone))

    def _altered(self, marks: Set[Mark], added: bool, keep: bool = False) -> None:
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

    def _outdate(self, marks: Set[Mark]) -> None:
        """Mark for repair again what was made from sections that turn out to be broken."""
        for mark, state in self._states.items():
            if state not in ("synthesized", "accepted") or mark in marks:
                continue
            patches = self._patches(slots_of(self.marks, mark))
            if any(_depends(patch, altered) for patch in patches for altered in marks):
                self._states[mark] = "marked"
                self._revisions[mark] += 1

    def _outdated(self, patch: Patch, planned: Marks) -> bool:
        """Whether marks that were set since the plan concern a patch."""
        now = self.marks
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
            return all(self.repaired.patches(slot) for slot in slots_of(self.marks, mark))
        patches = self.repaired.patches(mark)
        if mark[0] in self.marks.whole:
            return any(patch.mask is None for patch in patches)
        done = sum(int(patch.mask.sum()) for patch in patches if patch.mask is not None)
        return done == pixels(self.marks, mark[0])

    def _patches(self, slots: Iterable[Slot]) -> tuple[Patch, ...]:
        return tuple(patch for slot in slots for patch in self.repaired.patches(slot))

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
