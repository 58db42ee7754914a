"""One run at a time on a volume: a small file beside it, whose owner keeps changing it.

No lock of the file system is asked for, and no clocks are compared: disks that many machines share
keep neither well. A claim of this machine is dead when its process is. One of another machine is
dead when it did not change for a while. Easy to get wrong: workers of a dead run may still live, so
each looks whether its run holds the claim before it changes anything.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any

import psutil

from napari_ssan.atomic import reason
from napari_ssan.errors import BadInput
from napari_ssan.files import remote
from napari_ssan.files.remote import Unreachable
from napari_ssan.json_text import dump_json
from napari_ssan.paths import address
from napari_ssan.volumes.objects import read_object, remove_object

#: Seconds between two changes of a claim; and without one, until one of another machine is dead.
BEAT, PATIENCE = 10.0, 90.0
#: Seconds that a run waits after it took a claim over: for others that do so, and for old workers.
SETTLING = 0.5


#: Tokens of runs of this process that have ended while their claims could not be removed.
_ENDED: set[str] = set()


class Claim:
    """A hold on a volume; a context manager.

    Parameters
    ----------
    volume : Path
    say : callable
        Is told when one has to wait.
    """

    def __init__(self, volume: Path, say: Callable[[str], object]) -> None:
        self.path, self.token = claim_path(volume), token_hex(8)
        self._say, self._volume = say, volume
        self._end = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Claim:
        """Take hold.

        Raises
        ------
        BadInput
            If somebody else repairs the volume, or one cannot write beside it.
        """
        try:
            try:
                self._create()
            except FileExistsError:
                self._take_over()
        except OSError as error:
            raise BadInput(
                f"The folder {self.path.parent} cannot be written to ({reason(error)}): a volume "
                "that is changed in place needs a small file beside it."
            ) from error
        self._beats.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._beats.join()
        try:
            if holds(self._volume, self.token):
                remove_object(self.path)
        except Unreachable:
            _ENDED.add(self.token)

    def _create(self) -> None:
        if address(self.path):
            remote.write(self.path, self._text(0).encode(), new=True)
            return
        with self.path.open("xb", buffering=0) as file:
            try:
                file.write(self._text(0).encode())
            except OSError:
                self.path.unlink(missing_ok=True)
                raise

    def _take_over(self) -> None:
        if not (found := _read(self.path)):  # its owner may be about to write it
            time.sleep(SETTLING)
            found = _read(self.path)
        process, host = found.get("process"), found.get("host")
        alive = f"{self._volume.name} is being changed by process {process} on {host}"
        if host == platform.node():
            if _runs(found):
                raise BadInput(f"{alive}; wait until that has ended.")
        elif found:
            self._say(f"{alive}, or was; looking for {PATIENCE:.0f} s whether that still goes on.")
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                time.sleep(min(1.0, PATIENCE / 10))
                if _read(self.path) != found:
                    raise BadInput(f"{alive}; wait until that has ended.")
        self._write(0)
        time.sleep(SETTLING)
        if not holds(self._volume, self.token):
            raise BadInput(f"{self._volume.name} has just been taken by another run; wait for it.")

    def _beat(self) -> None:
        number = 0
        while not self._end.wait(BEAT):
            number += 1
            try:
                if holds(self._volume, self.token):
                    self._write(number)
            except (OSError, Unreachable):
                continue  # a disk that is away for a while; the work itself will tell

    def _write(self, number: int) -> None:
        if address(self.path):
            remote.write(self.path, self._text(number).encode())
            return
        draft = self.path.with_name(f"{self.path.name}.{self.token}")
        try:
            draft.write_text(self._text(number), encoding="utf-8")
            os.replace(draft, self.path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def _text(self, number: int) -> str:
        process = psutil.Process()
        return dump_json(
            {
                "token": self.token,
                "host": platform.node(),
                "process": process.pid,
                "begun": process.create_time(),
                "beat": number,
            }
        )


def claim_path(volume: Path) -> Path:
    """Where the claim of a volume lies."""
    return volume.with_name(f".{volume.name}.in-work")


def holds(volume: Path, token: str) -> bool:
    """Whether a run holds a volume."""
    return str(_read(claim_path(volume)).get("token")) == token


def claimed(volume: Path) -> str:
    """Who holds a volume, in words; empty if nobody does, or a process of this machine has died."""
    found = _read(claim_path(volume))
    if not found or (found.get("host") == platform.node() and not _runs(found)):
        return ""
    return f"process {found.get('process')} on {found.get('host')}"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_object(path) or b"")
    except Unreachable:
        raise
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _runs(found: dict[str, Any]) -> bool:
    """Whether the run of a claim, one of this machine, goes on."""
    if found.get("token") in _ENDED:
        return False
    try:
        begun = float(found["begun"])
        return abs(psutil.Process(found["process"]).create_time() - begun) < 1
    except (psutil.Error, LookupError, TypeError, ValueError):
        return False
