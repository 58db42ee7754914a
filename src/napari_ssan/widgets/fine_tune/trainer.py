"""Training in a viewer: one run at a time, which continues while docks are closed and opened.

A dock shows `Trainer.state` and `Trainer.history`. The training itself runs in a worker or,
by default, in a separate process; what it reports arrives in the GUI thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from threading import Event as Flag
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QCoreApplication

from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.finetune.events import FineTuneEvent, Judging, MemoryUsed
from napari_ssan.training.events import Preparing, RolledBack, StepDone
from napari_ssan.widgets.fine_tune.backend import Backend, TrainingRequest
from napari_ssan.widgets.fine_tune.history import History
from napari_ssan.widgets.fine_tune.state import (
    RunState,
    about_text,
    model_name,
    share_text,
    step_text,
)
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.library import LIBRARY
from napari_ssan.widgets.shared.state import WAITING
from napari_ssan.workers import Report, Task, TaskQueue, Work

if TYPE_CHECKING:
    from napari_ssan.finetune.division import Division
    from napari_ssan.finetune.runs import Run
    from napari_ssan.finetune.verdict import Verdict
    from napari_ssan.network.model_file import ModelInfo

BUSY = "A training is already running: stop or discard it first."
UNDECIDED = "Decide on the last result first: use it, or keep the base model."


@dataclass(frozen=True)
class RunStarted:
    """The run has a folder: from now on it survives a crash."""

    run: Run


class Trainer:
    """Trains, and holds what docks show of the training."""

    #: The phase or a text has changed.
    changed = Signal()
    #: Only the progress or a curve has changed; this comes often.
    progressed = Signal()
    #: The list of runs on disk may have changed.
    released = Signal()

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.history = History()
        self.run: Run | None = None
        self.verdict: Verdict | None = None
        self._task: Task | None = None
        self._stop = Flag()
        self._title = self._busy = self._memory = ""
        self._share: float | None = None
        self._stepped = self._ending = self._discarding = False
        self._notes: list[str] = []
        self._details: list[str] = []
        self.closed = False
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close)
        #: For training, for downloads, for the check of the slices, and for what takes moments.
        self.training, self.downloads = TaskQueue(), TaskQueue()
        self.checks, self.quick = TaskQueue(), TaskQueue()

    @property
    def queues(self) -> tuple[TaskQueue, ...]:
        """All queues; what the others leave to be done at the end comes last."""
        return self.training, self.downloads, self.checks, self.quick

    @property
    def state(self) -> RunState:
        """What a dock shows."""
        if self.verdict is not None and self.run is not None:
            said = self.verdict.text[:1].upper() + self.verdict.text[1:]
            return RunState(
                phase="judged",
                about=self._about(),
                notes=self.verdict.reason,
                verdict=f"{said}. Use it?" if self.verdict.better else said,
                better=self.verdict.better,
                name=model_name(self.run.title, self.run.aim),
            )
        if self._task is None:
            return RunState()
        return RunState(
            phase="running",
            about=self._about(),
            busy=self._busy,
            share=self._share,
            can_stop=self._stepped and not self._ending,
            can_discard=not self._discarding,
            notes="\n".join(self._notes),
            details="\n".join(self._details),
        )

    def begin(self, request: TrainingRequest, division: Division | None, separate: bool) -> None:
        """Start a run, in a separate process or here; check the slices first if `division` is None.

        Raises
        ------
        BadInput
            If another run is training, or waits for a decision.
        """
        backend, stop = self.backend, self._ready(request.title)

        def work(report: Report, cancel: Flag) -> Verdict:
            found = division or backend.divide(request, report, cancel)
            run = backend.begin(found, request, report, cancel)
            report(RunStarted(run))
            return backend.train(run, separate, report, cancel, stop)

        self._start(work)

    def resume(self, run: Run, separate: bool) -> None:
        """Continue a run that was interrupted, or show the result of a finished one.

        Raises
        ------
        BadInput
            If another run is training, or waits for a decision.
        """
        backend, stop = self.backend, self._ready(run.title)
        self.run, self.verdict = run, run.verdict
        if self.verdict is not None:
            task = self.quick.submit(lambda report, cancel: backend.told(run))
            task.succeeded.connect(partial(self._on_told, run))
            task.failed.connect(messages.report)
        else:
            self._start(lambda report, cancel: backend.train(run, separate, report, cancel, stop))
        self.changed.emit()

    def stop(self) -> None:
        """End training, and keep the best model."""
        if self._task is not None and self._stepped and not self._ending:
            self._ending = True
            self._stop.set()
            self._say("Stopping after this step…", None)
            self.changed.emit()

    def discard(self) -> None:
        """End training, and delete its result."""
        if self._task is not None:
            self._discarding = self._ending = True
            self._task.cancel()
            self._say("Discarding…", None)
            self.changed.emit()

    def keep(self, name: str) -> None:
        """Save the result as one of the user's models, and choose it for repairs."""
        run = self.run
        if run is None or self.verdict is None or not self.verdict.better or self._ending:
            return
        self._ending = True
        task = self.quick.submit(lambda report, cancel: run.keep(name), "Saving the model…")
        task.succeeded.connect(self._on_kept)
        task.failed.connect(self._on_not_kept)

    def keep_base(self) -> None:
        """Delete the result."""
        if self.verdict is not None and not self._ending:
            self._throw_away()

    def delete(self, run: Run) -> None:
        """Delete a run and all its files, even if the program ends now."""

        def at_once() -> None:
            try:
                run.discard()
            except BadInput as error:
                messages.report(error)

        task = self.quick.submit(lambda report, cancel: run.discard(), "Discarding…")
        task.failed.connect(messages.report)
        task.cancelled.connect(at_once)  # the queue was closed before its turn came
        self.released.emit()  # a list of runs that is read now waits in the same queue

    def close(self) -> None:
        """Stop with a checkpoint, and wait for it. The viewer may be gone already."""
        if self.closed:
            return
        self.closed = True
        for queue in self.queues:
            queue.close()

    # ---- within

    def _ready(self, title: str) -> Flag:
        """Forget the last run. Returns the flag that stops the next one."""
        if self._task is not None or self.verdict is not None:
            raise BadInput(BUSY if self._task is not None else UNDECIDED)
        self.history, self.run, self._stop = History(), None, Flag()
        self._title, self._memory = title, ""
        self._notes, self._details = [], []
        self._stepped = self._ending = self._discarding = False
        return self._stop

    def _start(self, work: Work) -> None:
        self._busy, self._share = WAITING, None
        self._task = task = self.training.submit(work, "Training")
        task.reported.connect(self._on_report)
        task.succeeded.connect(self._on_verdict)
        task.failed.connect(self._on_failed)
        task.cancelled.connect(self._on_cancelled)
        task.ended.connect(self._on_ended)
        self.changed.emit()

    def _on_report(self, event: object) -> None:
        if isinstance(event, RunStarted):
            self.run = event.run
            self.changed.emit()
        elif isinstance(event, Notice):
            self._note(event.text)
        elif isinstance(event, RolledBack):
            self._note(event.reason)
        elif isinstance(event, MemoryUsed):
            where = "RAM" if event.where == "CPU" else f"{event.where} memory"
            self._memory = f"{event.used / 2**30:.1f} GB {where}"
        elif isinstance(event, StepDone):
            self.history.take(event)
            self._on_step(event)
        elif isinstance(event, Preparing):
            self._say_share(event.text, event.done, event.total)
        elif isinstance(event, Judging):
            self._ending = True
            self._say_share("comparing with the base model", event.done, event.total)
        else:
            self.history.take(event)
            self.progressed.emit()

    def _on_told(self, run: Run, events: list[FineTuneEvent]) -> None:
        """Draw the curves and the preview of a run that ended before a restart."""
        if self.run is run:
            for event in events:
                self.history.take(event)
            self.progressed.emit()

    def _on_step(self, event: StepDone) -> None:
        first, self._stepped = not self._stepped, True
        self._say(step_text(event.step, event.seconds_left, self._memory), event.share)
        if first:
            self.changed.emit()

    def _say_share(self, text: str, done: int, total: int) -> None:
        self._say(share_text(text, done, total), done / total if total else None)

    def _say(self, text: str, share: float | None) -> None:
        """Show the progress, unless the user has discarded the run."""
        if self._discarding:
            text, share = "Discarding…", None
        self._busy, self._share = text, share
        self.progressed.emit()

    def _note(self, text: str) -> None:
        notes = self._notes if self._stepped else self._details
        if text not in notes:
            notes.append(text)
        self.changed.emit()

    def _on_verdict(self, verdict: Verdict) -> None:
        if self._discarding:  # it ended before it could be stopped
            self._throw_away()
        else:
            self.verdict, self._ending = verdict, False

    def _on_cancelled(self) -> None:
        if self._discarding:
            self._throw_away()

    def _on_failed(self, error: Exception) -> None:
        if self._discarding and isinstance(error, BadInput):
            self._throw_away()
        else:
            messages.report(error)

    def _throw_away(self) -> None:
        if self.run is not None:
            run, self.run, self.verdict = self.run, None, None
            self.delete(run)
            self.changed.emit()

    def _on_kept(self, info: ModelInfo) -> None:
        messages.tell(f"Saved {info.name}: the dock Repair slice can use it now.")
        self.run = self.verdict = None
        self.changed.emit()
        LIBRARY.changed.emit()
        LIBRARY.chosen.emit(info.path)

    def _on_not_kept(self, error: Exception) -> None:
        self._ending = False
        messages.report(error)
        self.changed.emit()

    def _on_ended(self) -> None:
        self._task = None
        if self.verdict is None:  # what is left on disk is offered like any other run
            self.run = None
        if not self.closed:  # else no dock is left to show it
            self.released.emit()
            self.changed.emit()

    def _about(self) -> str:
        if self.run is None:
            return self._title
        config = self.run.config
        return about_text(self.run.title, self.run.aim, config.base, config.minutes)
