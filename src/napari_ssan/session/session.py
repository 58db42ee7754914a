"""A repair in the making: what is done of the marks, and what the user thinks of it.

Knows no viewer and no disk: it hands its state to whoever keeps it. Marking is
:mod:`napari_ssan.session.marking`, reading is :mod:`napari_ssan.session.view`. Easy to get wrong:
a worker may hand in a patch for marks that have changed since; :meth:`RepairSession.take` sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from napari_ssan.engine.repaired import Patch, Slot
from napari_ssan.errors import BadInput
from napari_ssan.session.history import NO_MARK, Parts, Step, parts_of, put
from napari_ssan.session.jobs import RepairJob
from napari_ssan.session.marking import MarkingSession
from napari_ssan.session.marks import mark_of, slots_of
from napari_ssan.session.outdated import outdated
from napari_ssan.session.results import Result, is_whole, name_of
from napari_ssan.session.saved import Saved
from napari_ssan.stack.marks import Mark
from napari_ssan.stack.sections import SliceStack


class RepairSession(MarkingSession):
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

    def __init__(self, stack: SliceStack, save: Callable[[Saved], object] | None = None) -> None:
        super().__init__(stack, save)
        self._claimed: dict[int, RepairJob] = {}

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

    # ---- what is in the file

    def written(self, marks: Iterable[Slot]) -> None:
        """Note that results are in the stack's file, which tells of them from now on."""
        slots: set[Slot] = set()
        for mark in map(mark_of, marks):
            if self._states.get(mark) in ("synthesized", "accepted"):
                slots |= self._drop_patches(mark)
                self._spares.forget({mark})
                self._states[mark] = "synthetic"
                self._revisions[mark] += 1
                self._again.discard(mark)
        self.history.clear()
        self._emit(slots)

    def unwritten(self, sections: Iterable[int]) -> None:
        """Note that sections have their original pixels again; their marks are to be repaired."""
        found = [(z, 0) for z in sections if self._states.get((z, 0)) == "synthetic"]
        for mark in found:
            self._states[mark] = "marked"
            self._revisions[mark] += 1
        if found:
            self.history.clear()
            self._emit()

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
