"""Paths that users give: what may be opened at all, and how text from files is shown.

Whether a file makes sense is up to the module that reads it. Only this is asked before it is
opened: a pipe or a device may never end. Names and metadata may hold codes that a terminal obeys,
so what is printed goes through `printable`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from napari_ssan.errors import BadInput

_ODD = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_input(path: Path) -> None:
    """Check that what is at a path is a file or folder, if anything is.

    Raises
    ------
    BadInput
        If it is a pipe, a socket or a device.
    """
    try:
        mode = path.stat().st_mode
    except OSError:  # whoever opens it says what is wrong
        return
    if odd := _ODD.get(stat.S_IFMT(mode)):
        raise BadInput(f"{path} is {odd}; give the path of a file or folder.")


def real(path: Path) -> Path:
    """Where a path leads; unlike `Path.resolve`, it does not raise where links go in a circle."""
    return Path(os.path.realpath(path))


def printable(text: str) -> str:
    r"""Text with its control characters, and what is not UTF-8 in a name, as codes.

    >>> printable("a\x1b[31m b")
    'a\\x1b[31m b'
    """
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )
