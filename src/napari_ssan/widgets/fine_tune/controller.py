"""Wires the dock "Fine-tune": viewer, view, trainer and desks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_ssan.errors import BadInput
from napari_ssan.finetune.config import default_minutes
from napari_ssan.widgets.fine_tune.choice import StackChoice
from napari_ssan.widgets.fine_tune.core import Offer
from napari_ssan.widgets.fine_tune.models import ModelsController
from napari_ssan.widgets.fine_tune.panels import settings
from napari_ssan.widgets.fine_tune.state import Base, FineTuneState
from napari_ssan.widgets.fine_tune.trainer import Trainer
from napari_ssan.widgets.fine_tune.uses import UsesController
from napari_ssan.widgets.fine_tune.vgg import VggController
from napari_ssan.widgets.fine_tune.view import FineTuneView
from napari_ssan.widgets.repair.model_list import model_choice
from napari_ssan.widgets.repair.state import Question, device_choices, has_nvidia
from napari_ssan.widgets.shared import messages

if TYPE_CHECKING:
    from napari_ssan.network.model_file import ModelInfo

#: Stacks with more sections are looked at when that is asked for.
AUTOMATIC = 400
#: Milliseconds after a change before it is looked at, and between two drawings of figures.
PAUSE, REDRAW = 400, 250


class FineTuneController:
    """Follows the viewer and the view, and keeps each informed of the other.

    Parameters
    ----------
    viewer : napari viewer
        Where the stack is.
    trainer : Trainer
        What trains; it goes on when this is closed.
    """

    def __init__(self, viewer: Any, trainer: Trainer) -> None:
        self.viewer, self.trainer = viewer, trainer
        self._where, self._where_why, kind = _where()
        self.view = FineTuneView(device_choices(), default_minutes(kind))
        self.choice = StackChoice(viewer)
        self.uses = UsesController(trainer.core, trainer.errands)
        self.vgg = VggController(trainer.core, trainer.fetching, self.view.vgg)
        self.models = ModelsController(trainer.core, trainer.errands, self.view.models)
        self._offers: list[Offer] = []
        self._bases: tuple[Base, ...] = ()
        self._closed = False
        self._look_soon = self._timer(PAUSE, self.look)
        self._draw_soon = self._timer(REDRAW, self._draw)
        self._connect_view()
        self._events = [
            (self.choice.chosen, self._on_chosen),
            (self.choice.listed, self.refresh),
            (self.choice.drawn, self._on_drawn),
            (trainer.changed, self._on_trainer),
            (trainer.progressed, self._on_progress),
            (trainer.released, self._read_offers),
            (self.uses.changed, self.refresh),
            (self.vgg.changed, self._on_change),
            (self.models.changed, self._on_models),
        ]
        for event, callback in self._events:
            event.connect(callback)
        self.models.read()
        self._read_offers()
        self.choice.follow()
        self._draw()

    # ---- what buttons do

    def look(self, anyway: bool = False) -> None:
        """Find what can be used; where that would take long, only if it is wanted `anyway`."""
        if self.trainer.closed:
            return
        if self.trainer.state.phase != "idle" or self.choice.refusal or not self._bases:
            self.uses.pause()
            return
        try:
            plan, key = self.choice.plan(settings(self.view.part, self.view.how))
        except BadInput as error:
            self.uses.refuse(str(error))
        else:
            if anyway or plan.last - plan.first < AUTOMATIC or key == self.uses.key:
                self.uses.look(plan, key)
            else:
                self.uses.offer()
        self.refresh()

    def train(self) -> None:
        """Begin to train."""
        if self._wants_vgg():
            messages.warn("Say first where VGG16 comes from, or train without it.")
            return
        try:
            plan, key = self.choice.plan(settings(self.view.part, self.view.how))
            known = self.uses.division if key == self.uses.key else None
            self.trainer.begin(plan, known, self.view.how.apart.isChecked())
        except BadInput as error:
            messages.report(error)

    def answer(self, yes: bool) -> None:
        """Go on with the run that is offered, or discard it."""
        if not self._offers:
            return
        run = self._offers.pop(0).run
        if yes:
            try:
                self.trainer.resume(run, self.view.how.apart.isChecked())
            except BadInput as error:
                messages.report(error)
        else:
            task = self.trainer.errands.submit(lambda report, cancel: run.discard(), "Discarding…")
            task.failed.connect(messages.report)
        self._read_offers()
        self.refresh()

    def finish(self) -> None:
        """Wait until all work has ended; meant for scripts, since the GUI stands still."""
        queues = (self.trainer.errands, self.trainer.fetching, self.trainer.training)
        while any(queue.current is not None for queue in queues):
            for queue in queues:
                queue.finish()

    def close(self) -> None:
        """Let go of the viewer; training goes on. Can be called twice."""
        if self._closed:
            return
        self._closed = True
        for event, callback in self._events:
            event.disconnect(callback)
        for part in (self.choice, self.vgg, self.models):
            part.close()
        self.uses.forget()

    # ---- following

    def _on_chosen(self) -> None:
        stack = self.choice.stack
        self.uses.forget()
        self.view.part.reset(0 if stack is None else len(stack))
        self._on_change()

    def _on_change(self) -> None:
        """Something has changed that may change what can be used."""
        if self.view.how.aim != "natural":  # then it is asked for again when it is wanted again
            self.vgg.go_without(False)
        self.choice.watch(self.view.part.region.currentIndex())
        self._look_soon.start()
        self.refresh()

    def _on_drawn(self) -> None:
        self._look_soon.start()

    def _on_trainer(self) -> None:
        if self.trainer.state.phase == "idle":
            self._look_soon.start()
        self._draw()
        self.refresh()

    def _on_progress(self) -> None:
        if not self._draw_soon.isActive():
            self._draw_soon.start()

    def _draw(self) -> None:
        self.view.render_run(self._state())
        self.view.live.show_history(self.trainer.history)

    def _on_models(self) -> None:
        self._bases = tuple(base_of(info) for info in self.models.models)
        self._on_change()

    def _read_offers(self) -> None:
        core = self.trainer.core
        task = self.trainer.errands.submit(lambda report, cancel: core.offers())
        task.succeeded.connect(self._on_offers)
        task.failed.connect(messages.report)

    def _on_offers(self, offers: list[Offer]) -> None:
        own = self.trainer.run
        self._offers = [each for each in offers if own is None or each.run.folder != own.folder]
        self.refresh()

    # ---- showing

    def refresh(self) -> None:
        """Show the present state."""
        if self._closed:
            return
        state = self._state()
        self.view.render_state(state)
        if not self.vgg.busy:
            self.view.show_vgg(state)

    def _state(self) -> FineTuneState:
        choice, wants = self.choice, self._wants_vgg()
        natural = self.view.how.aim == "natural"
        return FineTuneState(
            layers=choice.names,
            chosen=choice.index,
            info=choice.info,
            refusal=choice.refusal,
            offer_sample=choice.layer is None,
            question=self._question(),
            regions=tuple(str(each.name) for each in choice.regions),
            bases=self._bases,
            where="CPU" if self.view.how.device.currentData() == "cpu" else self._where,
            where_why=self._where_why,
            without=natural and not wants and not self.vgg.there,
            wants_vgg=wants,
            uses=self.uses.uses,
            run=self.trainer.state,
        )

    def _question(self) -> Question | None:
        if not self._offers:
            return None
        offer = self._offers[0]
        if offer.finished:
            return Question(f"Finished training: {offer.text}.", "See the result", "Discard")
        return Question(f"Unfinished training: {offer.text}.", "Go on", "Discard")

    # ---- within

    def _timer(self, pause: int, action: Any) -> QTimer:
        timer = QTimer(self.view)
        timer.setSingleShot(True)
        timer.setInterval(pause)
        timer.timeout.connect(lambda: None if self._closed else action())
        return timer

    def _connect_view(self) -> None:
        view = self.view
        view.header.stack_chosen.connect(self.choice.choose)
        view.header.answered.connect(self.answer)
        view.header.sample_wanted.connect(
            lambda: self.viewer.open_sample("napari-ssan", "synthetic")
        )
        view.changed.connect(self._on_change)
        view.uses.wanted.connect(lambda: self.look(anyway=True))
        view.uses.cancel_pressed.connect(self.uses.cancel)
        view.uses.chosen.connect(self.choice.go_to)
        view.run.train_pressed.connect(self.train)
        view.run.stop_pressed.connect(self.trainer.stop)
        view.run.discard_pressed.connect(self.trainer.discard)
        view.verdict.use_pressed.connect(self.trainer.keep)
        view.verdict.keep_base_pressed.connect(self.trainer.keep_base)

    def _wants_vgg(self) -> bool:
        return self.view.how.aim == "natural" and not self.vgg.without and not self.vgg.there


def base_of(info: ModelInfo) -> Base:
    """Entry of a model in the list of those to start from."""
    choice = model_choice(info, bundled=info.bundled)
    return Base(info.name, choice.label, choice.tooltip)


def _where() -> tuple[str, str, str]:
    """Say where training will run, as far as can be told without torch, and why; and its kind."""
    if has_nvidia():
        return "GPU", "There is an NVIDIA GPU", "cuda"
    if sys.platform == "darwin":
        return "Apple GPU", "Or on the CPU, where the Mac has no GPU that can be used", "mps"
    return "CPU", "No CUDA GPU was found; a GPU is many times faster", "cpu"
