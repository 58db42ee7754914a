"""Covers: napari_ssan.finetune.wire"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from threading import Event as Flag

import numpy as np
import psutil
import pytest
from filelock import FileLock

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Notice
from napari_ssan.finetune.events import Judging, MemoryUsed
from napari_ssan.finetune.process import run_in_child
from napari_ssan.finetune.run_folder import CHECKPOINT, LOCK, RECORD
from napari_ssan.finetune.verdict import Verdict
from napari_ssan.finetune.wire import Left, Refused, from_line, to_line
from napari_ssan.training.events import (
    Checkpointed,
    Compared,
    Finished,
    Preparing,
    Preview,
    RolledBack,
    StepDone,
    Validated,
)
from napari_ssan.training.machine import spare_workers

SCORES = {"psnr": 20.5, "ssim": 0.25, "ie": 17.0, "psnr_lowpass": 25.0, "hf_ratio": 0.5}
SAID = [
    Preparing("looking for triplets", 3, 20),
    Notice("Learning from 212 triplets – “good” ones"),
    Compared({"average": SCORES, "tvl1": SCORES}),
    StepDone(4, 0.25, 12.5, {"pixel": 0.1, "total": 0.1}, (0.1, -0.2, 0.3), 3e-4),
    Validated(4, SCORES, True),
    RolledBack(5, "The loss became no number."),
    Checkpointed(6, Path("folder") / "candidate.checkpoint"),
    Finished(20, 1.5, SCORES, SCORES, True, ""),
    Judging(3, 8),
    MemoryUsed(2**30, "CPU"),
    Left(),
    Refused("There is no such device.\nUse auto."),
    Verdict(better=True, base=SCORES, tuned=SCORES, sections=(3, 4), text="better"),
]


@pytest.mark.parametrize("said", SAID, ids=lambda said: type(said).__name__)
def test_what_is_said_passes_as_a_line(said, tmp_path):
    line = to_line(said, tmp_path)
    assert "\n" not in line
    assert from_line(line) == said


def test_previews_pass_as_files(tmp_path):
    pictures = [np.full((5, 7), n, np.float32) for n in range(3)]
    for section in (8, 9):
        passed = from_line(to_line(Preview(section, *pictures), tmp_path))
        assert passed.section == section
        for name, picture in zip(("real", "before", "now"), pictures, strict=True):
            np.testing.assert_array_equal(getattr(passed, name), picture)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.fixture
def long_run(begin):
    """A run that does not end by itself while it is watched."""
    return begin(steps=100_000)


class Watch:
    """Keeps events, and does something when the first step is done."""

    def __init__(self, action=lambda: None) -> None:
        self.events: list = []
        self.action = action

    def __call__(self, event) -> None:
        first = not any(isinstance(each, StepDone) for each in self.events)
        self.events.append(event)
        if first and isinstance(event, StepDone):
            self.action()


def child(run) -> psutil.Process:
    """The process that works on a run."""
    mine = [each for each in psutil.Process().children() if str(run.folder) in each.cmdline()]
    return mine[0]


def test_a_child_works_and_its_events_arrive(begin):
    run, watch = begin(), Watch()
    verdict = run_in_child(run, watch)
    assert verdict.better
    assert run.verdict == verdict
    assert watch.events[0] == Preparing("starting", 0, 1)
    kinds = {type(event) for event in watch.events}
    assert kinds >= {Compared, StepDone, Validated, Preview, Checkpointed, Finished, Judging}
    preview = next(event for event in watch.events if isinstance(event, Preview))
    np.testing.assert_array_equal(preview.real, run.source().stack.read(preview.section))


def test_a_second_one_is_refused_and_stop_keeps_the_best(long_run):
    stop = Flag()

    def try_again() -> None:
        with pytest.raises(BadInput, match="is being worked on already"):
            run_in_child(long_run)
        stop.set()

    verdict = run_in_child(long_run, Watch(try_again), None, stop)
    assert "was stopped after step" in verdict.reason
    assert long_run.verdict == verdict


def test_left_off_it_has_a_checkpoint_and_discarded_it_leaves_nothing(long_run):
    cancel = Flag()
    with pytest.raises(Cancelled):
        run_in_child(long_run, Watch(cancel.set), cancel)
    assert (long_run.folder / CHECKPOINT).exists()
    long_run.discard()
    assert not long_run.folder.exists()


def test_a_child_that_is_killed_is_told_and_the_run_goes_on(long_run):
    workers: list[psutil.Process] = []

    def kill() -> None:
        workers.extend(child(long_run).children())
        child(long_run).kill()

    with pytest.raises(BadInput, match=r"ended unexpectedly .*continue the run"):
        run_in_child(long_run, Watch(kill))
    # What draws the crops ends with the training.
    assert len(workers) == spare_workers("cpu") or sys.platform != "linux"
    psutil.wait_procs(workers, timeout=10)
    assert not any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers)
    cancel = Flag()
    again = Watch(cancel.set)
    with pytest.raises(Cancelled):
        run_in_child(long_run, again, cancel)
    assert any(isinstance(event, StepDone) for event in again.events)


def test_a_child_whose_parent_is_gone_leaves_off_with_a_checkpoint(long_run):
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_ssan.finetune.child", str(long_run.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    for line in process.stdout:
        if json.loads(line)["kind"] == "StepDone":
            break
    process.stdout.close()
    process.stdin.close()
    process.wait(600)
    assert (long_run.folder / CHECKPOINT).exists()
    lock = FileLock(long_run.folder / LOCK)
    lock.acquire(blocking=False)
    lock.release()


def test_a_refusal_arrives_as_a_sentence(begin):
    run = begin()
    record = json.loads((run.folder / RECORD).read_text())
    record["config"]["device"] = "cuda:7"
    (run.folder / RECORD).write_text(json.dumps(record))
    with pytest.raises(BadInput, match="'cuda:7' is not available"):
        run_in_child(run)


def test_a_child_that_fails_is_told_with_its_reason(begin, monkeypatch):
    run = begin()
    monkeypatch.setenv("PYTHONPATH", str(run.folder))
    (run.folder / "torch.py").write_text("raise RuntimeError('no such library')")
    with pytest.raises(BadInput, match=r"RuntimeError: no such library.*or discard it"):
        run_in_child(run)


def test_a_process_that_cannot_be_started_is_said(begin, monkeypatch):
    run = begin()
    monkeypatch.setattr("napari_ssan.finetune.process.sys.executable", "/nowhere/python")
    with pytest.raises(BadInput, match="training process could not be started"):
        run_in_child(run)
