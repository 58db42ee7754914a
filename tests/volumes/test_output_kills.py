"""SIGKILL at random moments of a repair to an output: `--resume` ends in the same bytes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile

from napari_ssan.volumes.output_run import unfinished

from .conftest import content

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no fork, no process groups")
KILLS = 10
#: Forks itself for each run, so that none has to import anything first.
NURSERY = """
import json, os, signal, sys, time
from napari_ssan.cli import main
from napari_ssan.volumes import claim, output_run
import torch, napari_ssan.engine.error_network, napari_ssan.network.ssan

claim.SETTLING = 0
print("ready", flush=True)
for line in sys.stdin:
    seconds, arguments = json.loads(line)
    if child := os.fork():
        if seconds:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)  # if it has ended, it is still there to be waited for
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.close(1)
    sys.argv = ["napari-ssan", *arguments]
    try:
        main()
    except SystemExit as end:
        os._exit(end.code or 0)
"""
CUTS = {
    "chunked": ("--chunks", "2,32,32"),
    "sharded": ("--chunks", "1,16,16", "--shards", "4,32,64"),
}


@pytest.fixture
def stack(tmp_path, volume) -> Path:
    """Long enough for a kill to hit it."""
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.concatenate([volume, volume]), photometric="minisblack")
    return path


def command(stack: Path, output: Path, cut: str, *more: str) -> list[str]:
    given = ("--defects", "3,7-8,10,20", "--insert-after", "4", "--method", "average", "--mask")
    return ["repair", str(stack), str(output), *given, *CUTS[cut], *more]


@pytest.mark.parametrize("cut", CUTS)
def test_a_run_that_is_killed_again_and_again(stack, tmp_path, cut):
    whole, output = tmp_path / "whole" / "out.zarr", tmp_path / "broken" / "out.zarr"
    for path in (whole, output):
        path.parent.mkdir()
    nursery = subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def run(seconds: float, *arguments: str) -> int:
        nursery.stdin.write(json.dumps([seconds, arguments]) + "\n")
        nursery.stdin.flush()
        return int(nursery.stdout.readline())

    assert nursery.stdout.readline() == "ready\n"
    begin = time.monotonic()
    assert run(0, *command(stack, whole, cut, "--resume")) == 0
    length, chance, codes, went_on = time.monotonic() - begin, random.Random(cut), [], 0
    wanted = content(whole.parent)
    arguments = command(stack, output, cut, "--resume", "--overwrite")
    for _ in range(KILLS):
        codes.append(run(chance.uniform(0.1, 0.9) * length, *arguments))
        went_on += unfinished(output) is not None
        if output.exists():  # it was through, or killed after it
            found = {n: d for n, d in content(output.parent).items() if not n.startswith(".")}
            assert found == wanted or unfinished(output)
    assert set(codes) <= {0, -signal.SIGKILL}
    assert codes.count(-signal.SIGKILL) >= KILLS / 2
    assert went_on
    assert run(0, *arguments) == 0
    assert content(output.parent) == wanted
    nursery.communicate()


@pytest.mark.parametrize("what", ["worker", "client", "everything"])
@pytest.mark.parametrize("cut", CUTS)
def test_workers_and_their_client_are_killed(stack, tmp_path, cut, what):
    pytest.importorskip("distributed")
    whole, output = tmp_path / "whole" / "out.zarr", tmp_path / "broken" / "out.zarr"
    for path in (whole, output):
        path.parent.mkdir()
    code = "from napari_ssan.cli import main; main()"
    start = [sys.executable, "-c", code]
    subprocess.run([*start, *command(stack, whole, cut, "--resume")], check=True)
    arguments = command(stack, output, cut)
    process = subprocess.Popen([*start, *arguments, "--workers", "2"], start_new_session=True)
    end = time.monotonic() + 240
    while not ((part := unfinished(output)) and b"done" in (part / "journal.jsonl").read_bytes()):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(random.Random(cut + what).uniform(0, 0.1))
    if what == "worker":
        workers = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "multiprocessing.spawn" in " ".join(child.cmdline())
        ]
        workers[0].send_signal(signal.SIGKILL)
        assert process.wait() == 0
    else:
        (os.killpg if what == "everything" else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        assert not output.exists()
        subprocess.run([*start, *arguments, "--resume"], check=True)
    assert content(output.parent) == content(whole.parent)
