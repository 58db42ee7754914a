"""SIGKILL at random moments: nothing is lost, and a resumed run ends in the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.restore import restore
from napari_ssan.volumes.run import repair_in_place

from .conftest import AVERAGE, content

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no fork")
MARKED = Marks({3, 7, 8, 10})
KILLS = 10
#: Forks itself for each run, so that none has to import anything first.
NURSERY = """
import os, signal, sys, time
from pathlib import Path
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes import claim
from napari_ssan.volumes.slabs import How
from napari_ssan.volumes.run import repair_in_place
from napari_ssan.volumes.restore import restore
import torch, napari_ssan.engine.error_network, napari_ssan.network.ssan

claim.SETTLING = 0
path = Path(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    what, seconds, *marked = line.split()
    if child := os.fork():
        if float(seconds):
            time.sleep(float(seconds))
            os.kill(child, signal.SIGKILL)  # if it has ended, it is still there to be waited for
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, flush=True)
        continue
    os.close(1)
    if what == "restore":
        restore(path, print)
    else:
        marks = Marks(set(map(int, marked)))
        repair_in_place(path, marks, How("average"), lambda item: None, resume=True)
    os._exit(0)
"""


class Nursery:
    """Starts runs on a volume, and kills them."""

    def __init__(self, path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def run(self, what: str, seconds: float = 0) -> int:
        """Exit code of a run, which is killed after some seconds; -9 if it was."""
        named = " ".join(map(str, MARKED.whole))
        self.process.stdin.write(f"{what} {seconds} {named}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self) -> None:
        self.process.communicate()


@pytest.fixture
def nursery() -> Iterator:
    started = []

    def start(path) -> Nursery:
        started.append(Nursery(path))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.mark.parametrize("kind", ["0.4", "0.5 sharded, halved along z"])
def test_a_run_that_is_killed_again_and_again(make, kind, nursery):
    path, whole = make(kind), make(kind, "unbroken/image.ome.zarr")
    before = content(path)
    repair_in_place(whole, MARKED, AVERAGE, print)
    wanted = content(whole)
    runs, chance = nursery(path), random.Random(kind)
    begin = time.monotonic()
    assert runs.run("repair") == 0
    length = time.monotonic() - begin
    codes = []
    for _ in range(KILLS):
        if not codes or codes[-1] == 0:  # it was through; from the beginning
            assert content(path) == wanted
            restore(path, print)
            assert content(path) == before
        codes.append(runs.run("repair", chance.uniform(0.03, 0.6) * length))
    assert set(codes) <= {0, -signal.SIGKILL}
    assert codes.count(-signal.SIGKILL) >= KILLS / 2
    assert runs.run("repair") == 0
    assert content(path) == wanted
    for _ in range(KILLS):
        runs.run("restore", chance.uniform(0.01, 0.2) * length)
        if not path.with_name(f"{path.name}.originals").exists():
            break
    else:
        assert runs.run("restore") == 0
    assert content(path) == before
    assert not path.with_name(f"{path.name}.originals").exists()
