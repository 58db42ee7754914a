"""Long work for one image layer: what runs, what waits, and its progress.

The work itself runs in a `TaskQueue`, which the layers of a viewer share.
"""

import time
from functools import partial

from psygnal import Signal

from napari_ssan.events import Progress, RunsOn, Stage
from napari_ssan.widgets.repair.state import How
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.state import time_text
from napari_ssan.workers import Task, TaskQueue, Work

STOPPING = "Stopping at the next tile…"


class LayerWork:
    """Queues work, follows it, and stops it; reports what fails."""

    #: Work began, ended, or is being stopped.
    changed = Signal()
    #: Only the progress has changed; this comes often.
    progressed = Signal()

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self._tasks: list[Task] = []
        self._text = self._device = ""
        #: Progress of what runs; 0 of 0 if it is not known.
        self.done = self.total = 0

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self._tasks

    @property
    def text(self) -> str:
        """What is being done, and how many tasks wait; empty if nothing is."""
        waiting = sum(not task.flag.is_set() for task in self._tasks[1:])
        return f"{self._text} ({waiting} queued)" if self._text and waiting else self._text

    def start(self, work: Work, title: str, doing: str = "") -> Task:
        """Queue work. What it is `doing` stands before the slice that it is at."""
        task = self._queue.submit(work, title)
        self._tasks.append(task)
        if len(self._tasks) == 1:
            self._text, self.done, self.total = title, 0, 0
        task.reported.connect(partial(self._on_reported, task, doing))
        task.failed.connect(messages.report)
        task.ended.connect(partial(self._on_ended, task))
        self.changed.emit()
        return task

    def cancel(self) -> None:
        """Stop all of it; finished slices stay."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            self._text = STOPPING
            self.changed.emit()

    def _on_reported(self, task: Task, doing: str, event: object) -> None:
        if task.flag.is_set():
            return  # the text says that it is being stopped
        if isinstance(event, Stage):
            self._text, self.done, self.total = event.text, event.done, event.total
        elif isinstance(event, RunsOn):
            self._device = event.device
        elif isinstance(event, Progress):
            left = "" if event.seconds_left is None else f", {time_text(event.seconds_left)} left"
            where = f" · {self._device}" if self._device else ""
            self._text = f"{doing}slice {event.section}{left}{where}"
            self.done, self.total = event.done, event.total
        self.progressed.emit()

    def _on_ended(self, task: Task) -> None:
        self._tasks.remove(task)
        stopped = bool(self._tasks) and self._tasks[0].flag.is_set()
        self._text = STOPPING if stopped else self._tasks[0].title if self._tasks else ""
        self._device = ""
        self.done = self.total = 0
        self.changed.emit()


class Stopwatch:
    """Measures the seconds that a repair takes for a megapixel of tiles, in one view."""

    def __init__(self, how: How) -> None:
        self.how = how
        self.rate: float | None = None
        self._first: tuple[int, float] | None = None

    def tick(self, pixels: int) -> None:
        """Take the time after so many pixels. The first tile, which warms up, is not counted."""
        now = time.monotonic()
        if self._first is None:
            self._first = pixels, now
        elif pixels > self._first[0]:
            done = (self.how.views or 1) * (pixels - self._first[0])
            self.rate = 1e6 * (now - self._first[1]) / done
