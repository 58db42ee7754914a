"""A repair in the making: what is marked, what of it is done, and what the user thinks of it.

Knows no viewer and no disk: it hands its state to whoever keeps it. Its marks are replaced
at every change, never changed, so that whoever holds them has them as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

from psygnal import Signal

from napari_ssan.engine.repaired import Patch, RepairedStack, Slot
from napari_ssan.errors import BadInput
from napari_ssan.session.history import NO_MARK, History, Parts, Step, parts_of, put
from napari_ssan.session.jobs import RepairJob
from napari_ssan.session.marks import State, mark_of, slots_of
from napari_ssan.session.outdated import depends, outdated
from napari_ssan.session.results import Result, SpareResults, is_whole, name_of
from napari_ssan.session.saved import Saved
from napari_ssan.session.view import SessionView
from napari_ssan.stack.marks import Mark, Marks
from napari_ssan.stack.region import Region, Treatment
from napari_ssan.stack.sections import SliceStack


class RepairSession(SessionView):
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
    history : History
        What can be undone.
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
        self._spares = SpareResults()
        self._again: set[Mark] = set()
        self.history = History()

    # ---- marks

    def mark(self, sections: Iterable[int], treatment: Treatment = "synthesize") -> None:
        """Mark whole sections; those that are marked already stay as they are.

        Raises
        ------
        BadInput
            If one is not in the stack, or no good one would be left.
        """
        marks, new = self.marks.copy(), set(sections) - self.marks.whole
        marks.whole |= new
        marks.treat(new, treatment)
        if new:
            self._replace(marks, {(z, 0) for z in new}, "mark")

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
        self._replace(marks, {(z, 0)}, "lasso", keep=True)

    def remove_regions(self, keys: Iterable[str]) -> None:
        """Unmark regions; keys that are not there are passed over."""
        marks = self.marks.copy()
        self._remove(marks, marks.discard_regions(set(keys)), "deletion of a lasso")

    def treat(self, marks: Iterable[Slot], treatment: Treatment) -> None:
        """Choose what becomes of marks; those that had the other treatment are pending again."""
        chosen = self.marks.copy()
        altered = {
            mark for mark in set(marks) & set(self._states)
            if not mark[1] and not self.marks.treated(mark[0], treatment)
        }  # fmt: skip
        chosen.treat([z for z, _ in altered], treatment)
        if altered:
            self._replace(chosen, altered, "treatment")

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
            self._replace(marks, {(z, 1)}, "missing slices")

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
        self._remove(kept, gone, "unmark")

    # ---- repair

    @property
    def pending(self) -> frozenset[Slot]:
        """Marks whose repair is still to come, and that no job is at work on."""
        return frozenset(
            mark
            for mark, state in self._states.items()
            if (state == "marked" or mark in self._again)
            and not any(
                job.revisions.get(mark) == self._revisions[mark] for job in self._claimed.values()
            )
        )

    def claim(self, only: Mark | None = None) -> RepairJob:
        """Make a job of what is pending, or of one mark; :meth:`release` it when it has ended.

        Raises
        ------
        BadInput
            If nothing is pending.
        """
        pending = self.pending if only is None else self.pending & {only}
        if not pending:
            raise BadInput("Nothing is to be repaired: mark a slice or a region first.")
        slots = {slot for mark in pending for slot in slots_of(self.marks, mark)}
        revisions = {mark: self._revisions[mark] for mark in pending}
        again = pending & self._again
        job = RepairJob(self.stack, self.marks, frozenset(slots), revisions, again)
        self._claimed[id(job)] = job
        return job

    def release(self, job: RepairJob) -> None:
        """Note that a job has ended; what it has not done is pending again.

        Where there was a result already, that stays, and no other one is wanted any more.
        """
        self._claimed.pop(id(job), None)
        self._again -= job.again
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
        if not known or outdated(patch, job.marks, self.marks):
            return False
        if mark in job.again:
            return self._take_again(mark, patch, job)
        if patch.slot not in job.begun:  # the first of a new repair replaces the old one
            self.repaired.revert(patch.slot)
            job.begun.add(patch.slot)
        self.repaired.add(patch)
        if job.begun.issuperset(slots_of(self.marks, mark)) and self._complete(mark):
            self._states[mark] = "synthesized"
            self._spares.pop(mark, self.chosen(mark))  # made anew
        self._emit({patch.slot})
        return True

    def _take_again(self, mark: Mark, patch: Patch, job: RepairJob) -> bool:
        """Have a new result in place of the present one, which is kept, as soon as it is whole."""
        came = job.coming.setdefault(mark, [])
        came.append(patch)
        if is_whole(self.marks, mark, came):
            self._again.discard(mark)
            self._emit(self._choose(mark, tuple(came)))
        return True

    # ---- several results

    def again(self, marks: Iterable[Slot]) -> None:
        """Want another result of marks that have one, which is kept."""
        done = ("synthesized", "accepted")
        self._again |= {mark for mark in map(mark_of, marks) if self._states.get(mark) in done}
        self._emit()

    def choose(self, slot: Slot, name: str) -> None:
        """Have another result of a mark shown and exported; it is still to be accepted."""
        mark = mark_of(slot)
        result = self._spares.pop(mark, name)
        if result:
            self._emit(self._choose(mark, result), "choice of a result")

    def _choose(self, mark: Mark, result: Result) -> set[Slot]:
        """Lay a result over the stack, and keep the one that was there; slots that have changed."""
        before = self._patches(slots_of(self.marks, mark))
        slots = self._drop_patches(mark)
        self._spares.put(mark, before)
        self._spares.pop(mark, name_of(result))  # one of the same name is replaced
        for patch in result:
            self.repaired.add(patch)
        self._states[mark] = "synthesized"
        return slots | {patch.slot for patch in result}

    def accept(self, marks: Iterable[Slot]) -> None:
        """Keep what was synthesized."""
        for mark in map(mark_of, marks):
            if self._states.get(mark) == "synthesized":
                self._states[mark] = "accepted"
        self._emit(what="accept")

    def revert(self, marks: Iterable[Slot]) -> None:
        """Take what was synthesized away; the marks stay, and can be repaired again."""
        slots: set[Slot] = set()
        for mark in map(mark_of, marks):
            if mark in self._states:
                slots |= self._drop_patches(mark)
                self._states[mark] = "reverted"
                self._revisions[mark] += 1
                self._again.discard(mark)
        self._emit(slots, "revert")

    def redo(self, marks: Iterable[Slot]) -> None:
        """Make marks pending again; what is there stays until the new repair replaces it."""
        for mark in map(mark_of, marks):
            if mark in self._states:
                self._states[mark] = "marked"
                self._revisions[mark] += 1
                self._again.discard(mark)
        self._emit(what="repair again")

    # ---- what is kept

    def restore(self, saved: Saved) -> None:
        """Take up a state that was saved, in place of the present one."""
        present = [mark for mark, state in self._states.items() if state != "synthetic"]
        slots = self._put(dict.fromkeys(present, NO_MARK) | parts_of(saved))
        self.history.clear()
        self._emit(slots)

    def discard(self, saved: Saved) -> None:
        """Leave behind what was saved; :meth:`undo` takes it up."""
        self.history.push(Step("discard", parts_of(saved)))
        self._emit()

    def undo(self, again: bool = False) -> None:
        """Take back the last thing that the user did to the marks; `again` brings it back.

        Repairs that were finished since then stay, but for those of the marks concerned.
        """
        step = self.history.last(again)
        if step is not None:
            slots = self._put(step.before)
            self.history.move(again)
            self._emit(slots)

    # ---- within

    def _replace(self, marks: Marks, altered: Set[Mark], what: str, keep: bool = False) -> None:
        """Have other marks in place of the present ones, if they fit the stack."""
        marks.check(self.stack.shape)
        self.marks = marks
        self._altered(altered, what, added=True, keep=keep)

    def _remove(self, marks: Marks, gone: Set[Mark], what: str) -> None:
        """Have fewer marks than before; what is no longer missing moves what spans it."""
        self.marks = marks
        if gone:
            self._altered(gone, what, added=any(missing for _, missing in gone))

    def _put(self, parts: Parts) -> set[Slot]:
        """Have all that is known of some marks as it says; returns slots that have changed."""
        marks = put(self.marks, parts)
        if marks:
            marks.check(self.stack.shape)
        now, self.marks = self.marks.each(), marks
        slots: set[Slot] = set()
        for mark, part in parts.items():
            slots |= self._drop_patches(mark) | {patch.slot for patch in part.patches}
            for patch in part.patches:
                self.repaired.add(patch)
            self._revisions[mark] = self._revisions.get(mark, 0) + 1
            self._states.pop(mark, None)
            if part.state is not None:
                done = part.state == "reverted" or self._complete(mark)
                self._states[mark] = part.state if done else "marked"
            self._again.discard(mark)
            self._spares.restore(mark, part.spares, marks)
        moved = {m for m, part in parts.items() if now.get(m, NO_MARK.marks) != part.marks}
        self._outdate({mark for mark in moved if mark in marks or mark[1]})
        return slots

    def _altered(self, marks: Set[Mark], what: str, added: bool, keep: bool = False) -> None:
        """Follow a change of marks with states, patches and what depends on them."""
        slots: set[Slot] = set()
        self._spares.forget(marks)
        self._again -= marks
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
        self._emit(slots, what)

    def _outdate(self, marks: Set[Mark]) -> None:
        """Mark for repair again what was made from sections that turn out to be broken."""
        for mark, state in self._states.items():
            if state not in ("synthesized", "accepted") or mark in marks:
                continue
            patches = self._patches(slots_of(self.marks, mark))
            if any(depends(patch, altered) for patch in patches for altered in marks):
                self._states[mark] = "marked"
                self._revisions[mark] += 1
                self._again.discard(mark)

    def _drop_patches(self, mark: Slot) -> set[Slot]:
        belonging = [slot for slot in self.repaired.slots if mark_of(slot) == mark]
        return {slot for slot in belonging if self.repaired.revert(slot)}

    def _emit(self, slots: set[Slot] | None = None, what: str = "") -> None:
        """Tell of a change, and keep it; if the user made it, in words that can be undone."""
        saved = self.saved()
        self.history.follow(parts_of(saved), what)
        if slots:
            self.patched.emit(slots)
        self.changed.emit()
        self._save(saved)
