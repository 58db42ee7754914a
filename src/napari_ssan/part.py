"""A hidden folder beside a path, in which what is new lies until it takes its place.

Its name, ``.NAME.XXXX.part``, cannot be guessed. It has a lock that ends with the run, so whoever
finds it free may remove what a killed run left. Easy to get wrong: a part with the journal of a
:mod:`~napari_ssan.swap` may hold the only copy of something, and is never just removed.
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

#: What a part holds besides what is new: its lock, and the journal of a swap.
LOCK, JOURNAL = ".lock", ".swap"
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

    def remove(self) -> None:
        """Remove it with all that is in it, unless a swap that failed needs it.

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
            if not self.folder.exists() or (self.folder / JOURNAL).exists():
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


def remove(part: Path) -> None:
    """Remove a part unless it has a journal; its lock goes last: it says that it is a leftover."""
    if (part / JOURNAL).exists():
        return
    with contextlib.suppress(OSError):
        for path in part.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK:
                path.unlink()
    shutil.rmtree(part, ignore_errors=True)
