"""Workers: real ones, that are killed, too."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import psutil
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.cluster import Dask, _device, cluster
from napari_ssan.volumes.journal import NAME
from napari_ssan.volumes.restore import restore
from napari_ssan.volumes.run import repair_in_place
from napari_ssan.volumes.slabs import Slab

from .conftest import AVERAGE, content

pytest.importorskip("distributed")
KILLS = 5
MARKED = Marks({1, 3, 5, 7, 9, 11})
workers = partial(cluster, workers=2, scheduler="", tell=print)


@pytest.mark.parametrize("kind", ["0.4", "0.5 sharded, halved along z"])
def test_two_workers_write_the_same_bytes_as_none_also_when_they_are_killed(make, kind):
    path, alone = make(kind), make(kind, "alone/image.ome.zarr")
    before = content(path)
    repair_in_place(alone, MARKED, AVERAGE, print)
    chance, killed, over = random.Random(kind), set(), threading.Event()

    def kill() -> None:
        """After the first slab, kill workers at random moments, also while they start."""
        while len(killed) < KILLS and not over.wait(chance.uniform(0.02, 0.6)):
            found = [
                child
                for child in psutil.Process().children(recursive=True)
                if child.pid not in killed and "multiprocessing.spawn" in _words(child)
            ]
            if found and os.name != "nt":
                killed.add((chosen := chance.choice(found)).pid)
                chosen.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)

    def tell(item: object) -> None:
        if type(item).__name__ == "SlabsDone" and killer.ident is None:
            killer.start()

    outcome = repair_in_place(path, MARKED, AVERAGE, tell, crew=workers)
    over.set()
    killer.join()
    assert outcome.failed == ()
    assert len(killed) >= 2 or os.name == "nt"
    assert content(path) == content(alone)
    restore(path, print)
    assert content(path) == before


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.skipif(os.name == "nt", reason="process groups")
@pytest.mark.parametrize(("kind", "whole_group"), [("0.4", False), ("0.5 sharded", True)])
def test_client_or_everything_is_killed(make, kind, whole_group):
    path, alone = make(kind), make(kind, "alone/image.ome.zarr")
    before = content(path)
    repair_in_place(alone, MARKED, AVERAGE, print)
    arguments = ("repair", path, "--in-place", "--defects", "1,3,5,7,9,11", "--method", "average")
    code = "from napari_ssan.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments), "--workers", "2"]
    process = subprocess.Popen(command, start_new_session=True)
    journal, end = path.with_name(f"{path.name}.originals") / NAME, time.monotonic() + 120
    while not (journal.exists() and b"done" in journal.read_bytes()):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(random.Random(whole_group).uniform(0, 0.3))
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    process.wait()
    outcome = repair_in_place(path, Marks(), AVERAGE, print, resume=True)
    assert outcome.sections == (1, 3, 5, 7, 9, 11)
    assert content(path) == content(alone)
    restore(path, print)
    assert content(path) == before


def test_a_slab_that_fails_is_tried_by_workers_and_reported(make):
    path = make("0.5 thick")
    (path / "0/c/2/0/0").write_bytes(b"rubbish")  # slices 8 to 11
    said: list[str] = []
    crew = partial(cluster, workers=2, scheduler="", tell=said.append)
    outcome = repair_in_place(path, Marks({0, 9, 11}), AVERAGE, print, crew=crew)
    assert any("good slice on one side only" in text for text in said)
    assert outcome.sections == (0,)
    ((sections, why),) = outcome.failed
    assert sections == (9, 11)
    assert "cannot be read" in why


def test_a_worker_that_dies_with_what_it_has_done_has_it_done_again():
    """As dask tells it: finished, then lost, then finished again."""

    class Lost:
        key, status = "slab", "lost"

        def result(self) -> tuple[list, list, float]:
            return [{"section": 3}], [], 0.1

    crew = Dask.__new__(Dask)
    crew._ready, crew._known, crew._looked, crew._seconds = [], {}, float("inf"), 1.0
    crew._done, crew._slabs = iter([Lost()]), {"slab": Slab(0, 3, (3,))}
    assert crew.next() == (Slab(0, 3, (3,)), [{"section": 3}])


def test_a_cluster_that_somebody_has_started(make, tmp_path):
    from distributed import LocalCluster

    path = make("0.5")
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, resources={"GPU": 1}
    ) as local:
        address = partial(cluster, workers=None, scheduler=local.scheduler_address, tell=print)
        assert repair_in_place(path, Marks({3}), AVERAGE, print, crew=address).sections == (3,)
    crew = partial(cluster, workers=None, scheduler=str(tmp_path / "s.json"), tell=print)
    with pytest.raises(BadInput, match="There is no scheduler file"):
        repair_in_place(path, Marks({5}), AVERAGE, print, crew=crew)


def test_a_scheduler_that_does_not_answer(make, monkeypatch):
    monkeypatch.setattr("napari_ssan.volumes.cluster.PATIENCE", 1)
    crew = partial(cluster, workers=None, scheduler="tcp://127.0.0.1:9", tell=print)
    with pytest.raises(BadInput, match="No worker has answered from tcp"):
        repair_in_place(make("0.5"), Marks({5}), AVERAGE, print, crew=crew)


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        ("tcp://127.0.0.1:9", "No worker has answered from tcp://127.0.0.1:9 within 1 s"),
        ("nonsense", "No worker has answered from nonsense"),
        ("absent.json", "There is no scheduler file absent.json"),
    ],
)
def test_a_wrong_scheduler_is_refused_before_anything_is_changed(
    run, make, tmp_path, monkeypatch, scheduler, words
):
    monkeypatch.setattr("napari_ssan.volumes.cluster.PATIENCE", 1)
    path = make("0.5")
    before = content(tmp_path)
    given = ("--defects", "5", "--method", "average", "--scheduler", scheduler)
    for where in ("--in-place", tmp_path / "out.ome.zarr"):
        code, said = run("repair", path, where, *given)
        assert code == 2
        assert said.startswith(f"napari-ssan: {words}"), said
        assert said.count("\n") == 1
    assert content(tmp_path) == before


def test_without_dask(run, make, tmp_path, monkeypatch):
    path = make("0.5")
    before = content(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, said = run("repair", path, "--in-place", "--defects", "5", "--workers", "1")
    assert (code, "Workers need dask" in said) == (2, True), said
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("device", "count", "name", "chosen"),
    [
        ("auto", 4, 5, "cuda:1"),
        ("cuda", 2, "1", "cuda:1"),
        ("auto", 1, 1, "auto"),
        ("auto", 0, 1, "auto"),
        ("cpu", 4, 1, "cpu"),
        ("auto", 4, "SLURMCluster-3", "auto"),
    ],
)
def test_each_worker_takes_the_gpu_of_its_number(monkeypatch, device, count, name, chosen):
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    assert _device(device, name) == chosen
