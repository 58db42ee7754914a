"""Answers "How good will it be here?": tests a model near a mark, and shows the answer.

The test itself is :mod:`napari_ssan.evaluation.outlook`; it runs in the queue of repairs.
"""

from functools import partial
from threading import Event as Flag
from typing import TYPE_CHECKING

from napari_ssan.evaluation.events import Evaluating
from napari_ssan.events import Notice, RunsOn, Stage
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.repair.layer_work import STOPPING
from napari_ssan.widgets.repair.outlook_panel import OutlookPanel
from napari_ssan.widgets.repair.state import ModelChoice
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.state import WAITING, time_text
from napari_ssan.workers import Report, Task, TaskQueue

if TYPE_CHECKING:
    from napari_ssan.evaluation.outlook import Outlook

#: Steps of the bar.
STEPS = 1000


class OutlookController:
    """Tests models on good slices, one test at a time, and shows the answers."""

    def __init__(self, panel: OutlookPanel, queue: TaskQueue) -> None:
        self._panel, self._queue = panel, queue
        self._task: Task | None = None
        self._device = ""
        panel.progress.cancel_pressed.connect(self.cancel)

    def ask(
        self, stack: SliceStack, marks: Marks, section: int | None, choice: ModelChoice, device: str
    ) -> None:
        """Test a model near a section, or near the next mark; ignored while a test runs."""
        if self._task is not None:
            return
        self._device = ""

        def work(report: Report, cancel: Flag) -> "Outlook":
            report(Stage("Getting ready…"))
            from napari_ssan.evaluation.outlook import Place  # takes a while

            place = Place.of(stack, marks, section)
            return place.judge(report, cancel, choice.method, choice.model, device)

        self._task = task = self._queue.submit(work, "How good will it be here?")
        self._panel.show_progress(WAITING)
        task.reported.connect(partial(self._on_report, task))
        task.succeeded.connect(partial(self._on_answer, task))
        task.failed.connect(messages.report)
        task.ended.connect(partial(self._on_end, task))

    def cancel(self) -> None:
        """Stop the test."""
        if self._task is not None:
            self._task.cancel()
            self._panel.show_progress(STOPPING)

    def forget(self) -> None:
        """Stop the test and hide the answer, which is about another stack or model."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._panel.show_answer("", "")

    def close(self) -> None:
        """Stop the test, and leave the panel alone from now on."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _on_report(self, task: Task, event: object) -> None:
        if isinstance(event, Notice):
            messages.warn(str(event))
        if task is not self._task or task.flag.is_set():
            return
        if isinstance(event, Stage):
            self._panel.show_progress(event.text)
        elif isinstance(event, RunsOn):
            self._device = f" · {event.device}"
        elif isinstance(event, Evaluating):
            left = "" if event.seconds_left is None else f", {time_text(event.seconds_left)} left"
            text = f"slice {event.section}{left}{self._device}"
            self._panel.show_progress(text, round(STEPS * event.share), STEPS)

    def _on_answer(self, task: Task, outlook: "Outlook") -> None:
        if task is self._task:
            self._task = None
            figures = f"{outlook.sentence}\n{outlook.figures}"
            self._panel.show_answer(outlook.answer, figures, outlook.pictures)

    def _on_end(self, task: Task) -> None:
        if task is self._task:  # it failed, or was cancelled
            self._task = None
            self._panel.show_answer("", "")
