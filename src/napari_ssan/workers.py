"""The one place where long work leaves the GUI thread, and its results come back.

Work in a queue may read arrays and write files. It must never touch a widget, a viewer or a
layer: it reports, and its reports arrive in the GUI thread. Knows Qt, but not napari.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event as Flag
from threading import Thread

from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QObject, Signal, Slot

from napari_ssan.errors import Cancelled, memory_in_words

#: What work reports with: events of any kind.
Report = Callable[[object], None]
#: Work gets a function to report with and a flag that asks it to stop; it returns its result.
Work = Callable[[Report, Flag], object]


class Task(QObject):
    """Work in a queue. All signals are emitted in the GUI thread.

    Parameters
    ----------
    work : callable
        ``work(report, cancel)``.
    title : str
        What it does, in words for the user.
    """

    #: What the work reports, in order.
    reported = Signal(object)
    #: Its result.
    succeeded = Signal(object)
    #: The exception that ended it.
    failed = Signal(object)
    #: It stopped because it was asked to.
    cancelled = Signal()
    #: The last signal, however the work ended, and also if it never began.
    ended = Signal()

    def __init__(self, work: Work, title: str = "") -> None:
        super().__init__()
        self.work = work
        self.title = title
        self.flag = Flag()

    def cancel(self) -> None:
        """Ask the work to stop; it does when it next checks the flag."""
        self.flag.set()


class TaskQueue(QObject):
    """A thread with a queue: one task runs, the others wait.

    The thread exists only while there is work. The queue has no Qt parent, since it must
    outlive its thread.
    """

    #: A task was queued, began or ended.
    changed = Signal()
    _wake = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[Task] = deque()
        self._current: Task | None = None
        self._thread: Thread | None = None
        self._mail: deque[tuple[Task, str, object]] = deque()
        self._closed = False
        self._wake.connect(self._deliver)  # Qt queues it, since it comes from the thread
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close)

    @property
    def current(self) -> Task | None:
        """The task that runs."""
        return self._current

    @property
    def waiting(self) -> int:
        """How many tasks wait."""
        return len(self._waiting)

    def submit(self, work: Work, title: str = "") -> Task:
        """Queue work; connect to the task's signals before returning to the event loop."""
        task = Task(work, title)
        self._waiting.append(task)
        self._next()
        _emit(self, "changed")
        return task

    def cancel(self) -> None:
        """Ask the running task to stop, and drop those that wait."""
        dropped = list(self._waiting)
        self._waiting.clear()
        for task in dropped:
            task.cancel()
            _emit(task, "cancelled")
            _emit(task, "ended")
        if self._current is not None:
            self._current.cancel()
        _emit(self, "changed")

    @Slot()
    def close(self) -> None:
        """Cancel, wait for the thread to end, and deliver its last reports."""
        if self._closed:
            return
        self._closed = True
        self.cancel()
        while self._thread is not None:
            self._thread.join()
            self._deliver()

    def finish(self) -> None:
        """Wait until all tasks have run, and deliver their reports."""
        while self._thread is not None:
            self._thread.join()
            self._deliver()

    def _next(self) -> None:
        if self._current is not None or not self._waiting:
            return
        self._current = task = self._waiting.popleft()
        # A daemon thread does not keep a program alive that ends without closing the queue.
        self._thread = Thread(target=self._run, args=(task,), name="napari-ssan", daemon=True)
        self._thread.start()

    def _run(self, task: Task) -> None:
        """In the thread."""

        def report(event: object) -> None:
            self._post(task, "reported", event)

        try:
            if task.flag.is_set():  # before it began
                raise Cancelled
            with memory_in_words():
                result = task.work(report, task.flag)
        except Cancelled:
            self._post(task, "cancelled", None)
        except Exception as error:  # noqa: BLE001 - the task reports it as failed
            self._post(task, "failed", error)
        else:
            self._post(task, "succeeded", result)

    def _post(self, task: Task, kind: str, content: object) -> None:
        self._mail.append((task, kind, content))
        _emit(self, "_wake")

    @Slot()
    def _deliver(self) -> None:
        """In the GUI thread."""
        while self._mail:
            task, kind, content = self._mail.popleft()
            if kind == "reported":
                _emit(task, "reported", content)
                continue
            if self._thread is not None:
                self._thread.join()  # it has ended already, so this does not wait
            self._thread = self._current = None
            if kind == "cancelled":
                _emit(task, "cancelled")
            else:
                _emit(task, kind, content)
            _emit(task, "ended")
            self._next()
            _emit(self, "changed")


def _emit(owner: Task | TaskQueue, signal: str, *content: object) -> None:
    """Emit a signal, unless its owner is gone.

    At the end of a program Qt deletes its objects in any order, but work that saves must
    still be done.
    """
    if isalive(owner):
        getattr(owner, signal).emit(*content)
