"""A hidden folder beside a path, in which what is new lies until it takes its place.

Its name, ``.NAME.XXXX.part``, cannot be guessed. It has a lock that ends with the run, so whoever
finds it free may remove what a killed run left, unless it is kept to be gone on with. Easy to get
wrong: a part with the journal of a :mod:`~napari_ssan.swap` may hold the only copy of something,
and is never just removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

from filelock import FileLock, Timeout

#: What a part holds besides what is new: its lock, the journal of a swap, and the name of what
#: is to be gone on with if its run is killed.
LOCK, JOURNAL, KEPT = ".lock", ".swap", ".kept"
#: How parts are called.
NAME = re.compile(r"\..+\.[0-9a-f]{16}\.part", re.DOTALL)
#: Seconds to wait for threads that still write when their part is removed.
_PATIENCE = (0.0, 0.1, 0.5)
#: Seconds in which a run surely locks its part.
_YOUNG = 60.0


class Part:
    """A new hidden folder beside a path, on its file system, which this run holds.

    Parameters
    ----------
    path : Path
        Its name and folder are taken; it is not touched.

    Raises
    ------
    OSError
        If its folder does not exist or cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        while True:
            self.folder = path.with_name(f".{path.name[:40]}.{token_hex(8)}.part")
            # Only this user may look in. On Windows, that would stay with what is moved out of it.
            self.folder.mkdir(0o777 if os.name == "nt" else 0o700)
            self._lock = FileLock(self.folder / LOCK, thread_local=False)
            try:
                self._lock.acquire(blocking=False)
            except Timeout:  # another run took it for a leftover, and removes it
                continue
            except (OSError, NotImplementedError):
                with contextlib.suppress(OSError):  # nobody can take it for a leftover there
                    (self.folder / LOCK).touch()
            return

    @classmethod
    def take(cls, folder: Path) -> Part | None:
        """Hold the part that a run has left; None if that still lives."""
        part = cls.__new__(cls)
        part.folder, part._lock = folder, FileLock(folder / LOCK, thread_local=False)
        try:
            part._lock.acquire(blocking=False)
        except Timeout:
            return None
        except (OSError, NotImplementedError):
            pass  # a disk without locks; whoever needs to know has other means
        return part

    def keep(self, name: str) -> None:
        """Have the part stay if this run ends early, as long as what is new, `name`, is in it."""
        (self.folder / KEPT).write_text(name, encoding="utf-8")

    def discard(self) -> None:
        """Remove it although it was to be kept."""
        (self.folder / KEPT).unlink(missing_ok=True)
        self.remove()

    def leave(self) -> None:
        """Let go of it, and leave it as it is."""
        self._lock.release()

    def remove(self) -> None:
        """Remove it with all that is in it, unless a swap that failed needs it, or it is kept.

        An interrupt comes when that is done.
        """
        try:
            self._clear()
        except KeyboardInterrupt:
            self._clear()
            raise

    def _clear(self) -> None:
        remove(self.folder)
        self._lock.release()
        for seconds in _PATIENCE:
            if not self.folder.exists() or _needed(self.folder):
                return
            time.sleep(seconds)
            remove(self.folder)


@contextlib.contextmanager
def held(part: Path) -> Iterator[bool]:
    """Hold a part; whether that is possible: it is not while its run lives."""
    lock = FileLock(part / LOCK, thread_local=False)
    try:
        if not (part / LOCK).exists() and time.time() - part.stat().st_mtime < _YOUNG:
            raise Timeout(lock.lock_file)  # its run is about to lock it
        lock.acquire(blocking=False)
    except (Timeout, OSError, NotImplementedError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def parts(folder: Path) -> list[Path]:
    """All parts in a folder, by name; none if it cannot be read."""
    try:
        found = sorted(Path(os.path.realpath(folder)).iterdir())
    except OSError:
        return []
    named = [path for path in found if NAME.fullmatch(path.name)]
    return [path for path in named if path.is_dir() and not path.is_symlink()]


def kept(part: Path) -> str:
    """Name of what a part holds to be gone on with; empty if there is nothing."""
    try:
        name = (part / KEPT).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    return name if name and os.path.lexists(part / name) else ""


def _needed(part: Path) -> bool:
    return (part / JOURNAL).exists() or bool(kept(part))


def remove(part: Path) -> None:
    """Remove a part unless it is needed; its lock goes last: it says that it is a leftover."""
    if _needed(part):
        return
    with contextlib.suppress(OSError):
        for path in part.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK:
                path.unlink()
    shutil.rmtree(part, ignore_errors=True)
