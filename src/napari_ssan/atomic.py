"""The one way to write: a file or a folder appears whole at its place, or not at all.

It knows nothing of what is written, and leaves words for the user to its callers, and the change
from old to new to :mod:`napari_ssan.swap`. It is done by hand: atomicwrites, the library for it, is
no longer maintained and knows no folders.

Until it is complete, everything lies in a new folder ``.NAME.XXXX.part`` beside its place, on
the same file system: so the writer finds the name that it asked for, files get the usual
permissions, and one removal cleans up. The path that is handed out does not exist yet.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path
from stat import S_IMODE

from napari_ssan.part import LOCK, Part
from napari_ssan.swap import swap

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
    """Path for a file or folder within a new :class:`~napari_ssan.part.Part` beside `path`.

    Nothing is left of it at the end. Raises what the part raises.
    """
    part = Part(path)
    try:
        yield part.folder / path.name
    finally:
        part.remove()


@contextlib.contextmanager
def together(paths: Sequence[Path], ready: Path | None = None) -> Iterator[list[Path]]:
    """Paths to write files or folders to, which take the places of `paths` at the end.

    If the work within fails or is interrupted, all are as they were. If the program is killed
    while they change, the rest is done by the next :func:`napari_ssan.swap.recover`. What
    appears is on the disk, and so survives a power cut.

    Parameters
    ----------
    paths : sequence of Path
        Where, each with a name of its own; what is there is replaced.
    ready : Path, optional
        Where the first of them is being written already, in a part that stays if this fails.

    Raises
    ------
    OSError
        If one cannot be written, as when the disk is full.
    """
    with contextlib.ExitStack() as parts:
        temporaries = [] if ready is None else [ready]
        temporaries += [parts.enter_context(scratch(path)) for path in paths[len(temporaries) :]]
        yield temporaries
        for folder in (temporary.parent for temporary in temporaries):
            if not (folder / LOCK).exists():  # zarr makes anew what is removed while it writes
                said = "its folder was removed meanwhile"
                raise FileNotFoundError(errno.ENOENT, said, str(folder.parent))
        swap(list(zip(temporaries, paths, strict=True)))


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """As :func:`together`, for one path."""
    with together([path]) as (temporary,):
        yield temporary


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file, whole or not at all; text as UTF-8. One that is there keeps its permissions.

    Raises
    ------
    OSError
        If it cannot be written, as when the disk is full.
    """
    with atomically(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        with contextlib.suppress(OSError):  # it is new, or the disk knows none
            temporary.chmod(S_IMODE(path.stat().st_mode))
