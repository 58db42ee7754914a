"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_ssan.atomic import atomically
from napari_ssan.errors import BadInput


@contextmanager
def new_file(path: str | Path, suffix: str, overwrite: bool) -> Iterator[Path]:
    """Path to write to, beside `path`, which takes its place at the end or leaves no trace.

    Parameters
    ----------
    path : str or Path
        The file that is wanted.
    suffix : str
        What it must end in.
    overwrite : bool
        Whether a file that exists is replaced.

    Raises
    ------
    BadInput
        If it may not or cannot be written.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != suffix:
        raise BadInput(f"The file {path.name} must end in {suffix}.")
    if not path.parent.is_dir():
        raise BadInput(f"The folder {path.parent} does not exist; make it first.")
    if path.is_dir():
        raise BadInput(f"{path} is a folder; choose another name.")
    if path.exists() and not overwrite:
        raise BadInput(
            f"{path} exists already; allow it to be replaced (--overwrite) or choose another name."
        )
    with changing(f"The file {path} could not be written"), atomically(path) as temporary:
        yield temporary


@contextmanager
def changing(failure: str) -> Iterator[None]:
    """Turn what the system refuses into a sentence.

    Raises
    ------
    BadInput
        That begins with `failure`, in place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"{failure}: {reason}; nothing was changed.") from error
