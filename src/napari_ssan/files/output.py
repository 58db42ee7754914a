"""Decides what may be written where, and has it appear whole or not at all.

Check with `check_output` before long work, and write within `replacing` at its end. The input
is never overwritten, and no folder is replaced unless it is a zarr store with nothing else in it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_ssan.atomic import reason, together
from napari_ssan.errors import BadInput
from napari_ssan.files.belongings import check_store
from napari_ssan.files.open_zarr import is_zarr
from napari_ssan.files.remote import can_write, top
from napari_ssan.files.remote_image import LEVEL
from napari_ssan.files.write_tiff import NOT_OME
from napari_ssan.paths import address, located, spelled
from napari_ssan.swap import recover

#: What an output's name may end in, the longest first.
ENDINGS = (".ome.tiff", ".ome.tif", ".ome.zarr", ".tiff", ".tif", ".zarr", ".mrc")
#: What is said of an output that may not be replaced.
EXISTS = (
    "The output {} exists already; allow it to be replaced (--overwrite) or choose another name."
)


def ending(path: Path) -> str:
    """The one of `ENDINGS` that a path has.

    Raises
    ------
    BadInput
        If it has none of them.
    """
    for known in ENDINGS:
        if path.name.lower().endswith(known) and len(path.name) > len(known):
            return known
    raise BadInput(
        f"The output {path.name} must end in .tif, .tiff, .ome.tif, .ome.zarr, .zarr or .mrc."
    )


def kind(path: Path) -> Literal["tiff", "zarr", "mrc"]:
    """Whether an output is a TIFF, a zarr store or an MRC file."""
    known = ending(path)
    if known == ".mrc":
        return "mrc"
    return "zarr" if known.endswith("zarr") else "tiff"


def mask_path(path: Path) -> Path:
    """Path of the mask of synthetic pixels, `NAME.synthetic.*` beside the output.

    It is not within a zarr store: napari's own reader would open it instead of the image.
    """
    return _companion(path, "synthetic")


def error_path(path: Path) -> Path:
    """Path of the expected errors, `NAME.expected-error.*` beside the output."""
    return _companion(path, "expected-error")


def report_path(path: Path) -> Path:
    """Path of the report, `NAME.report.html` beside the output."""
    return path.with_name(f"{path.name[: -len(ending(path))]}.report.html")


def _companion(path: Path, what: str) -> Path:
    known = ending(path)
    new = {"zarr": ".ome.zarr", "tiff": ".tif", "mrc": ".mrc"}
    return path.with_name(f"{path.name[: -len(known)]}.{what}{new[kind(path)]}")


def check_output(
    path: str | Path,
    source: str | Path | Iterable[str | Path] | None = None,
    overwrite: bool = False,
    *,
    dtype: npt.DTypeLike | None = None,
) -> None:
    """Check, before any work is done, whether an output may be written.

    Parameters
    ----------
    path : str or Path
        The output.
    source : str or Path, or iterable of them, optional
        The input, then the other files that are read; none of them may be overwritten.
    overwrite : bool
        Whether an output that exists may be replaced.
    dtype : dtype, optional
        Type of the pixels.

    Raises
    ------
    BadInput
        If it may not.
    """
    path = located(path)
    known = ending(path)
    name = "" if dtype is None else np.dtype(dtype).name
    if known.startswith(".ome.tif") and name in NOT_OME:
        raise BadInput(
            f"OME-TIFF has no {name} pixels; write {path.name} as .ome.zarr or plain .tif."
        )
    parent = path.absolute().parent
    if not address(path) and not parent.is_dir():
        raise BadInput(f"The folder {parent} for the output does not exist; make it first.")
    sources = [source] if isinstance(source, str | Path) else source or ()
    for number, one in enumerate(sources):
        _check_apart(path, Path(one), is_input=number == 0)
    if address(path):
        _check_address(path, overwrite)
        return
    # a link that leads nowhere also exists
    if path.exists() or path.is_symlink():
        if not overwrite:
            raise BadInput(EXISTS.format(path))
        _check_replaceable(path)
    if not os.access(parent, os.W_OK | os.X_OK):
        raise BadInput(f"The folder {parent} cannot be written to; choose another for the output.")


def _check_address(path: Path, overwrite: bool) -> None:
    where = spelled(path)
    if not can_write(path):
        raise BadInput(f"{where} can only be read; write to s3://, gs:// or a path.")
    if kind(path) != "zarr":
        raise BadInput(
            f"Only OME-Zarr is written to an address: end {where} in .ome.zarr, or give a path."
        )
    if is_zarr(path):
        if not overwrite:
            raise BadInput(EXISTS.format(where))
        check_store(path)
    elif others := {name for name in top(path) if not LEVEL.fullmatch(name)}:
        raise BadInput(
            f"{where} holds {min(others)}, but no image, so nothing is written there; choose "
            "another name."
        )


def check_distinct(paths: Iterable[Path]) -> None:
    """Check that no output of a run is, or lies within, another.

    Raises
    ------
    BadInput
        If two of them are the same, or one lies within another.
    """
    found = [Path(os.path.realpath(path)) for path in paths]
    for number, one in enumerate(found):
        for other in found[:number]:
            if one.is_relative_to(other) or other.is_relative_to(one):
                raise BadInput(
                    f"The outputs {other.name} and {one.name} are the same, or one lies within "
                    "the other; give each of them a place of its own."
                )


def _check_apart(path: Path, source: Path, *, is_input: bool) -> None:
    """Refuse an output that is, contains, or lies within something that is read."""
    # not Path.resolve, which raises where links lead in a circle
    target, origin = Path(os.path.realpath(path)), Path(os.path.realpath(source))
    same = target == origin or (path.exists() and source.exists() and path.samefile(source))
    if same:
        what = "the input itself" if is_input else "another file that is read"
        raise BadInput(
            f"The output {spelled(path)} is {what}, which is never changed; choose another name."
        )
    if (origin.is_dir() or address(source)) and target.is_relative_to(origin):
        what = "the input" if is_input else f"{spelled(source)}, which is also read"
        raise BadInput(f"The output {spelled(path)} lies within {what}; choose another folder.")
    if origin.is_relative_to(target):
        what = "The input" if is_input else f"{spelled(source)}, which is also read,"
        raise BadInput(f"{what} lies within the output {spelled(path)}; choose another name.")


def _check_replaceable(path: Path) -> None:
    """Refuse to replace something of another kind: it may be a folder with somebody's work."""
    if kind(path) != "zarr" and path.is_dir():
        what = "a TIFF" if kind(path) == "tiff" else "an MRC file"
        raise BadInput(f"The output {path} is a folder, not {what}; choose another name.")
    if kind(path) == "zarr" and path.exists() and not (path.is_dir() and is_zarr(path)):
        raise BadInput(
            f"The output {path} exists and is not a zarr store, so it is not replaced; "
            "choose another name."
        )
    if kind(path) == "zarr" and path.exists():
        check_store(path)


