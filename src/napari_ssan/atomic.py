"""The one way to write: a file or a folder appears whole at its place, or not at all.

It knows nothing of what is written, and leaves words for the user to its callers. It is done
by hand: atomicwrites, the library for it, is no longer maintained and knows no folders.

Until it is complete, everything lies in a new folder ``.NAME.XXXX.part`` beside its place, on
the same file system: so the writer finds the name that it asked for, files get the usual
permissions, and one removal cleans up. The path that is handed out does not exist yet.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

#: Why nothing can be written, in a user's words.
REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file system allows no file that large",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EROFS: "the disk is read-only",
}


def reason(error: OSError) -> str:
    """Say in a user's words why nothing could be written."""
    return REASONS.get(error.errno or 0) or error.strerror or str(error)


@contextlib.contextmanager
def worded(folder: Path) -> Iterator[None]:
    """Have an ``OSError`` say in a user's words why `folder` cannot be written to."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, reason(error), str(folder)) from error


@contextlib.contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Path for a file or folder on the file system of `path`; nothing is left of it at the end.

    Parameters
    ----------
    path : Path
        Its name and folder are taken; it is not touched.

    Raises
    ------
    OSError
        If its folder does not exist or cannot be written to.
    """
    # Not tempfile's: it makes folders that, on Windows, only their owner can ever read from.
    folder = path.with_name(f".{path.name[:40]}.{token_hex(8)}.part")
    try:
        folder.mkdir()
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Path to write a file or a folder to, which takes the place of `path` at the end.

    If the work within fails or is interrupted, `path` is as it was. A file is on the disk
    when it appears, and so survives a power cut; of a folder, that is not waited for.

    Parameters
    ----------
    path : Path
        Where; what is there is replaced.

    Raises
    ------
    OSError
        If it cannot be written, as when the disk is full.
    """
    with scratch(path) as temporary:
        yield temporary
        if temporary.is_dir():
            _replace_folder(temporary, path)
            return
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file, whole or not at all; text as UTF-8.

    Raises
    ------
    OSError
        If it cannot be written, as when the disk is full.
    """
    with atomically(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def _replace_folder(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.rename(path)
        return
    # A folder cannot replace another in one step: the old one steps aside, and back on failure.
    aside = temporary.parent.with_suffix(".old")
    path.rename(aside)
    try:
        temporary.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Make a new name last through a power cut, where the system can."""
    with contextlib.suppress(OSError):  # Windows opens no folders; the file itself is synced
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
