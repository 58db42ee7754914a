"""A process that has imported everything, and forks what is to be killed: in no time, and for real.

Runs of the command, and a dask scheduler with its workers, are processes of their own, and are
killed with SIGKILL.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SCRIPT = """
import asyncio, json, logging, os, signal, sys, traceback
from distributed import Scheduler, Worker
import torch, napari_ssan.engine.error_network, napari_ssan.network.ssan
from napari_ssan.cli import main
from napari_ssan.volumes import claim, output_run

claim.SETTLING = 0.1
logging.getLogger("distributed").setLevel(logging.ERROR)

async def serve(kind, file):
    if kind == "scheduler":
        server = Scheduler(host="127.0.0.1", port=0, dashboard=False, scheduler_file=file)
    else:
        server = Worker(scheduler_file=file, host="127.0.0.1", nthreads=1, dashboard=False)
    async with server:
        await server.finished()

def work(kind, environment, words):
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    os.environ.update(environment)
    if kind != "run":
        asyncio.run(serve(kind, *words))
        return 0
    sys.argv = ["napari-ssan", *words]
    try:
        main()
    except SystemExit as end:
        return end.code or 0

children = set()
print("ready", flush=True)
for line in sys.stdin:
    kind, environment, words = json.loads(line)
    if kind == "wait":
        children.remove(words[0])
        print(os.waitstatus_to_exitcode(os.waitpid(words[0], 0)[1]), flush=True)
    elif child := os.fork():
        children.add(child)
        print(child, flush=True)
    else:
        code = 70
        try:
            code = work(kind, environment, words)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
for child in children:
    os.kill(child, signal.SIGKILL)
"""


class Nursery:
    """Forks processes, and kills them.

    Parameters
    ----------
    folder : Path
        For what they say, and for what dask keeps.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
            )
        assert self._process.stdout.readline() == "ready\n", self.log.read_text()

    def order(self, kind: str, *words: object) -> int:
        """Fork a process, and say its number; or wait for one, and say its exit code."""
        names = ("AWS_", "XDG_")
        environment = {n: value for n, value in os.environ.items() if n.startswith(names)}
        self._process.stdin.write(json.dumps([kind, environment, words]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def run(self, *words: str, seconds: float = 0) -> int:
        """Exit code of a run of the command, which may be killed after some seconds."""
        run = self.order("run", *words)
        if seconds:
            time.sleep(seconds)
            os.kill(run, signal.SIGKILL)  # if it has ended, it is still there to be waited for
        return self.order("wait", run)

    def end(self) -> None:
        """Kill all that is left."""
        self._process.communicate()


class Workers:
    """A dask scheduler and two workers, each a process of its own."""

    def __init__(self, nursery: Nursery) -> None:
        self.file = nursery.folder / "scheduler.json"
        self._nursery, self._workers, self._scheduler = nursery, [0, 0], 0

    def start(self) -> None:
        """Start those that are not there."""
        if not self._scheduler:
            self.file.unlink(missing_ok=True)
            self._scheduler = self._nursery.order("scheduler", str(self.file))
            end = time.monotonic() + 60
            while not self.file.exists():
                assert time.monotonic() < end, self._nursery.log.read_text()
                time.sleep(0.01)
        self._workers = [n or self._nursery.order("worker", str(self.file)) for n in self._workers]

    def kill(self, chance: random.Random, everything: bool) -> None:
        """Kill one worker, or all and the scheduler."""
        number = chance.randrange(2)
        chosen = [*self._workers, self._scheduler] if everything else [self._workers[number]]
        for process in chosen:
            os.kill(process, signal.SIGKILL)
        for process in chosen:
            self._nursery.order("wait", process)
        self._workers = [0 if n in chosen else n for n in self._workers]
        self._scheduler *= not everything


#: Who is killed.
VICTIMS = ("the run alone", "a worker", "the client", "everything")


def kill_again_and_again(
    nursery: Nursery,
    victim: str,
    command: list[str],
    claim: Path,
    chance: random.Random,
    through: Callable[[], None],
    between: Callable[[], None],
    kills: int = 10,
) -> None:
    """Kill runs at random moments, each of which goes on with the one before.

    Parameters
    ----------
    nursery : Nursery
    victim : str
        One of `VICTIMS`.
    command : list of str
        With ``--resume``.
    claim : Path
        A file that is there while a run works.
    chance : Random
    through : callable
        Looks whether all is as it should be after a run that has ended, and takes it back.
    between : callable
        Looks whether nothing is lost or half-written after a kill.
    kills : int
        How many.
    """
    crew = None
    if victim != "the run alone":
        crew = Workers(nursery)
        crew.start()
        command = [*command, "--scheduler", str(crew.file)]

    def begun() -> int:
        run, end = nursery.order("run", *command), time.monotonic() + 60
        while f'"process": {run},' not in _text(claim):
            assert time.monotonic() < end, nursery.log.read_text()
            time.sleep(0.002)
        return run

    run, begin = begun(), time.monotonic()
    assert nursery.order("wait", run) == 0, nursery.log.read_text()
    length = time.monotonic() - begin
    through()
    done = runs = 0
    while done < kills:
        runs += 1
        assert runs <= 4 * kills
        run, begin = begun(), time.monotonic()
        for moment in sorted(chance.uniform(0.05, 0.9) for _ in range(1 + (victim == "a worker"))):
            time.sleep(max(0.0, begin + moment * length - time.monotonic()))
            done += claim.exists()
            if victim == "a worker":
                crew.kill(chance, everything=False)
            else:
                os.kill(run, signal.SIGKILL)  # if it has ended, it is still there to be waited for
            if victim == "everything":
                crew.kill(chance, everything=True)
            if crew:
                crew.start()
        code = nursery.order("wait", run)
        assert code in (0, -signal.SIGKILL if victim != "a worker" else 0), nursery.log.read_text()
        (between if code else through)()
    assert nursery.run(*command) == 0, nursery.log.read_text()
    through()
    if crew:
        crew.kill(chance, everything=True)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
