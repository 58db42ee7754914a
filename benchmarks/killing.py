"""Kills runs of the command line that write, and looks at what is there then, and after the next.

Used by ``kill.py repair``. Each run is a fork of this process, which has imported everything, and
tells through a pipe when it is at work, when it writes, and when it is done. Kills between the
renames of a swap are forced: the fork counts its renames, and kills itself at one of them.
"""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tifffile
import torch  # noqa: F401 - so that the forks need not

from napari_ssan import cli
from napari_ssan.engine import error_network  # noqa: F401
from napari_ssan.files import mask_path, open_image, output, save
from napari_ssan.stack.phantom import phantom
from napari_ssan.training import triplet_images

OUTPUTS = ("out.tif", "out.ome.tif", "out.ome.zarr", "plain.zarr", "triplets")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
STACK = "stack.tif"
#: Share of the signals that come while an output is written; the others, at any time.
WHILE_WRITING = 0.8
#: One of so many runs is killed between renames.
FORCED = 5
#: Seconds that are added to the writing of each section or tile, so that signals meet it.
PAUSE = 0.005
#: Seconds after which a run hangs.
LONGEST = 120.0


@dataclass(frozen=True)
class Case:
    """A run and how it ends.

    Attributes
    ----------
    name : str
        Its output; one of `OUTPUTS`.
    overwrite, mask : bool
        Its options.
    signal : int
        What it gets.
    rename : int or None
        Before which rename it is killed, counted from 0; None for a signal at some time.
    writing : bool
        Whether the time counts from the beginning of the writing on.
    moment : float
        When, as a share of the time that a whole run takes for it.
    """

    name: str
    overwrite: bool
    mask: bool
    signal: int
    rename: int | None
    writing: bool
    moment: float


def draw(number: int, seed: int) -> Case:
    """Case `number` of an attack."""
    random = Random(f"{seed} {number}")
    name = OUTPUTS[number % len(OUTPUTS)]
    forced = number // len(OUTPUTS) % FORCED == 0
    mask = name != "triplets" and random.random() < 0.5
    # two journals, and each output to its place and what was there aside; or a file's one rename
    renames = 6 if mask else 1 if ".tif" in name else 3
    return Case(
        name,
        forced or random.random() < 0.6,
        mask,
        signal.SIGKILL if forced else SIGNALS[random.randrange(len(SIGNALS))],
        random.randrange(renames) if forced else None,
        random.random() < WHILE_WRITING,
        random.random(),
    )


