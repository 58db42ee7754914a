from __future__ import annotations

import threading

import pytest

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.workers import TaskQueue

NO_MEMORY = "There is not enough memory for this; end other programs, or use another machine."


@pytest.fixture
def queue(qapp):
    queue = TaskQueue()
    yield queue
    queue.close()


def follow(task):
    """What a task says, in order."""
    said = []
    task.reported.connect(lambda event: said.append(("reported", event)))
    task.succeeded.connect(lambda result: said.append(("succeeded", result)))
    task.failed.connect(lambda error: said.append(("failed", str(error))))
    task.cancelled.connect(lambda: said.append(("cancelled",)))
    task.ended.connect(lambda: said.append(("ended",)))
    return said


def test_work_leaves_the_gui_thread_and_comes_back(queue, qtbot):
    seen = {}

    def work(report, cancel):
        seen["work"] = threading.get_ident()
        report(1)
        return 2

    task = queue.submit(work)
    said = follow(task)
    task.reported.connect(lambda event: seen.setdefault("back", threading.get_ident()))
    qtbot.waitUntil(lambda: ("ended",) in said, timeout=5000)
    assert said == [("reported", 1), ("succeeded", 2), ("ended",)]
    assert seen["work"] != threading.get_ident()
    assert seen["back"] == threading.get_ident()
    assert queue.current is None


@pytest.mark.parametrize(
    ("error", "said_last"),
    [
        (BadInput("no"), ("failed", "no")),
        (ValueError("oh"), ("failed", "oh")),
        (Cancelled(), ("cancelled",)),
        (MemoryError("4 GiB"), ("failed", NO_MEMORY)),
        (RuntimeError("can't allocate memory: 4 GiB"), ("failed", NO_MEMORY)),
    ],
)
def test_errors_come_back(queue, error, said_last):
    def work(report, cancel):
        raise error

    said = follow(queue.submit(work))
    queue.finish()
    assert said == [said_last, ("ended",)]


def test_one_after_the_other(queue):
    order = []
    gate = threading.Event()
    first = queue.submit(lambda report, cancel: (gate.wait(5), order.append(1)))
    queue.submit(lambda report, cancel: order.append(2))
    assert (queue.current, queue.waiting) == (first, 1)
    gate.set()
    queue.finish()
    assert order == [1, 2]


def polling(started):
    def work(report, cancel):
        started.set()
        assert cancel.wait(5)
        report("last word")
        raise Cancelled

    return work


def test_cancel_stops_what_runs_and_drops_what_waits(queue):
    started = threading.Event()
    first = follow(queue.submit(polling(started)))
    second = follow(queue.submit(lambda report, cancel: 1))
    started.wait(5)
    queue.cancel()
    queue.finish()
    assert first == [("reported", "last word"), ("cancelled",), ("ended",)]
    assert second == [("cancelled",), ("ended",)]


def test_close_waits_and_delivers(qapp):
    queue = TaskQueue()
    started = threading.Event()
    said = follow(queue.submit(polling(started)))
    started.wait(5)
    queue.close()
    assert said == [("reported", "last word"), ("cancelled",), ("ended",)]
    queue.close()


def test_a_task_may_queue_the_next(queue):
    results = []

    def again(result):
        results.append(result)
        if result < 3:
            queue.submit(lambda report, cancel: result + 1).succeeded.connect(again)

    queue.submit(lambda report, cancel: 1).succeeded.connect(again)
    queue.finish()
    assert results == [1, 2, 3]


def test_work_ends_though_qt_has_gone_first(qapp):
    sip = pytest.importorskip("PyQt6.sip")
    queue, done = TaskQueue(), threading.Event()
    task = queue.submit(lambda report, cancel: done.wait(5))
    sip.delete(task)
    sip.delete(queue)
    done.set()
    queue.finish()
    queue.close()
    assert queue.current is None
