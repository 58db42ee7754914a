"""Covers: napari_ssan.training.machine, napari_ssan.training.tally"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from napari_ssan.errors import BadInput
from napari_ssan.stack.decoded import Decoded, decoded
from napari_ssan.stack.lazy import LazySections
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.stack.triplets import TripletSampler
from napari_ssan.training import batches, machine
from napari_ssan.training.batches import Batches
from napari_ssan.training.tally import Tally

from .conftest import CPU, make_volume

VOLUME = make_volume()


def read(z, window):
    return VOLUME[z][window]


def lazy() -> SliceStack:
    return SliceStack(LazySections(VOLUME.shape, VOLUME.dtype, read))


def make_sampler(seed: int = 3) -> TripletSampler:
    return TripletSampler(decoded([Source(lazy())]), 32, seed)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def workers(drawn: Batches) -> list[psutil.Process]:
    return [psutil.Process(worker.pid) for worker in drawn._drawn._workers]


def gone(pids: list[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while any(map(runs, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(runs, pids))


def same(one, other) -> bool:
    return all(map(torch.equal, one, other))


def test_a_batch_is_the_next_triplets():
    sampler, other = make_sampler(), make_sampler()
    drawn = Batches(sampler, CPU)
    for count in (2, 2, 3):
        previous, target, following, position = drawn.draw(count)
        assert previous.shape == target.shape == following.shape == (count, 1, 32, 32)
        for number in range(count):
            triplet = next(other)
            np.testing.assert_array_equal(previous[number, 0], triplet.previous)
            np.testing.assert_array_equal(target[number, 0], triplet.target)
            np.testing.assert_array_equal(following[number, 0], triplet.following)
            assert position[number] == np.float32(triplet.position)
        assert sampler.drawn == other.drawn


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_any_number_of_workers_draws_the_same(start, monkeypatch):
    if start == "fork" and os.name == "nt":
        pytest.skip("forks")
    monkeypatch.setattr(batches, "START", start)
    here, there = Batches(make_sampler(), CPU), Batches(make_sampler(), CPU, 2)
    state = torch.get_rng_state()
    # Smaller ones, as where memory did not suffice. A process takes long to start.
    for count in (2, 2, 2, 1, 1) if start == "fork" else (2, 2, 2):
        assert same(here.draw(count), there.draw(count))
        assert here.sampler.state() == there.sampler.state()
    assert torch.equal(state, torch.get_rng_state())
    running = [process.pid for process in workers(there)]
    assert len(running) == 2
    there.close()
    assert gone(running, 1)
    if start == "fork":
        assert same(here.draw(1), there.draw(1))
        there.close()


def test_workers_wait_where_nothing_is_used():
    drawn = Batches(make_sampler(), CPU, 1)
    drawn.draw(1)
    (worker,) = workers(drawn)
    time.sleep(0.3)
    before = sum(worker.cpu_times()[:2])
    time.sleep(1)
    assert sum(worker.cpu_times()[:2]) - before < 0.1
    drawn.close()


def test_a_worker_that_dies_is_done_without():
    notes: list[str] = []
    here = Batches(make_sampler(), CPU)
    there = Batches(make_sampler(), CPU, 2, lambda notice: notes.append(str(notice)))
    assert same(here.draw(2), there.draw(2))
    for worker in workers(there):
        worker.kill()
    for _ in range(6):
        assert same(here.draw(2), there.draw(2))
    assert notes == ["A process that draws crops failed: training goes on and draws them itself."]
    assert there.workers == 0


@pytest.fixture
def long_path(monkeypatch, tmp_path) -> Path:
    """The temporary folder, in which a socket has too long a path."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setitem(multiprocessing.current_process()._config, "tempdir", None)
    return folder


def test_a_worker_that_hands_nothing_over_is_done_without(monkeypatch, long_path):
    monkeypatch.setattr(batches, "STALLED", 3)
    monkeypatch.setattr(batches, "LONGEST_FOLDER", 4096)
    notes: list[str] = []
    here = Batches(make_sampler(), CPU)
    there = Batches(make_sampler(), CPU, 1, lambda notice: notes.append(str(notice)))
    for _ in range(3):
        assert same(here.draw(2), there.draw(2))
    assert notes == ["A process that draws crops failed: training goes on and draws them itself."]
    assert there.workers == 0


