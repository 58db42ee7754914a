"""Paths and addresses that users give: what may be opened at all, and how text is shown.

Whether a file makes sense is up to the module that reads it. Only this is asked before it is
opened: a pipe or a device may never end. Names and metadata may hold codes that a terminal obeys,
so what is printed goes through `printable`. Easy to get wrong: an address such as ``s3://bucket/v``
travels as a `Path`, ``Path("s3:/bucket/v")``, so that names and parents work as usual, but the
system finds nothing there; :mod:`napari_ssan.files.remote` does.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

from napari_ssan.errors import BadInput

_ODD = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_ADDRESS = re.compile(r"(https?|s3|gs):/+([^/].*)", re.IGNORECASE | re.DOTALL)
_FILE = re.compile(r"file:/+(?:localhost/)?(.+)", re.IGNORECASE | re.DOTALL)


def located(given: str | Path) -> Path:
    """The path that a user gives, as text or as a path; also a ``file:`` URL, or an address.

    Raises
    ------
    BadInput
        If it is an address that holds a password or a signature: it would be written down in
        records and logs.
    """
    text = given.as_posix() if isinstance(given, Path) else given
    if (found := _FILE.fullmatch(text)) and not Path(given).exists():
        return Path(f"{'' if re.match('[A-Za-z]:', found[1]) else '/'}{unquote(found[1])}")
    if found := _ADDRESS.fullmatch(text):
        scheme, rest = found[1].lower(), found[2].rstrip("/")
        server, _, inner = rest.partition("/")
        if "@" in server or "?" in rest:
            shown = f"{scheme}://{server.rpartition('@')[2]}/{inner}".partition("?")[0]
            raise BadInput(
                f"The address {shown} was given with a password or a query, which would be "
                "written down with it; leave that out, and give credentials in the environment "
                "or in the file .netrc."
            )
        return Path(f"{scheme}:/{rest}")
    return Path(given)


def address(path: Path) -> str | None:
    """The address that a path stands for, such as ``s3://bucket/v``; None if it is none."""
    found = _ADDRESS.fullmatch(path.as_posix())
    return f"{found[1].lower()}://{found[2]}" if found else None


def spelled(path: Path) -> str:
    """A path or an address as a user writes it."""
    return address(path) or str(path)


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
    """Where a path leads; an address leads to itself.

    Unlike `Path.resolve`, it does not raise where links go in a circle.
    """
    return path if address(path) else Path(os.path.realpath(path))


def printable(text: str) -> str:
    r"""Text with its control characters, and what is not UTF-8 in a name, as codes.

    >>> printable("a\x1b[31m b")
    'a\\x1b[31m b'
    """
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )
