from __future__ import annotations

import threading

import pytest

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.workers import Lane


@pytest.fixture
def lane(qapp):
    lane = Lane()
    yield lane
    lane.close()


def follow(task):
    """What a task says, in order."""
    said = []
    task.reported.connect(lambda event: said.append(("reported", event)))
    task.succeeded.connect(lambda result: said.append(("succeeded", result)))
    task.failed.connect(lambda error: said.append(("failed", str(error))))
    task.cancelled.connect(lambda: said.append(("cancelled",)))
    task.ended.connect(lambda: said.append(("ended",)))
    return said


def test_work_leaves_the_gui_thread_and_comes_back(lane, qtbot):
    seen = {}

    def work(report, cancel):
        seen["work"] = threading.get_ident()
        report(1)
        return 2

    task = lane.submit(work)
    said = follow(task)
    task.reported.connect(lambda event: seen.setdefault("back", threading.get_ident()))
    qtbot.waitUntil(lambda: ("ended",) in said, timeout=5000)
    assert said == [("reported", 1), ("succeeded", 2), ("ended",)]
    assert seen["work"] != threading.get_ident()
    assert seen["back"] == threading.get_ident()
    assert lane.current is None


@pytest.mark.parametrize(
    ("error", "said_last"),
    [
        (BadInput("no"), ("failed", "no")),
        (ValueError("oh"), ("failed", "oh")),
        (Cancelled(), ("cancelled",)),
    ],
)
def test_errors_come_back(lane, error, said_last):
    def work(report, cancel):
        raise error

    said = follow(lane.submit(work))
    lane.finish()
    assert said == [said_last, ("ended",)]


def test_one_after_the_other(lane):
    order = []
    gate = threading.Event()
    first = lane.submit(lambda report, cancel: (gate.wait(5), order.append(1)))
    lane.submit(lambda report, cancel: order.append(2))
    assert (lane.current, lane.waiting) == (first, 1)
    gate.set()
    lane.finish()
    assert order == [1, 2]


def polling(started):
    def work(report, cancel):
        started.set()
        assert cancel.wait(5)
        report("last word")
        raise Cancelled

    return work


def test_cancel_stops_what_runs_and_drops_what_waits(lane):
    started = threading.Event()
    first = follow(lane.submit(polling(started)))
    second = follow(lane.submit(lambda report, cancel: 1))
    started.wait(5)
    lane.cancel()
    lane.finish()
    assert first == [("reported", "last word"), ("cancelled",), ("ended",)]
    assert second == [("cancelled",), ("ended",)]


def test_close_waits_and_delivers(qapp):
    lane = Lane()
    started = threading.Event()
    said = follow(lane.submit(polling(started)))
    started.wait(5)
    lane.close()
    assert said == [("reported", "last word"), ("cancelled",), ("ended",)]
    lane.close()


def test_a_task_may_queue_the_next(lane):
    results = []

    def again(result):
        results.append(result)
        if result < 3:
            lane.submit(lambda report, cancel: result + 1).succeeded.connect(again)

    lane.submit(lambda report, cancel: 1).succeeded.connect(again)
    lane.finish()
    assert results == [1, 2, 3]


def test_work_ends_though_qt_has_gone_first(qapp):
    sip = pytest.importorskip("PyQt6.sip")
    lane, done = Lane(), threading.Event()
    task = lane.submit(lambda report, cancel: done.wait(5))
    sip.delete(task)
    sip.delete(lane)
    done.set()
    lane.finish()
    lane.close()
    assert lane.current is None
