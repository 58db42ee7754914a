"""Connects the dock "Repair slice": what keys and buttons do, and what the view shows.

Which stacks are open is :mod:`~napari_ssan.widgets.repair.open_stacks`; the work on one of them is
its :class:`~napari_ssan.widgets.repair.stack_controller.StackController`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qtpy.compat import isalive

from napari_ssan.engine.repaired import Slot
from napari_ssan.errors import BadInput
from napari_ssan.session.marks import mark_of
from napari_ssan.widgets.repair.compare_controller import CompareController
from napari_ssan.widgets.repair.export_questions import (
    ask_and_export,
    ask_and_hand_over,
    ask_and_put,
    ask_and_restore,
)
from napari_ssan.widgets.repair.keys import Keys
from napari_ssan.widgets.repair.many_marks import ManyMarks
from napari_ssan.widgets.repair.model_list import ModelList
from napari_ssan.widgets.repair.open_stacks import OpenStacks
from napari_ssan.widgets.repair.outlook_controller import OutlookController
from napari_ssan.widgets.repair.preloading import Preloading
from napari_ssan.widgets.repair.presenter import caption_of, state_of
from napari_ssan.widgets.repair.result_layers import Overlay
from napari_ssan.widgets.repair.stack_controller import StackController
from napari_ssan.widgets.repair.state import DockState, How, ModelChoice, device_text, outlook_text
from napari_ssan.widgets.repair.suggesting import Suggesting
from napari_ssan.widgets.repair.view import RepairView
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.caption import Caption
from napari_ssan.widgets.shared.layers import earlier_repairs
from napari_ssan.widgets.shared.state import device_choices
from napari_ssan.workers import TaskQueue

if TYPE_CHECKING:
    from napari.components import ViewerModel


class RepairController:
    """Follows the viewer and the view, and keeps each informed of the other."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.quick, self.slow = TaskQueue(), TaskQueue()
        self.models = ModelList()
        self.view = RepairView(self.models.entries, device_choices())
        # With the button of the window it goes before anything was closed.
        self.view.destroyed.connect(lambda: self.close())
        self._outlook = OutlookController(self.view.outlook, self.slow)
        self.comparing = CompareController(self.view, lambda: self.current)
        self._preloading = Preloading(self.quick, self.slow)
        self._preloading.learned.connect(self.refresh)
        self._stacks = OpenStacks(viewer, self.quick, self.slow, self._preloading.kept)
        self._closed = False
        self._keys = Keys(viewer)
        self._caption = Caption(viewer)
        self.models.changed.connect(self._on_models)
        self._many = ManyMarks(self.view, lambda: self.current, self._state)
        self._suggesting = Suggesting(self.view.marking, lambda: self.current)
        self.view.show_keys(
            {
                **self._many.bind(self._keys),
                "mark": self._keys.bind("mark", self.toggle_mark),
                "lasso": self._keys.bind("lasso", self.toggle_lasso),
                "before": self._keys.bind_held("before", self.show_before),
                **self._suggesting.bind(self._keys),
            }
        )
        self._connect_view()
        self._stacks.chosen.connect(self._on_chosen)
        self._stacks.opened.connect(self._on_opened)
        self._stacks.changed.connect(self.refresh)
        self._stacks.follow()

    @property
    def current(self) -> StackController | None:
        """The chosen stack."""
        return self._stacks.current

    # ---- what keys and buttons do

    def toggle_mark(self) -> None:
        """Mark the slice on screen as a whole, or unmark it."""
        current, state = self.current, self._state()
        if current is None or not state.can_mark or state.section is None:
            messages.warn(state.refusal or state.hint or "Answer the question in the dock first.")
            return
        if state.whole:
            self._many.begin_range(None)
            current.unmark(((state.section, 0),))
        else:
            self._many.begin_range(state.section)
            self._try(lambda: current.session.mark([state.section or 0]))

    def toggle_lasso(self, on: bool | None = None) -> None:
        """Take up the lasso, or put it down."""
        current, state = self.current, self._state()
        on = not state.drawing if on is None else on
        if current is None or (on and not state.can_mark):
            messages.warn(state.refusal or state.hint or "Answer the question in the dock first.")
            self.refresh()
            return
        current.draw(on)

    def show_before(self, on: bool) -> None:
        """Show the original, or the repaired stack."""
        if self.current is not None:
            self.current.results.before(on)

    def ask_missing(self) -> None:
        """Ask how many sections are missing after the one on screen, and mark them."""
        current, z = self.current, self._state().section
        if current is None or z is None:
            return
        number = self.view.ask_missing(z, current.session.marks.missing.get(z, 0))
        if number is not None:
            self._try(lambda: current.session.set_missing(z, number))

    def repair(self) -> None:
        """Put the lasso down, and repair what is marked, or queue it."""
        current = self.current
        if current is not None:
            if current.marks.drawing:
                current.draw(False)
            self._try(lambda: current.repair(self._how()))

    def repair_again(self, number: int) -> None:
        """Repair the slice on screen with another model, too."""
        current, slot = self.current, self._slot()
        if current is not None and slot is not None:
            mark, how = mark_of(slot), self._how(self.models.entries[number])
            current.session.again([slot])
            if mark in current.session.pending:
                self._try(lambda: current.repair(how, only=mark))
            else:
                messages.warn("This slice is being repaired already: wait until that is done.")

    def choose_result(self, name: str) -> None:
        """Have another result of the slice on screen shown and exported."""
        slot = self._slot()
        if self.current is not None and slot is not None:
            self.current.session.choose(slot, name)

    def ask_outlook(self) -> None:
        """Have the chosen model judged on good slices near the mark, or the slice on screen."""
        current = self.current
        if current is not None:
            marks = current.session.marks
            synthetic = earlier_repairs(current.image).numbers
            self._outlook.ask(
                current.stack,
                replace(marks, whole=marks.whole | synthetic),
                self._state().section,
                self.models.chosen,
                self.view.repairing.device_name(),
            )

    def accept(self) -> None:
        """Keep the repair of the slice on screen."""
        slot = self._slot()
        if self.current is not None and slot is not None:
            self.current.session.accept([slot])

    def revert(self) -> None:
        """Take the repair of the slice on screen away."""
        slot = self._slot()
        if self.current is not None and slot is not None:
            self._many.revert([mark_of(slot)])

    def export(self, suffix: str, mask: bool, error: bool, report: bool = False) -> None:
        """Ask what, where to, and whether to replace what is there, and write."""
        if self.current is not None:
            ask_and_export(self.view, self.current, suffix, mask, error, report)

    def choose_model_file(self) -> None:
        """Ask for a model file and add it to the list."""
        path = self.view.ask_model()
        if path:
            self.models.take(path)
        else:
            self._on_models()

    def _on_models(self) -> None:
        self._outlook.forget()
        self.view.repairing.show_models(self.models.entries, self.models.index)
        self.view.looking.show_models(self.models.entries)
        self.refresh()

    def finish(self) -> None:
        """Wait until all work has ended; meant for scripts, since the GUI stands still."""
        queues = (self.quick, self.slow, self.comparing.queue)
        while any(queue.current is not None for queue in queues):
            for queue in queues:
                queue.finish()

    def close(self) -> None:
        """Stop all work, wait for it, save, and let go of the viewer if that is still there.

        Can be called twice.
        """
        if self._closed:
            return
        self._closed = True
        gone = not isalive(self.view)  # which goes with its viewer, at the latest
        if not gone:
            self._keys.unbind()
            self._caption.say("")
        self.models.close()
        self._outlook.close()
        self.comparing.close()
        self._stacks.close_all(gone)
        self.slow.close()
        self.quick.finish()
        self.quick.close()
        self._preloading.kept.forget()

    # ---- following the stacks

    def _on_chosen(self) -> None:
        self._many.begin_range(None)
        self.view.repairing.show_note("")
        self._outlook.forget()

    def _on_opened(self, opened: StackController) -> None:
        opened.changed.connect(self.refresh)
        opened.work.progressed.connect(self._on_progress)
        opened.noted.connect(self._on_noted)
        opened.timed.connect(self._preloading.learn)

    def _on_progress(self) -> None:
        if self.current is not None and not self._closed:
            work = self.current.work
            self.view.repairing.progress.show_progress(work.text, work.done, work.total)

    def _on_noted(self, text: str) -> None:
        if not self._closed:
            self.view.repairing.show_note(text)

    # ---- showing

    def refresh(self) -> None:
        """Show the present state in dock and corner."""
        if self._closed:
            return
        if self.current is not None and self.current.session.pending:
            self._preloading.load(self._how())
        self.view.render_state(self._state())
        self.comparing.refresh()
        said = caption_of(self.current)
        self._caption.say(*("",) if said is None else (said.text, said.kind))

    def _state(self) -> DockState:
        if self.current is None:
            return state_of(self.viewer, self._stacks, "")
        how = self._how()
        rate = self._preloading.rate(how)
        shape, pixels = self.current.stack.shape[1:], self.current.pending_pixels
        device, cost = device_text(how, shape, rate, pixels), outlook_text(how, shape, rate)
        return state_of(self.viewer, self._stacks, device, cost)

    # ---- within

    def _slot(self) -> Slot | None:
        """The section on screen."""
        return None if self.current is None else self.current.results.slot_on_screen()

    def _how(self, choice: ModelChoice | None = None) -> How:
        """What to repair with: the chosen model, or another one."""
        choice, panel = choice or self.models.chosen, self.view.repairing
        return How(choice.method, choice.model, panel.device_name(), panel.views())

    def _connect_view(self) -> None:
        view = self.view
        view.header.stack_chosen.connect(self._stacks.choose)
        view.header.answered.connect(self._many.answer)
        view.header.sample_wanted.connect(
            partial(self.viewer.open_sample, "napari-ssan", "synthetic")
        )
        marking = view.marking
        marking.mark_pressed.connect(self.toggle_mark)
        marking.lasso_toggled.connect(self.toggle_lasso)
        marking.missing_pressed.connect(self.ask_missing)
        repairing = view.repairing
        repairing.repair_pressed.connect(self.repair)
        repairing.progress.cancel_pressed.connect(
            lambda: self._with_current(StackController.cancel)
        )
        repairing.model_chosen.connect(self.models.choose)
        repairing.natural_chosen.connect(self.models.take_natural)
        repairing.how_chosen.connect(self.refresh)
        repairing.model_file_wanted.connect(self.choose_model_file)
        looking = view.looking
        looking.before_toggled.connect(self.show_before)
        looking.accept_pressed.connect(self.accept)
        looking.revert_pressed.connect(self.revert)
        looking.again_wanted.connect(self.repair_again)
        looking.result_chosen.connect(self.choose_result)
        looking.overlay_toggled.connect(partial(self._show_overlay, "synthetic"))
        view.expected_error.map_toggled.connect(partial(self._show_overlay, "error"))
        view.outlook.asked.connect(self.ask_outlook)
        exporting = view.exporting
        exporting.export_pressed.connect(self.export)
        exporting.put_pressed.connect(lambda: self._with_current(partial(ask_and_put, view)))
        exporting.restore_pressed.connect(
            lambda: self._with_current(partial(ask_and_restore, view))
        )
        exporting.hand_over_pressed.connect(
            lambda: self._with_current(lambda each: ask_and_hand_over(view, each, self._how()))
        )
        marking.table.asked.connect(self._on_row)

    def _show_overlay(self, what: Overlay, on: bool) -> None:
        if self.current is not None:
            self.current.results.show_overlay(what, on)
            self.refresh()

    def _on_row(self, action: str, number: int) -> None:
        current = self.current
        if current is None or number >= len(current.rows):
            return
        marks = current.rows[number].marks
        if action == "go":
            current.results.go_to(marks[0])
        elif action == "unmark":
            self._many.unmark(marks)
        elif action == "revert":
            self._many.revert(marks)
        else:
            current.session.redo(marks)

    def _with_current(self, action: Callable[[StackController], object]) -> None:
        if self.current is not None:
            action(self.current)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except BadInput as error:
            messages.report(error)
