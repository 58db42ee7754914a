"""A lock between programs, and between parts of one, that no crash leaves behind."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


class FileLock:
    """A file that one holds at a time. The system lets go of it when a process ends.

    Parameters
    ----------
    path : Path
        The file; it is there only while it is held, or after a crash.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take hold of the file; False if someone else has it.

        Raises
        ------
        OSError
            If there can be no locks there.
        """
        while self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if not _lock(file):
                    return False
                if _is_at(file, self.path):  # else it was deleted when another let go of it
                    self._file = file
            finally:
                if self._file is None:
                    os.close(file)
        return True

    def release(self) -> None:
        """Let go of the file, and delete it."""
        if self._file is None:
            return
        file, self._file = self._file, None
        if sys.platform == "win32":  # where no open file can be deleted
            os.close(file)
        with contextlib.suppress(OSError):  # the next one may have it
            self.path.unlink(missing_ok=True)
        if sys.platform != "win32":
            os.close(file)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
