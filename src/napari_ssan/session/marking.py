"""Marking: which marks a session has, and what a change of them does to states and repairs.

What repairs make of the marks is up to the session itself, which inherits from this. Marks are
replaced at every change, never changed, so that whoever holds them has them as they were. Easy to
get wrong: a new mark sends back what was made from the section that turns out to be broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

from psygnal import Signal

from napari_ssan.engine.repaired import RepairedStack, Slot
from napari_ssan.session.history import History, parts_of
from napari_ssan.session.marks import State, mark_of, slots_of
from napari_ssan.session.outdated import depends
from napari_ssan.session.results import SpareResults
from napari_ssan.session.saved import Saved
from napari_ssan.session.view import SessionView
from napari_ssan.stack.marks import Mark, Marks
from napari_ssan.stack.region import Region, Treatment
from napari_ssan.stack.sections import SliceStack


class MarkingSession(SessionView):
    """The part of a session that marks.

    Parameters and attributes are those of :class:`~napari_ssan.session.session.RepairSession`.
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
        whole = set(sections)
        self.add(Marks(whole, corrected=whole.copy() if treatment == "correct" else set()), "mark")

    def add_region(self, z: int, region: Region) -> None:
        """Mark a region of section `z`; one that is marked already stays as it is.

        Raises
        ------
        BadInput
            If it lies outside the stack.
        """
        self.add_regions([(z, region)])

    def add_regions(self, regions: Iterable[tuple[int, Region]]) -> None:
        """Mark regions of sections at once, (z, region) each; otherwise as :meth:`add_region`."""
        more = Marks()
        for z, region in regions:
            more.add_region(z, region)
        self.add(more, "lasso")

    def add(self, more: Marks, what: str) -> None:
        """Mark all that other marks say, in one step; what is marked already stays as it is.

        `what` is the step in words. Raises as :meth:`mark` and :meth:`set_missing` do.
        """
        marks, known = self.marks.copy(), self.marks.by_key()
        whole = more.whole - marks.whole
        marks.update(Marks(whole, corrected=whole & more.corrected))
        regions = [
            (z, region) for z, found in more.regions.items() for region in found
            if region.key(z) not in known
        ]  # fmt: skip
        for z, region in regions:
            marks.add_region(z, region)
        missing = {z for z, count in more.missing.items() if marks.missing.get(z) != count}
        marks.missing |= more.missing
        whole_marks = {(z, 0) for z in whole}
        altered = whole_marks | {(z, 0) for z, _ in regions} | {(z, 1) for z in missing}
        if altered:
            # What is done for other regions of a section stays on view until it is made anew.
            kept = {(z, 0) for z, _ in regions} - whole_marks
            self._replace(marks, altered, what, keep=kept)

    def remove_regions(self, keys: Iterable[str]) -> None:
        """Unmark regions; keys that are not there are passed over."""
        marks = self.marks.copy()
        self._remove(marks, marks.discard_regions(set(keys)), "deletion of a lasso")

    def treat(self, marks: Iterable[Slot], treatment: Treatment) -> None:
        """Choose what becomes of marks; those that had the other treatment are pending again.

        Of a section that is marked as a whole, its regions keep their treatment.
        """
        chosen = self.marks.copy()
        altered = {
            mark for mark in set(marks) & set(self._states)
            if not mark[1] and not self.marks.treated(mark[0], treatment)
        }  # fmt: skip
        sections = {z for z, _ in altered}
        whole = sections & chosen.whole
        chosen.update(Marks(whole, corrected=whole if treatment == "correct" else set()))
        chosen.treat(sections - whole, treatment)
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

    # ---- within

    def _replace(
        self, marks: Marks, altered: Set[Mark], what: str, keep: Set[Mark] = frozenset()
    ) -> None:
        """Have other marks in place of the present ones, if they fit the stack."""
        marks.check(self.stack.shape)
        self.marks = marks
        self._altered(altered, what, added=True, keep=keep)

    def _remove(self, marks: Marks, gone: Set[Mark], what: str) -> None:
        """Have fewer marks than before; what is no longer missing moves what spans it."""
        self.marks = marks
        if gone:
            self._altered(gone, what, added=any(missing for _, missing in gone))

    def _altered(
        self, marks: Set[Mark], what: str, added: bool, keep: Set[Mark] = frozenset()
    ) -> None:
        """Follow a change of marks with states, patches and what depends on them.

        Patches of those to keep stay on view.
        """
        slots: set[Slot] = set()
        self._spares.forget(marks)
        self._again -= marks
        for mark in marks:
            self._revisions[mark] = self._revisions.get(mark, 0) + 1
            if mark not in keep:
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