def test_a_temporary_folder_with_a_long_path_means_no_workers(long_path):
    here, there = Batches(make_sampler(), CPU), Batches(make_sampler(), CPU, 1)
    for _ in range(3):
        assert same(here.draw(2), there.draw(2))
    assert not list(long_path.iterdir())
    there.close()


def test_what_a_worker_refuses_is_said_as_it_is(monkeypatch):
    sampler = make_sampler()

    def refuse(number):
        raise BadInput("There are no good crops.")

    monkeypatch.setattr(sampler, "triplet", refuse)
    drawn = Batches(sampler, CPU, 1)
    with pytest.raises(BadInput, match=r"^There are no good crops\.$"):
        drawn.draw(1)
    drawn.close()


def test_stacks_in_files_are_drawn_from_here():
    sampler = TripletSampler([Source(lazy())], 32, 0)
    assert Batches(sampler, CPU, 2).workers == 0
    assert Batches(make_sampler(), CPU, 2).workers == 2


def test_little_shared_memory_means_fewer_workers(monkeypatch, tmp_path):
    usage = type("Usage", (), {"free": 2**20})
    monkeypatch.setattr(batches, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(batches.shutil, "disk_usage", lambda path: usage)
    assert batches._room(2**20) == 0
    assert batches._room(2**15) == 5
    monkeypatch.setattr(batches, "SHARED_MEMORY", tmp_path / "none")
    assert batches._room(2**40) == sys.maxsize


def test_spawned_workers_share_a_stack():
    sampler = make_sampler()
    batches._share(sampler)
    data = sampler.sources[0].stack.data
    assert isinstance(data, Decoded)
    assert data.pixels.is_shared()
    np.testing.assert_array_equal(data[3], VOLUME[3])


def test_how_many_workers(monkeypatch):
    for cores, cpu, cuda in ((1, 0, 0), (2, 1, 1), (16, 1, 15), (64, 1, 16)):
        monkeypatch.setattr(machine, "cores", lambda cores=cores: cores)
        assert machine.spare_workers("cpu") == machine.spare_workers("mps") == cpu
        assert machine.spare_workers("cuda") == cuda


def test_how_many_threads_look_through_a_stack(monkeypatch):
    for cores, alone, beside in ((1, 1, 1), (2, 2, 2), (4, 4, 3), (8, 8, 7), (64, 8, 8)):
        monkeypatch.setattr(machine, "cores", lambda cores=cores: cores)
        assert machine.inspection_threads() == alone
        assert machine.inspection_threads(beside_gui=True) == beside


def test_a_tally_sums_and_begins_anew():
    tally = Tally()
    assert tally.take() == ({}, 0)
    for value in (1.0, 2.0):
        tally.add({"pixel": torch.tensor(value), "total": torch.tensor(2 * value)})
    assert tally.take() == ({"pixel": 3.0, "total": 6.0}, 2)
    assert tally.take() == ({}, 0)


DRAWING = """
    import sys, time
    sys.path.insert(0, {tests!r})
    import psutil, threading, torch
    from conftest import make_volume
    from napari_ssan.stack.sections import SliceStack
    from napari_ssan.stack.source import Source
    from napari_ssan.stack.triplets import TripletSampler
    from napari_ssan.training.batches import Batches

    sampler = TripletSampler([Source(SliceStack(make_volume()))], 32, 0)
    drawn = Batches(sampler, torch.device("cpu"), 2)
    threading.Thread(target=sys.stdin.read, daemon=True).start()  # as the fine-tune child does
    time.sleep(0.1)
    drawn.draw(1)
    print(*(child.pid for child in psutil.Process().children()), flush=True)
    {then}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked")
@pytest.mark.parametrize("how", ["killed", "terminated", "error", "end"])
def test_no_worker_outlives_its_run(how):
    then = {"error": "raise OSError('disk gone')", "end": ""}.get(how, "time.sleep(60)")
    code = textwrap.dedent(DRAWING).format(tests=str(Path(__file__).parent), then=then)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    pids = [int(text) for text in process.stdout.readline().split()]
    assert len(pids) == 2
    if how in ("killed", "terminated"):
        process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGTERM)
    process.communicate(timeout=60)
    assert gone(pids, 1)
