"""Runs the work on a fine-tune run, in a child process or in this one.

The child process keeps the viewer responsive and frees all memory at its end. Its own side is
:mod:`~napari_ssan.finetune.child`. A child that dies loses only the time since its last
checkpoint.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Thread
from typing import IO

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.finetune.child import STOP
from napari_ssan.finetune.config import spare_threads
from napari_ssan.finetune.events import FineTuneReport
from napari_ssan.finetune.runs import Run
from napari_ssan.finetune.verdict import Verdict
from napari_ssan.finetune.wire import End, Left, Refused, from_line
from napari_ssan.training.events import Preparing

#: File for a child's errors, in the run's folder.
ERRORS = "errors.txt"
#: Seconds between two checks of the flags.
LOOK_EVERY = 0.1
#: Seconds that a child has to end after it was asked to.
PATIENCE = 30.0


def run_here(
    run: Run,
    report: FineTuneReport = lambda event: None,
    cancel: Flag | None = None,
    stop: Flag | None = None,
) -> Verdict:
    """Begin or continue a run in this process; see :func:`run_in_child`."""
    from napari_ssan.finetune.work import fine_tune

    return fine_tune(run, report, stop, cancel)


def run_in_child(
    run: Run,
    report: FineTuneReport = lambda event: None,
    cancel: Flag | None = None,
    stop: Flag | None = None,
) -> Verdict:
    """Begin or continue a run in a child process.

    The child has a low priority, and leaves one core of the CPU to other programs.

    Parameters
    ----------
    run : Run
    report : callable
        Receives events, in this thread.
    cancel : threading.Event, optional
        Set it to cancel within a step.
    stop : threading.Event, optional
        Set it to end training within a step; the best network so far is judged.
        Before the first step it acts as `cancel`.

    Returns
    -------
    Verdict
        The result. The model is ``run.model``.

    Raises
    ------
    BadInput
        If the run cannot be done, another program works on it, or the child died. In the
        last case the run can be continued.
    Cancelled
        If `cancel` was set; the run can be continued.
    """
    with run.working():
        report(Preparing("starting", 0, 1))
    errors = run.folder / ERRORS
    try:
        with errors.open("w", encoding="utf-8") as log:
            child = _start(run.folder, log)
    except OSError as error:
        raise BadInput(
            f"The training process could not be started ({error.strerror or error}): "
            "free some disk space and memory, and try again."
        ) from None
    try:
        end = _follow(child, report, cancel or Flag(), stop or Flag())
    finally:
        _finish(child)
    if isinstance(end, Verdict):
        return end
    if isinstance(end, Left):
        raise Cancelled
    if isinstance(end, Refused):
        raise BadInput(end.text)
    raise BadInput(_died(child.returncode, errors))


def _start(folder: Path, log: IO[str]) -> subprocess.Popen[str]:
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    return subprocess.Popen(
        [sys.executable, "-m", "napari_ssan.finetune.child", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        encoding="utf-8",
        env=os.environ | {"OMP_NUM_THREADS": str(spare_threads()), "PYTHONIOENCODING": "utf-8"},
        creationflags=flags,
    )


def _follow(
    child: subprocess.Popen[str], report: FineTuneReport, cancel: Flag, stop: Flag
) -> End | None:
    """Pass on a child's events; returns how it ended, None if it did not say."""
    assert child.stdout is not None
    lines: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=_read, args=(child.stdout, lines), daemon=True).start()
    end: End | None = None
    asked = False
    while True:
        if cancel.is_set():
            return _leave(child, lines)
        if stop.is_set() and not asked:
            _say(child, STOP)
            asked = True
        try:
            line = lines.get(timeout=LOOK_EVERY)
        except Empty:
            continue
        if line is None:
            return end
        said = from_line(line)
        if isinstance(said, Verdict | Left | Refused):
            end = said
        else:
            report(said)


def _leave(child: subprocess.Popen[str], lines: SimpleQueue[str | None]) -> End | None:
    """Make a child end with a checkpoint; returns how it ended."""
    _hang_up(child)
    end: End | None = None
    try:
        while (line := lines.get(timeout=PATIENCE)) is not None:
            said = from_line(line)
            if isinstance(said, Verdict | Left | Refused):
                end = said
    except Empty:
        child.kill()
        return Left()  # the last checkpoint is there
    return end


def _read(stdout: IO[str], lines: SimpleQueue[str | None]) -> None:
    """Read lines in a thread, because waiting for a line cannot be interrupted."""
    with stdout:
        for line in stdout:
            if line.endswith("\n"):  # else the process died while writing
                lines.put(line)
    lines.put(None)


def _say(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdin is not None
    with suppress(OSError):  # the child has ended, and its last line says how
        child.stdin.write(f"{text}\n")
        child.stdin.flush()


def _hang_up(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    with suppress(OSError):  # the child has ended
        child.stdin.close()


def _finish(child: subprocess.Popen[str]) -> None:
    """Wait until a child ends; kill it if it takes too long."""
    _hang_up(child)
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _died(code: int, errors: Path) -> str:
    """Explain why a child ended without saying how."""
    lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if code == -signal.SIGTERM or (sys.platform != "win32" and code == -signal.SIGKILL):
        why = "the system ended it, perhaps because memory was full"
    elif code < 0:
        why = f"it crashed with signal {-code}"
    else:
        why = lines[-1] if lines else f"its exit code was {code}"
    return (
        f"The training process ended unexpectedly ({why}): continue the run, which loses at "
        "most two minutes of work, or discard it."
    )
