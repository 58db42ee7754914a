"""What there is to read of a session. It changes nothing.

The session itself, which inherits from this, changes its marks and results. Easy to get wrong:
`repaired` goes on changing; what a worker reads must be a :meth:`SessionView.snapshot`.
"""

from __future__ import annotations

from collections.abc import Iterable

from napari_ssan.engine.repaired import Patch, RepairedStack, Slot, slot_text
from napari_ssan.session.marks import Row, State, mark_of, slots_of, table
from napari_ssan.session.results import SpareResults, is_whole, name_of
from napari_ssan.session.saved import Saved
from napari_ssan.stack.marks import Mark, Marks
from napari_ssan.stack.sections import SliceStack


class SessionView:
    """Marks of a stack, their states and their results, as they are now."""

    stack: SliceStack
    repaired: RepairedStack
    marks: Marks
    _states: dict[Mark, State]
    _spares: SpareResults

    def state(self, slot: Slot) -> State | None:
        """State of the mark that a section of the repaired stack belongs to."""
        return self._states.get(mark_of(slot))

    def rows(self) -> list[Row]:
        """Return the table of marks; adjacent whole sections in the same state share a row."""
        return table(self.marks, self._states, self.repaired)

    def results(self, slot: Slot) -> list[str]:
        """What made the results of a section's mark, in order of their names."""
        mark = mark_of(slot)
        return sorted({*self._spares.names(mark), *filter(None, [self.chosen(mark)])})

    def chosen(self, slot: Slot) -> str:
        """What made the result that is shown and exported; empty if there is none."""
        return name_of(self._patches(slots_of(self.marks, mark_of(slot))))

    def result(self, slot: Slot, name: str) -> list[Patch]:
        """Patches of a section in one of its results."""
        mark = mark_of(slot)
        known = self._spares.get(mark, name)
        if name == self.chosen(mark):
            known = tuple(self.repaired.patches(slot))
        return [patch for patch in known if patch.slot == slot]

    @property
    def accepted(self) -> dict[Slot, bool]:
        """By section that is repaired: whether the user has accepted that."""
        repaired = [slot for slot in self.repaired.slots if self.repaired.patches(slot)]
        return {slot: self.state(slot) == "accepted" for slot in repaired}

    def snapshot(self, accepted_only: bool = False) -> RepairedStack:
        """Copy the repaired stack as it is now; later changes do not reach it."""
        copy, accepted = RepairedStack(self.stack), self.accepted
        for patch in self._patches(self.repaired.slots):
            if accepted[patch.slot] or not accepted_only:
                copy.add(patch)
        return copy

    def name(self, slot: Slot) -> str:
        """Name a section of the repaired stack."""
        return slot_text(slot, self.marks.missing.get(slot[0], 0))

    # ---- what is kept

    def saved(self) -> Saved:
        """Return the state, as a sidecar keeps it; what the file says itself is left out."""
        marks, states = self.marks, dict(self._states)
        synthetic = [mark for mark, state in states.items() if state == "synthetic"]
        if synthetic:
            marks = marks.copy()
        for mark in synthetic:
            marks.discard(mark)
            del states[mark]
        patches = self._patches(self.repaired.slots)
        return Saved(marks, states, patches, spares=self._spares.all())

    # ---- within

    def _complete(self, mark: Slot) -> bool:
        """Whether all marked pixels are synthesized."""
        return is_whole(self.marks, mark, self._patches(slots_of(self.marks, mark)))

    def _patches(self, slots: Iterable[Slot]) -> tuple[Patch, ...]:
        return tuple(patch for slot in slots for patch in self.repaired.patches(slot))
