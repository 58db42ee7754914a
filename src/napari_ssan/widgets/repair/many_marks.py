"""What is done to many marks at a time, and undone; and the way from mark to mark.

Asks before more than one repaired slice goes, however it is that it goes. What is asked, and
what the buttons look like, is the view's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from napari_ssan.errors import BadInput
from napari_ssan.session.marks import mark_of, next_mark
from napari_ssan.stack.marks import Mark
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.region import as_treatment
from napari_ssan.widgets.repair.keys import Keys
from napari_ssan.widgets.shared import messages

if TYPE_CHECKING:
    from napari_ssan.widgets.repair.stack_controller import StackController
    from napari_ssan.widgets.repair.state import DockState
    from napari_ssan.widgets.repair.view import RepairView


class ManyMarks:
    """Connects the field of slices, the tools below the table, and their keys.

    Parameters
    ----------
    view : RepairView
        The dock.
    current : callable
        Gives the chosen stack; None if there is none.
    state : callable
        Gives what the dock shows.
    """

    def __init__(
        self,
        view: RepairView,
        current: Callable[[], StackController | None],
        state: Callable[[], DockState],
    ) -> None:
        self._view, self._current, self._state = view, current, state
        #: Slice that was marked last by hand: a range begins there.
        self._anchor: int | None = None
        marking = view.marking
        marking.slices.entered.connect(self.mark_typed)
        marking.range_pressed.connect(self.mark_range)
        marking.tools.stepped.connect(self.step_marks)
        marking.tools.accept_pressed.connect(self.accept)
        marking.tools.revert_pressed.connect(lambda: self.revert(self._chosen()))
        marking.tools.undo_pressed.connect(self.undo)
        marking.tools.treatment_chosen.connect(self.treat)
        marking.table.delete_pressed.connect(lambda: self.unmark(self._chosen(alone=True)))

    def bind(self, keys: Keys) -> dict[str, str]:
        """Bind keys; returns which, by action."""
        return {
            "range": keys.bind("range", self.mark_range),
            "previous": keys.bind("previous", lambda: self.step(True)),
            "next": keys.bind("next", lambda: self.step(False)),
            "undo": keys.bind("undo", lambda: self.undo(False), shared=True),
            "redo": keys.bind("redo", lambda: self.undo(True), shared=True),
        }

    # ---- marking

    def begin_range(self, section: int | None) -> None:
        """Have the next range begin at a slice; None for nowhere."""
        self._anchor = section

    def mark_typed(self, text: str) -> None:
        """Mark slices by their numbers, and go to the first of them."""
        current = self._current()
        if current is None or current.offer is not None:
            return
        try:
            sections = parse_slices(text)
            current.session.mark(sections)
        except BadInput as error:
            messages.report(error)
            return
        self._view.marking.slices.clear()
        if sections:
            current.results.go_to((sections[0], 0))

    def mark_range(self) -> None:
        """Mark all slices from the one that was marked last to the one on screen."""
        current, state = self._current(), self._state()
        if current is None or not state.can_mark or state.section is None:
            messages.warn(state.refusal or state.hint or "Answer the question in the dock first.")
            return
        z = state.section
        start = z if self._anchor is None else self._anchor
        self._anchor = z
        try:
            current.session.mark(range(min(start, z), max(start, z) + 1))
        except BadInput as error:
            messages.report(error)

    # ---- from mark to mark

    def step(self, back: bool) -> None:
        """Go to the next suggestion while there are any, else to the next mark; or back."""
        current = self._current()
        if current is not None and current.review.current is not None:
            current.review.step(-1 if back else 1)
        else:
            self.step_marks(back)

    def step_marks(self, back: bool) -> None:
        """Go to the next mark, whatever is suggested; or back."""
        current = self._current()
        if current is not None:
            marks = [mark for row in current.rows for mark in row.marks]
            mark = next_mark(marks, current.results.slot_on_screen(), back)
            if mark is not None:
                current.results.go_to(mark)

    # ---- accept, revert, unmark, undo

    def accept(self) -> None:
        """Accept the repairs of the selected rows, or all."""
        current = self._current()
        if current is not None:
            current.session.accept(self._chosen())

    def revert(self, marks: Iterable[Mark]) -> None:
        """Show the original again where there is a repair; ask if there are several."""
        current, repaired = self._current(), self._repaired(marks)
        if current is not None and repaired and self._may_lose(self._slices(repaired), "Revert"):
            current.session.revert(repaired)

    def treat(self, treatment: str) -> None:
        """Choose what becomes of the selected rows, or of the mark on screen."""
        current, marks = self._current(), self._chosen(alone=True)
        section = self._state().section
        if not marks and section is not None:
            marks = [(section, 0)]
        done = self._repaired(marks)
        if current is not None and self._may_lose(len(done), "Repair again"):
            current.session.treat(marks, as_treatment(treatment))
        self._view.render_state(self._state())

    def unmark(self, marks: Iterable[Mark]) -> None:
        """Forget marks; ask if several of them are repaired."""
        current, marks = self._current(), tuple(marks)
        if current is not None and self._may_lose(self._slices(marks), "Unmark"):
            current.unmark(marks)

    def undo(self, again: bool = False) -> None:
        """Take back the last thing that was done to the marks; `again` brings it back."""
        current = self._current()
        if current is None or current.offer is not None:
            return
        verb = "Redo" if again else "Undo"
        if self._may_lose(current.session.history.loses(again), verb):
            try:
                current.undo(again)
            except BadInput as error:
                messages.report(error)

    def answer(self, yes: bool) -> None:
        """Answer the question in the dock; ask again before several repaired slices go."""
        current = self._current()
        if current is not None:
            patches = () if current.offer is None or yes else current.offer.patches
            if self._may_lose(len({patch.slot for patch in patches}), "Discard"):
                current.answer(yes)

    # ---- within

    def _chosen(self, alone: bool = False) -> list[Mark]:
        """Marks of the selected rows, or of all if less than two are; one may count `alone`."""
        current, lines = self._current(), self._view.marking.table.selected
        rows = [] if current is None else current.rows
        if alone or len(lines) > 1:
            rows = [rows[line] for line in lines if line < len(rows)]
        return [mark for row in rows for mark in row.marks]

    def _repaired(self, marks: Iterable[Mark]) -> list[Mark]:
        current = self._current()
        done = ("synthesized", "accepted")
        return [m for m in marks if current is not None and current.session.state(m) in done]

    def _slices(self, marks: Iterable[Mark]) -> int:
        """How many repaired slices belong to marks; a gap may have several."""
        current, wanted = self._current(), set(marks)
        if current is None:
            return 0
        repaired = current.session.repaired
        found = [slot for slot in repaired.slots if mark_of(slot) in wanted]
        return sum(bool(repaired.patches(slot)) for slot in found)

    def _may_lose(self, count: int, verb: str) -> bool:
        return count < 2 or self._view.ask_lose(count, verb)
