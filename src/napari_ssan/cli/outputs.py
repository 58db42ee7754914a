"""Text files that a command writes: reports, tables and lists.

Stacks are written by :mod:`napari_ssan.files`. Easy to get wrong: a target is checked before any
work is done, since a refusal after an hour of work is too late.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_ssan.cli.progress import console
from napari_ssan.errors import BadInput
from napari_ssan.files.output import replacing
from napari_ssan.paths import address, real


def check_target(
    path: Path, endings: tuple[str, ...], read: Sequence[Path], overwrite: bool
) -> None:
    """Refuse a file that cannot be written, before any work is done.

    Parameters
    ----------
    path : Path
        The file.
    endings : tuple of str
        How its name may end.
    read : sequence of Path
        Files and folders that are read; it may not be one of them, or lie in one.
    overwrite : bool
        Whether a file that exists may be replaced.

    Raises
    ------
    BadInput
        If it cannot be written.
    """
    if path.suffix.lower() not in endings:
        raise BadInput(f"The output {path.name} must end in {endings[0]}.")
    if where := address(path):
        raise BadInput(f"No {path.suffix} file is written to {where}; give a path.")
    if not path.absolute().parent.is_dir():
        raise BadInput(f"The folder of the output {path} does not exist; make it first.")
    if path.is_dir():
        raise BadInput(f"The output {path} is a folder; choose another name.")
    if any(real(path).is_relative_to(real(each)) for each in read):
        raise BadInput(f"The output {path} is an input, or lies in one; choose another name.")
    if (path.exists() or path.is_symlink()) and not overwrite:
        raise BadInput(f"The output {path} exists already; add --overwrite to replace it.")
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise BadInput(f"The folder of the output {path} cannot be written to.")


def write_text(path: Path, text: str | Iterable[str], overwrite: bool) -> None:
    """Write a file that :func:`check_target` let pass, all at once or in pieces, and say so."""
    with (
        replacing(path, overwrite) as temporary,  # a name that is not UTF-8 is written as codes
        temporary.open("w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.writelines([text] if isinstance(text, str) else text)
    console.print(f"Wrote {path}", markup=False)
