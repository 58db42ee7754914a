"""Answers "How good will it be here?": has a place judged in a queue, and shows what comes out."""

from functools import partial
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from napari_ssan.evaluation.events import Evaluating
from napari_ssan.events import Notice, RunsOn, Stage
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.repair.layer_work import STOPPING
from napari_ssan.widgets.repair.outlook_panel import OutlookPanel
from napari_ssan.widgets.repair.state import ModelChoice, time_text
from napari_ssan.widgets.shared import messages
from napari_ssan.workers import Task, TaskQueue

if TYPE_CHECKING:
    from napari_ssan.evaluation.outlook import Outlook

#: Steps of the bar.
STEPS = 1000


class OutlookController:
    """Has places of a stack judged, one at a time, and shows what comes out.

    Parameters
    ----------
    panel : OutlookPanel
        Where it is shown.
    queue : TaskQueue
        Where it is done.
    """

    def __init__(self, panel: OutlookPanel, queue: TaskQueue) -> None:
        self._panel, self._queue = panel, queue
        self._task: Task | None = None
        self._device = ""
        panel.cancel_pressed.connect(self.cancel)

    def ask(
        self,
        stack: SliceStack,
        marks: Marks,
        section: int | None,
        choice: ModelChoice,
        device: str,
    ) -> None:
        """Have a model judged near a section or the mark next to it; not while another is."""
        if self._task is not None:
            return
        self._device = ""

        def work(report: Any, cancel: Flag) -> "Outlook":
            report(Stage("Getting ready…"))
            from napari_ssan.evaluation.outlook import Place  # takes a while

            place = Place.of(stack, marks, section)
            return place.judge(report, cancel, choice.method, choice.model, device)

        self._task = task = self._queue.submit(work, "How good will it be here?")
        self._panel.show_progress("Waiting for its turn…", 0, 0)
        task.reported.connect(partial(self._on_report, task))
        task.succeeded.connect(partial(self._on_answer, task))
        task.failed.connect(messages.report)
        task.ended.connect(partial(self._on_end, task))

    def cancel(self) -> None:
        """Stop what runs."""
        if self._task is not None:
            self._task.cancel()
            self._panel.show_progress(STOPPING, 0, 0)

    def forget(self) -> None:
        """Stop what runs, and take away an answer: it is about another stack or model."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._panel.show_answer("", "")

    def close(self) -> None:
        """Stop what runs, and touch the panel no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _on_report(self, task: Task, event: Any) -> None:
        if isinstance(event, Notice):
            messages.warn(str(event))
        if task is not self._task or task.flag.is_set():
            return
        if isinstance(event, Stage):
            self._panel.show_progress(event.text, 0, 0)
        elif isinstance(event, RunsOn):
            self._device = f" · {event.device}"
        elif isinstance(event, Evaluating):
            left = "" if event.seconds_left is None else f", {time_text(event.seconds_left)} left"
            text = f"slice {event.section}{left}{self._device}"
            self._panel.show_progress(text, round(STEPS * event.share), STEPS)

    def _on_answer(self, task: Task, outlook: "Outlook") -> None:
        if task is self._task:
            self._task = None
            self._panel.show_answer(outlook.sentence, outlook.figures)

    def _on_end(self, task: Task) -> None:
        if task is self._task:  # it failed, or was cancelled
            self._task = None
            self._panel.show_answer("", "")
