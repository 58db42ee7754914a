"""Connects the part of the dock that shows suggestions, and its keys, with the chosen stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_ssan.errors import BadInput
from napari_ssan.widgets.repair.keys import Keys
from napari_ssan.widgets.repair.review import Review
from napari_ssan.widgets.shared import messages

if TYPE_CHECKING:
    from napari_ssan.widgets.repair.panels import MarkPanel
    from napari_ssan.widgets.repair.stack_controller import StackController


class Suggesting:
    """Does what buttons and keys ask for, to the review of the chosen stack.

    Parameters
    ----------
    marking : MarkPanel
        The part of the dock.
    current : callable
        Gives the chosen stack; None if there is none.
    """

    def __init__(self, marking: MarkPanel, current: Callable[[], StackController | None]) -> None:
        self._current = current
        panel = marking.suggestions
        marking.suggest_pressed.connect(lambda: self._do(Review.inspect))
        marking.strip.asked.connect(self.go_to)
        marking.table.suggestion_asked.connect(
            lambda number: self._do(lambda review: review.go_to(number))
        )
        panel.accept_pressed.connect(self.accept)
        panel.reject_pressed.connect(self.reject)
        panel.step_pressed.connect(lambda by: self._do(lambda review: review.step(by)))
        panel.accept_all_pressed.connect(
            lambda least: self._do(lambda review: review.accept_all(least))
        )
        panel.again_pressed.connect(
            lambda: self._do(lambda review: review.suggestions.forget_rejected())
        )

    def bind(self, keys: Keys) -> dict[str, str]:
        """Bind keys; returns which, by action."""
        return {
            "accept": keys.bind("accept", self.accept),
            "reject": keys.bind("reject", self.reject),
            "blink": keys.bind_held("blink", lambda on: self._do(lambda each: each.blink(on))),
        }

    def accept(self) -> None:
        """Mark what is suggested."""
        self._do(Review.accept)

    def reject(self) -> None:
        """Do not suggest it any more."""
        self._do(Review.reject)

    def go_to(self, section: int) -> None:
        """Go to a section, and show what is suggested there."""
        current = self._current()
        if current is None:
            return
        still = current.review.suggestions.open
        there = [number for number, find in enumerate(still) if find.z == section]
        if there:
            current.review.go_to(there[0])
        else:
            current.results.go_to((section, 0))

    def _do(self, action: Callable[[Review], object]) -> None:
        current = self._current()
        if current is None or current.offer is not None:
            return
        try:
            action(current.review)
        except BadInput as error:
            messages.report(error)
