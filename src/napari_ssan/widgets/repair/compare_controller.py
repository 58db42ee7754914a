"""Keeps the window "Compare" on the slice on screen: has pictures made, and shows the latest.

What is compared is a repair, or else what is suggested on the slice.

Pictures are made in a queue of their own, one set at a time, so that neither saving nor repairs
wait for them. Easy to get wrong: while one set is made the user goes on; only the last wish counts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event as Flag

from qtpy.compat import isalive

from napari_ssan.engine.repaired import Slot
from napari_ssan.inspection.find import Find
from napari_ssan.session.comparison import CLOSEST, USUAL, WIDEST, Comparison, Picture, Suspicion
from napari_ssan.widgets.repair.compare_window import CUTS, CompareWindow
from napari_ssan.widgets.repair.stack_controller import StackController
from napari_ssan.widgets.repair.view import RepairView
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.layers import centre_on_screen
from napari_ssan.widgets.shared.library import result_label
from napari_ssan.workers import TaskQueue


class CompareController:
    """Opens the window, follows the slice on screen, and closes it."""

    def __init__(self, view: RepairView, current: Callable[[], StackController | None]) -> None:
        self._view, self._current = view, current
        self.queue = TaskQueue()
        self.window: CompareWindow | None = None
        self._slot: Slot | None = None
        self._find: Find | None = None
        self._centre: tuple[int, int] = (0, 0)
        self._span = USUAL
        self._wanted = False
        view.looking.compare_pressed.connect(self.open)
        view.marking.suggestions.compare_pressed.connect(self.open)
        # What was asked for last.
        self._asked: tuple[object, ...] = ()

    def open(self) -> None:
        """Open the window, or bring it to the front."""
        if self.window is None:
            self.window = window = CompareWindow(self._view)
            window.way_chosen.connect(self.refresh)
            window.zoomed.connect(self.zoom)
            window.moved.connect(self.move)
            window.result_chosen.connect(self._choose)
            window.closed.connect(self._on_closed)
            window.show()
        self.window.raise_()
        self._slot, self._asked = None, ()
        self.refresh()

    def refresh(self) -> None:
        """Show the slice on screen, if the window is open and what it shows is out of date."""
        current, window = self._current(), self.window
        if window is None:
            return
        slot = None if current is None else current.results.slot_on_screen()
        comparison, find = None, None
        if current is not None and slot is not None:
            comparison = Comparison.of(current.session, slot, result_label)
            suggested = current.review.current
            if comparison is None and suggested is not None and slot == (suggested.z, 0):
                comparison, find = Suspicion.at(current.stack, suggested), suggested
        if current is None or slot is None or comparison is None:
            self._slot, self._asked = None, ()
            window.show_results((), "")
            window.show_message(
                "Nothing on this slice is repaired or suggested: go to another one."
            )
            return
        names = tuple(comparison.results)
        window.show_results([(name, result_label(name)) for name in names], comparison.chosen)
        if (slot, find) != (self._slot, self._find):
            self._slot, self._find, self._span = slot, find, USUAL
            self._centre = comparison.middle() or centre_on_screen(
                current.viewer, current.image, current.stack
            )
        self._make(current, comparison)

    def zoom(self, factor: float) -> None:
        """Show more or less."""
        self._span = round(min(max(self._span * factor, CLOSEST), WIDEST))
        self.refresh()

    def move(self, down: float, right: float) -> None:
        """Show what lies beside, by parts of what is shown."""
        current = self._current()
        if current is not None:
            moved = zip(self._centre, (down, right), current.stack.shape[1:], strict=True)
            y, x = (
                min(max(round(at - part * self._span), 0), length - 1) for at, part, length in moved
            )
            self._centre = (y, x)
            self.refresh()

    def close(self) -> None:
        """Close the window, and wait until no picture is being made."""
        if self.window is not None and isalive(self.window):
            self.window.close()
        self.queue.close()

    def _choose(self, name: str) -> None:
        current = self._current()
        if current is not None and self._slot is not None:
            current.session.choose(self._slot, name)

    def _make(self, current: StackController, comparison: Comparison) -> None:
        if self.queue.current is not None:
            self._wanted = True
            return
        assert self.window is not None
        cuts = self.window.way.currentText() == CUTS
        low, high = current.image.contrast_limits
        limits, centre, span = (float(low), float(high)), self._centre, self._span
        patches = tuple(patch for each in comparison.results.values() for patch in each)
        asked = (
            comparison.slot,
            self._find,
            comparison.chosen,
            patches,
            cuts,
            limits,
            centre,
            span,
        )
        if asked == self._asked:
            return
        self._asked = asked
        scale, stack = current.image.scale, current.stack
        aspect = float(scale[stack.z_axis] / scale[stack.y_axis])

        def work(report: object, cancel: Flag) -> list[Picture]:
            if cuts:
                return comparison.cuts(centre, span, limits, aspect)
            return comparison.pictures(centre, span, limits)

        task = self.queue.submit(work)
        z, number = comparison.slot
        title = f"missing slice {number} after {z}" if number else f"slice {z}"
        task.succeeded.connect(partial(self._show, title))
        task.failed.connect(messages.report)
        task.ended.connect(self._on_ended)

    def _show(self, title: str, pictures: list[Picture]) -> None:
        if self.window is not None:
            self.window.show_pictures(title, pictures)

    def _on_ended(self) -> None:
        if self._wanted:
            self._wanted = False
            self.refresh()

    def _on_closed(self) -> None:
        window, self.window = self.window, None
        if window is not None:
            window.deleteLater()