@contextlib.contextmanager
def replacing_all(
    paths: Sequence[Path], overwrite: bool, ready: Path | None = None
) -> Iterator[list[Path]]:
    """Paths to write to; what is written there takes the places of `paths` at the end, together.

    If the work within fails, is cancelled or interrupted, nothing is left of
    it, and all are as they were.

    Parameters
    ----------
    paths : sequence of Path
        The outputs, files or folders.
    overwrite : bool
        Whether those that exist are replaced.
    ready : Path, optional
        As for :func:`~napari_ssan.atomic.together`.

    Raises
    ------
    BadInput
        If one cannot be written, or it was created in the meantime.
    """
    if not paths:
        yield []
        return
    try:
        with together(paths, ready) as temporaries:
            yield temporaries
            for path in paths:
                if not overwrite and os.path.lexists(path):
                    raise BadInput(
                        f"The output {path} was created meanwhile by another program; "
                        "choose another name."
                    )
    except OSError as error:
        named = " and ".join(map(str, paths))
        left = "nothing was left behind" if ready is None else "go on with --resume"
        raise BadInput(
            f"The output {named} could not be written: {reason(error)}; {left}."
        ) from error


@contextlib.contextmanager
def replacing(path: Path, overwrite: bool) -> Iterator[Path]:
    """As :func:`replacing_all`, for one path."""
    with replacing_all([path], overwrite) as (temporary,):
        yield temporary


def tidy(*folders: Path) -> list[str]:
    """Finish or remove what killed runs left in folders.

    Returns
    -------
    list of str
        A sentence that says what was done; empty if there was nothing.

    Raises
    ------
    BadInput
        If an output cannot be put in its place now.
    """
    finished, removed = [], []
    for folder in dict.fromkeys(folders):
        try:
            done, gone = recover(folder)
        except OSError as error:
            raise BadInput(
                f"A run was killed while it replaced outputs in {folder.absolute()}, and that "
                f"cannot be finished now: {reason(error)}."
            ) from error
        finished += done
        removed += gone
    said = []
    if finished:
        named = " and ".join(path.name for path in finished)
        said.append(f"an earlier run was killed while it replaced {named}; that is finished now")
    if removed:
        one = len(removed) == 1
        what = "a hidden folder" if one else f"{len(removed)} hidden folders"
        verb, where = ("was", removed[0]) if one else ("were", removed[0].parent)
        said.append(f"{what} that a killed run had left {verb} removed ({where})")
    return [f"{text[0].upper()}{text[1:]}." for text in ["; ".join(said)] if text]
