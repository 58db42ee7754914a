"""Connects the dock "Fine-tune": viewer, view, trainer, and the controllers of its panels.

`look` decides when the slices are checked, `refresh` makes the state that the view shows.
Training belongs to the trainer, which outlives this controller.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qtpy.compat import isalive
from superqt.utils import QSignalDebouncer, QSignalThrottler

from napari_ssan.errors import BadInput
from napari_ssan.finetune.config import AIMS, default_minutes
from napari_ssan.training.machine import cores
from napari_ssan.widgets.fine_tune.backend import PendingRun, TrainingRequest
from napari_ssan.widgets.fine_tune.choice import StackChoice
from napari_ssan.widgets.fine_tune.models import ModelsController
from napari_ssan.widgets.fine_tune.state import Base, FineTuneState
from napari_ssan.widgets.fine_tune.trainer import Trainer
from napari_ssan.widgets.fine_tune.training_data import TrainingDataController
from napari_ssan.widgets.fine_tune.vgg import VggController
from napari_ssan.widgets.fine_tune.view import FineTuneView
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.library import LIBRARY, model_label, model_tooltip
from napari_ssan.widgets.shared.state import Question, device_choices, has_nvidia

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari.components import ViewerModel

#: Stacks with more sections are only checked when the user asks for it.
AUTOMATIC = 400
#: Milliseconds from a change to the check of the slices, and between two drawings of curves.
PAUSE, REDRAW = 400, 250


class FineTuneController:
    """Follows the viewer and the view, and updates each when the other changes."""

    def __init__(self, viewer: ViewerModel, trainer: Trainer) -> None:
        self.viewer, self.trainer = viewer, trainer
        self._where, self._where_why, kind = _where()
        self.view = FineTuneView(device_choices(), default_minutes(kind))
        # Qt may delete it before the dock: with the window, or at the end of the program
        self.view.destroyed.connect(lambda: self.close())
        self.choice = StackChoice(viewer)
        self.data = TrainingDataController(trainer.backend, trainer.checks)
        self.vgg = VggController(trainer.backend, trainer.downloads, self.view.vgg)
        self.models = ModelsController(trainer.backend, trainer.quick, self.view.models)
        self._pending: list[PendingRun] = []
        self._bases: tuple[Base, ...] = ()
        self._closed = False
        self._look_soon = QSignalDebouncer(parent=self.view)
        self._look_soon.setTimeout(PAUSE)
        self._look_soon.triggered.connect(self.look)
        self._draw_soon = QSignalThrottler(parent=self.view)
        self._draw_soon.setTimeout(REDRAW)
        self._draw_soon.triggered.connect(self._draw)
        self._connect_view()
        self._events = [
            (self.choice.chosen, self._on_chosen),
            (self.choice.listed, self.refresh),
            (self.choice.drawn, self._look_soon.throttle),
            (trainer.changed, self._on_trainer),
            (trainer.progressed, self._draw_soon.throttle),
            (trainer.released, self._read_pending),
            (self.data.changed, self.refresh),
            (self.vgg.changed, self._on_change),
            (self.models.changed, self._on_models),
            (LIBRARY.used, self._propose_aim),
        ]
        for event, callback in self._events:
            event.connect(callback)
        self._propose_aim()
        self.models.read()
        self._read_pending()
        self.choice.follow()
        self._draw()

    # ---- what buttons do

    def look(self, anyway: bool = False) -> None:
        """Check which slices can be used; a large stack only if the user asks (`anyway`)."""
        if self._gone or self.trainer.closed:
            return
        if self.trainer.state.phase != "idle" or self.choice.refusal or not self._bases:
            self.data.pause()
            return
        try:
            request, key = self._request()
        except BadInput as error:
            self.data.refuse(str(error))
        else:
            if anyway or request.last - request.first < AUTOMATIC or key == self.data.key:
                self.data.check(request, key)
            else:
                self.data.offer()
        self.refresh()

    def train(self) -> None:
        """Start to train."""
        if self._wants_vgg():
            messages.warn("First choose where to get VGG16 from, or train without it.")
            return
        try:
            request, key = self._request()
            known = self.data.division if key == self.data.key else None
            self.trainer.begin(request, known, self.view.options.is_separate)
        except BadInput as error:
            messages.report(error)

    def answer(self, yes: bool) -> None:
        """Continue the pending run that is offered, or discard it."""
        if not self._pending:
            return
        run = self._pending.pop(0).run
        if yes:
            try:
                self.trainer.resume(run, self.view.options.is_separate)
            except BadInput as error:
                messages.report(error)
            self._read_pending()
        else:
            self.trainer.delete(run)
        self.refresh()

    def finish(self) -> None:
        """Wait until all work has ended; for scripts, since the GUI stands still meanwhile."""
        while any(queue.current is not None for queue in self.trainer.queues):
            for queue in self.trainer.queues:
                queue.finish()

    def close(self) -> None:
        """Let go of the viewer; training continues. Can be called twice."""
        if self._closed:
            return
        self._closed = True
        for event, callback in self._events:
            event.disconnect(callback)
        for soon in (self._look_soon, self._draw_soon):
            if isalive(soon):
                soon.cancel()
        for part in (self.choice, self.vgg, self.models):
            part.close()
        self.data.forget()

    # ---- following

    def _on_chosen(self) -> None:
        stack = self.choice.stack
        self.data.forget()
        self.view.subset.reset(0 if stack is None else len(stack))
        self._on_change()

    @property
    def _gone(self) -> bool:
        """Whether there is nothing to show anything in, even if nobody has closed the dock."""
        return self._closed or not isalive(self.view)

    def _on_change(self) -> None:
        """Check the slices again: something has changed that may matter."""
        if self._gone:
            return
        if self.view.options.aim != "natural":  # ask again if natural texture is chosen again
            self.vgg.go_without(False)
        self.choice.watch(self.view.subset.region.currentIndex())
        self._look_soon.throttle()
        self.refresh()

    def _on_trainer(self) -> None:
        if self._gone:
            return
        if self.trainer.state.phase == "idle":
            self._look_soon.throttle()
        self._draw()
        self.refresh()

    def _draw(self) -> None:
        if self._gone:
            return
        self.view.render_run(self._state())
        self.view.live.show_history(self.trainer.history)

    def _propose_aim(self) -> None:
        """Propose the aim of the model that repairs use, if nothing is to be downloaded for it."""
        natural = LIBRARY.loss == AIMS["natural"] and self.vgg.there
        self.view.options.propose("natural" if natural else "faithful")

    def _on_models(self) -> None:
        self._bases = tuple(
            Base(info.name, model_label(info), model_tooltip(info)) for info in self.models.models
        )
        self._on_change()

    def _read_pending(self) -> None:
        backend = self.trainer.backend
        task = self.trainer.quick.submit(lambda report, cancel: backend.pending())
        task.succeeded.connect(self._on_pending)
        task.failed.connect(messages.report)

    def _on_pending(self, found: list[PendingRun]) -> None:
        own = self.trainer.run
        self._pending = [each for each in found if own is None or each.run.folder != own.folder]
        self.refresh()

    # ---- showing

    def refresh(self) -> None:
        """Show the present state."""
        if self._gone:
            return
        state = self._state()
        self.view.render_state(state)
        if not self.vgg.busy:
            self.view.show_vgg(state)

    def _state(self) -> FineTuneState:
        choice, wants, options = self.choice, self._wants_vgg(), self.view.options
        return FineTuneState(
            layers=choice.names,
            chosen=choice.index,
            info=choice.info,
            refusal=choice.refusal,
            offer_sample=choice.layer is None,
            question=self._question(),
            regions=tuple(str(each.name) for each in choice.regions),
            bases=self._bases,
            where="CPU" if options.device.value == "cpu" else self._where,
            where_why=self._where_why,
            without=options.aim == "natural" and not wants and not self.vgg.there,
            wants_vgg=wants,
            data=self.data.data,
            run=self.trainer.state,
        )

    def _question(self) -> Question | None:
        if not self._pending:
            return None
        pending = self._pending[0]
        if pending.finished:
            return Question(f"Finished training: {pending.text}.", "See the result", "Discard")
        return Question(f"Unfinished training: {pending.text}.", "Continue", "Discard")

    # ---- within

    def _connect_view(self) -> None:
        view = self.view
        view.header.stack_chosen.connect(self.choice.choose)
        view.header.answered.connect(self.answer)
        view.header.sample_wanted.connect(
            lambda: self.viewer.open_sample("napari-ssan", "synthetic")
        )
        view.changed.connect(self._on_change)
        view.data.wanted.connect(lambda: self.look(anyway=True))
        view.data.progress.cancel_pressed.connect(self.data.cancel)
        view.data.chosen.connect(self.choice.go_to)
        view.run.train_pressed.connect(self.train)
        view.run.stop_pressed.connect(self.trainer.stop)
        view.run.discard_pressed.connect(self.trainer.discard)
        view.verdict.use_pressed.connect(self.trainer.keep)
        view.verdict.keep_base_pressed.connect(self.trainer.keep_base)

    def _request(self) -> tuple[TrainingRequest, Hashable]:
        options, subset = self.view.options, self.view.subset
        first, last = subset.first.value(), subset.last.value()
        threads = None if options.is_separate else cores()
        region = subset.region.currentIndex()
        return self.choice.request(options.config(), first, last, region, threads)

    def _wants_vgg(self) -> bool:
        return self.view.options.aim == "natural" and not self.vgg.without and not self.vgg.there


def _where() -> tuple[str, str, str]:
    """Where training will run, as far as is known without torch; why; and the kind of device."""
    if has_nvidia():
        return "GPU", "This computer has an NVIDIA GPU", "cuda"
    if sys.platform == "darwin":
        return "Apple GPU", "Or the CPU, if this Mac has no GPU that can be used", "mps"
    return "CPU", "No CUDA GPU was found. A GPU is many times faster", "cpu"
