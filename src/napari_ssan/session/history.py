"""What was done to the marks of a session, so that it can be undone and redone.

A step holds, for each mark that it changed, all that was known of it before. So undoing it
leaves alone what has come about since, as the repairs of other marks. Easy to get wrong: a
step that is undone may take repairs away that are newer than it; they are kept for the redo.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from napari_ssan.engine.repaired import Patch, Slot
from napari_ssan.session.marks import State, known_state, mark_of
from napari_ssan.session.results import Result
from napari_ssan.session.saved import Saved
from napari_ssan.stack.marks import Mark, Marks

#: Steps that can be undone; each may hold pixels.
LONGEST = 100


@dataclass(frozen=True)
class Part:
    """All that a session knows of a mark; the default is that it is none."""

    marks: Marks
    state: State | None = None
    patches: tuple[Patch, ...] = ()
    #: Results that are not chosen, by what made them.
    spares: Mapping[str, Result] = field(default_factory=dict)


NO_MARK = Part(Marks())
Parts = Mapping[Mark, Part]


@dataclass(frozen=True)
class Step:
    """What was done, in words, and how the marks were before."""

    what: str
    before: Parts


class History:
    """Steps that can be undone, and those that were undone and can be redone.

    In all methods `again` stands for redoing.
    """

    def __init__(self) -> None:
        self._done: deque[Step] = deque(maxlen=LONGEST)
        self._undone: deque[Step] = deque(maxlen=LONGEST)
        self._now: Parts = {}

    def follow(self, parts: Parts, what: str = "") -> None:
        """Take note of how the marks are now; a change that has words can be undone."""
        before, self._now = self._now, parts
        if what and (change := _differing(before, parts)):
            self.push(Step(what, change))

    def push(self, step: Step) -> None:
        """Add a step; what was undone before cannot be redone any more."""
        self._done.append(step)
        self._undone.clear()

    def clear(self) -> None:
        """Forget all steps."""
        self._done.clear()
        self._undone.clear()

    def last(self, again: bool = False) -> Step | None:
        """Return the step that would be undone; None if there is none."""
        steps = self._undone if again else self._done
        return steps[-1] if steps else None

    def move(self, again: bool = False) -> None:
        """Take the last step off; with how the marks are now, before it is undone, it comes back.

        Call it before :meth:`follow` learns what undoing it has changed.
        """
        source, target = self._undone, self._done
        if not again:
            source, target = target, source
        step = source.pop()
        now = {mark: self._now.get(mark, NO_MARK) for mark in step.before}
        target.append(Step(step.what, now))

    def loses(self, again: bool = False) -> int:
        """How many repaired slices undoing the last step would take away."""
        step = self.last(again)
        return sum(
            len(_slots(self._now.get(mark, NO_MARK).patches) - _slots(part.patches))
            for mark, part in (step.before if step else {}).items()
        )


def parts_of(saved: Saved) -> dict[Mark, Part]:
    """Say of each mark what is known of it."""
    patches: dict[Mark, list[Patch]] = {}
    for patch in saved.patches:
        patches.setdefault(mark_of(patch.slot), []).append(patch)
    return {
        mark: Part(
            marks,
            known_state(saved.states, mark),
            tuple(patches.get(mark, ())),
            saved.spares.get(mark, {}),
        )
        for mark, marks in saved.marks.each().items()
    }


def put(marks: Marks, parts: Parts) -> Marks:
    """Copy marks, with other ones in place of some of them."""
    made = marks.copy()
    for mark, part in parts.items():
        z, missing = mark
        if missing:
            made.missing.pop(z, None)
        else:
            made.whole.discard(z)
            made.corrected.discard(z)
            made.regions.pop(z, None)
        made.update(part.marks)
    return made


def _slots(patches: Iterable[Patch]) -> set[Slot]:
    return {patch.slot for patch in patches}


def _differing(before: Parts, after: Parts) -> dict[Mark, Part]:
    marks = before.keys() | after.keys()
    parts = {mark: before.get(mark, NO_MARK) for mark in marks}
    return {mark: part for mark, part in parts.items() if part != after.get(mark, NO_MARK)}