class Arena:
    """A folder with a stack, and how outputs look when nobody is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        volume = np.tile(phantom((30, 384, 384)).clean, (4, 1, 1))
        tifffile.imwrite(folder / STACK, volume, photometric="minisblack")
        self.before = digest(folder / STACK)
        self._kept = folder / "kept"
        self._looks: dict[tuple[str, str], dict[str, Any]] = {}
        self._took: dict[str, tuple[float, float]] = {}
        for name in OUTPUTS:
            for age in ("old", "new"):
                self._clear()
                run = Run(self.folder, self._command(name, mask=True, age=age), None)
                run.wait()
                if run.code:
                    raise RuntimeError(f"a run that nobody killed ended with {run.said}")
                self._looks[name, age] = self._look(name)
                self._took[name] = (run.seconds("begin"), run.seconds("writing"))
                for path in self._paths(name):
                    kept = self._kept / age / path.name
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    path.rename(kept)

    def attack(self, case: Case) -> dict[str, Any]:
        """Do a case, and say what came of it."""
        self._clear()
        paths = self._paths(case.name)[: 1 + case.mask]
        if case.overwrite:
            for path in paths:
                kept = self._kept / "old" / path.name
                (shutil.copytree if kept.is_dir() else shutil.copyfile)(kept, path)
        options = ["--overwrite"] if case.overwrite else []
        command = [*self._command(case.name, mask=case.mask, age="new"), *options]
        run = Run(self.folder, command, case.rename)
        if case.rename is None:
            since = "writing" if case.writing else "begin"
            run.expect(since)
            time.sleep(case.moment * self._took[case.name][case.writing])
            run.kill(case.signal)
        run.wait()
        findings = self._ended(case, run)
        missing = not all(os.path.lexists(path) for path in paths) and case.overwrite
        after = Run(self.folder, self._command(case.name, mask=case.mask, age="new"), None)
        after.wait()
        refused = after.code == 2 and "exists already" in after.said
        if after.code and not refused:
            findings.append(f"the next run ended with {after.code}: {after.said}")
        if hidden := self._hidden():
            findings.append(f"left after the next run: {', '.join(hidden)}")
        ages = self._ages(case)
        if len(ages) != 1:
            findings.append("neither the old output nor the new one is whole")
        return {
            "output": case.name,
            "signal": signal.Signals(case.signal).name,
            "overwrite": case.overwrite,
            "mask": case.mask,
            "forced": case.rename,
            "phase": run.reached(stopped=run.code == 128 + case.signal),
            "code": run.code,
            "was_missing": missing,
            "finished": "that is finished now" in after.said,
            "swept": "had left" in after.said,
            "then": "".join(ages),
            "findings": findings,
        }

    def _ended(self, case: Case, run: Run) -> list[str]:
        findings = []
        if "Traceback" in run.said:
            findings.append(f"traceback: {run.said}")
        if digest(self.folder / STACK) != self.before:
            findings.append("the input has changed")
        good = {0, -case.signal} if run.phase == "end" else {-signal.SIGKILL}
        if case.signal != signal.SIGKILL:
            good = good - {-signal.SIGKILL} | {0, 128 + case.signal}
            if hidden := self._hidden():
                findings.append(f"left after {case.signal}: {', '.join(hidden)}")
            if run.code == 128 + case.signal and not run.last.startswith("Stopped"):
                findings.append(f"its last line is {run.last!r}")
        if run.code not in good and not (case.rename is not None and run.code == 0):
            findings.append(f"exit code {run.code}: {run.said}")
        return findings

    def _ages(self, case: Case) -> list[str]:
        """Which of old and new the outputs are, all of them together."""
        wanted = ["", "mask"][: 1 + case.mask]
        try:
            now = self._look(case.name)
        except Exception as error:  # noqa: BLE001 - whatever it is, it cannot be read
            return [f"unreadable ({error}) ", ""]
        return [
            age
            for age in ("old", "new")
            if all(now.get(part) == self._looks[case.name, age][part] for part in wanted)
        ]

    def _look(self, name: str) -> dict[str, Any]:
        """Checksums of the pixels of an output and its mask, and what it says is synthetic."""
        path = self.folder / name
        if name == "triplets":
            return {"": [(file.name, digest(file)) for file in sorted(path.rglob("*.*"))]}
        found = {}
        for part, each in (("", path), ("mask", mask_path(path))):
            if each.exists():
                image = open_image(each)
                pixels = hashlib.sha256(np.asarray(image.data[...]).tobytes()).hexdigest()
                found[part] = (pixels, str(image.provenance and image.provenance.numbers))
        return found

    def _command(self, name: str, *, mask: bool, age: str) -> list[str]:
        if name == "triplets":
            stride = {"old": "160", "new": "96"}[age]
            return ["triplets", f"{STACK}[0:30]", name, "--size", "64", "--stride", stride]
        slices = {"old": "7", "new": "9,15"}[age]
        command = ["repair", STACK, name, "--method", "average", "--defects", slices]
        return [*command, *(["--mask"] if mask else [])]

    def _paths(self, name: str) -> list[Path]:
        path = self.folder / name
        return [path] if name == "triplets" else [path, mask_path(path)]

    def _hidden(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name[0] == ".")

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name not in (STACK, self._kept.name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


class Run:
    """A command in a fork of this process.

    Attributes
    ----------
    code : int
        Exit code; negative if a signal ended it.
    said : str
        Standard error.
    phase : str
        The last that it told: begin, writing, end.
    """

    def __init__(self, folder: Path, command: list[str], rename: int | None) -> None:
        self.code, self.said, self.phase = 0, "", ""
        self._when: dict[str, float] = {}
        self._log = folder.parent / "said.txt"
        self._pipe, tell = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            _work(folder, command, rename, self._log, tell)
        os.close(tell)

    @property
    def last(self) -> str:
        """The last line of standard error."""
        return (self.said.strip().splitlines() or [""])[-1]

    def seconds(self, phase: str) -> float:
        """From the beginning of a phase to the end."""
        return self._when["end"] - self._when[phase]

    def reached(self, *, stopped: bool) -> str:
        """The phase that it came to; one that was stopped ends, too."""
        if self.phase == "end" and not stopped:
            return "end"
        return "writing" if "writing" in self._when else "begin"

    def expect(self, phase: str) -> None:
        """Wait for the beginning of a phase, or for the end."""
        while phase not in self._when and self._listen():
            pass

    def kill(self, number: int) -> None:
        """Send a signal, if it still runs."""
        os.kill(self._pid, number)

    def wait(self) -> None:
        """Wait for the end."""
        while self._listen():
            pass
        os.close(self._pipe)
        self.code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self.said = self._log.read_text(encoding="utf-8")

    def _listen(self) -> bool:
        if not select.select([self._pipe], [], [], LONGEST)[0]:
            self.kill(signal.SIGKILL)
            raise RuntimeError("a run hangs")
        line = os.read(self._pipe, 1000).decode()
        for name in line.split():
            self.phase = name
            self._when.setdefault(name, time.monotonic())
        return bool(line)


def _work(folder: Path, command: list[str], rename: int | None, log: Path, pipe: int) -> None:
    """Be the command; does not return."""
    os.chdir(folder)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    for number in SIGNALS[1:]:  # they may be ignored where this runs in the background
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else 0)
    together, handled = output.together, cli.handled

    @contextmanager
    def telling_together(paths: list[Path]) -> Iterator[list[Path]]:
        os.write(pipe, b"writing\n")
        if rename is not None:
            _die_at(rename)
        with together(paths) as temporaries:
            yield temporaries

    @contextmanager
    def telling_handled() -> Iterator[Any]:
        with handled() as received:
            os.write(pipe, b"begin\n")
            try:
                yield received
            finally:
                os.write(pipe, b"end\n")

    output.together, cli.handled = telling_together, telling_handled
    save._Counter.check = _slowly(save._Counter.check)  # type: ignore[method-assign]
    triplet_images._write_tile = _slowly(triplet_images._write_tile)
    sys.argv = ["napari-ssan", *command]
    code = 1
    try:
        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _slowly(do: Any) -> Any:
    def one(*arguments: Any) -> None:
        time.sleep(PAUSE)
        do(*arguments)

    return one


def _die_at(number: int) -> None:
    """Be killed before one of the renames of a swap: all into, out of and between its folders."""
    left = [number]

    def dying(do: Any) -> Any:
        def one(source: Any, target: Any, **options: Any) -> None:
            if {Path(source).parent.suffix, Path(target).parent.suffix} & {".part"}:
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
            do(source, target, **options)

        return one

    os.rename, os.replace = dying(os.rename), dying(os.replace)  # type: ignore[assignment]


def digest(path: Path) -> str:
    """Checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
