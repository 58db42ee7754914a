"""``napari-ssan status``: what is synthetic in a file, and what a killed run left beside it.

Easy to get wrong: a swap that was killed is finished first, so that the answer is about what
stays; it is the only thing that this command changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer import Argument

from napari_ssan.cli.options import Backup, FollowLinks, Json
from napari_ssan.cli.progress import tidy_beside
from napari_ssan.engine.provenance import Provenance
from napari_ssan.files import open_image
from napari_ssan.files.open import StackFile
from napari_ssan.files.open_zarr import is_zarr
from napari_ssan.files.provenance_io import to_plain
from napari_ssan.files.remote import can_write
from napari_ssan.json_text import dump_json
from napari_ssan.paths import address, located, spelled
from napari_ssan.stack.marks_io import format_slices
from napari_ssan.volumes.status import Status, begun, output_status
from napari_ssan.volumes.status import status as in_place_status


def status(
    path: Annotated[Path, Argument(metavar="STACK", help="A repaired stack.")],
    as_json: Json = False,
    follow_links: FollowLinks = False,
    backup: Backup = None,
) -> None:
    """Show which pixels of a stack are synthetic, and finish what a killed run left half-done.

    Of a volume that was repaired in place, also what is marked, done, failed and restorable.
    """
    path = located(path)
    tidy_beside(path)
    left = output_status(path) if can_write(path) else None
    if left and not (is_zarr(path) if address(path) else path.exists()):
        out = Console(highlight=False, soft_wrap=True)
        if as_json:
            typer.echo(dump_json({"path": spelled(path), "unfinished": plain(left, "folder")}))
        for line in () if as_json else unfinished_lines(path, left):
            out.print(line, markup=False)
        return
    file = open_image(path, follow_links=follow_links)
    in_place = in_place_status(path, backup) if begun(path) else None
    provenance = in_place.provenance if in_place else file.provenance
    if as_json:
        facts = {"in_place": in_place and plain(in_place)}
        facts |= {"unfinished": plain(left, "folder")} if left else {}
        typer.echo(dump_json(gather(file, provenance) | facts))
        return
    out = Console(highlight=False, soft_wrap=True)
    shape = " x ".join(map(str, file.data.shape))
    out.print(f"{path.name}: {shape}, {file.data.dtype}, axes {file.axes}", markup=False)
    for note in file.notes:
        out.print(f"Note: {note}", markup=False)
    records = provenance.sections if provenance else ()
    for record in records:
        out.print(str(record), markup=False)
    if not records:
        out.print("No synthetic pixels are recorded in it.")
    if in_place:
        for line in lines(in_place):
            out.print(line, markup=False)
    for line in unfinished_lines(path, left) if left else ():
        out.print(line, markup=False)


def gather(file: StackFile, provenance: Provenance | None) -> dict[str, Any]:
    """Return what is known of a file, JSON-serializable."""
    return {
        "path": spelled(file.path),
        "shape": list(file.data.shape),
        "dtype": str(file.data.dtype),
        "axes": file.axes,
        "notes": list(file.notes),
        "provenance": to_plain(provenance) if provenance else None,
    }


def plain(status: Status, folder: str = "originals") -> dict[str, Any]:
    """Return how a repair in slabs stands, JSON-serializable; `folder` is what its folder is."""
    failed = [{"slices": list(slices), "reason": why} for slices, why in status.failed]
    return {
        "marked": list(status.marked),
        "done": list(status.done),
        "left": list(status.left),
        "failed": failed,
        "restorable": list(status.restorable),
        "finished": status.finished,
        "restoring": status.restoring,
        "in_work": status.in_work or None,
        folder: spelled(status.backup),
    }


def lines(status: Status) -> Iterator[str]:
    """Say how a repair in place stands."""
    how = "Repaired in place"
    if not status.finished:
        count = f"{len(status.done)} of {len(status.marked)} slices"
        how = f"Repaired in place in part, {count} at full resolution"
    yield f"{how}; originals are in {status.backup}."
    yield from _numbers(status, "marked", "done", "left", "restorable")
    if status.in_work:
        yield f"  {status.in_work} is at work on it."
    elif status.restoring:
        yield "  A restore was interrupted; repeat it."
    elif not status.finished:
        what = "Some slices have failed" if status.failed else "The run was interrupted"
        yield f"  {what}: go on with repair --resume, or undo it with restore."


def unfinished_lines(path: Path, status: Status) -> Iterator[str]:
    """Say how an output stands that is not finished."""
    count = f"{len(status.done)} of {len(status.marked)} slices are done"
    yield f"A repair to {path.name} is not finished: {count}. They lie in {spelled(status.backup)}."
    yield from _numbers(status, "done", "left")
    if status.in_work:
        yield f"  {status.in_work} is at work on it."
    else:
        yield "  Go on with repair --resume."


def _numbers(status: Status, *names: str) -> Iterator[str]:
    for what in names:
        if slices := getattr(status, what):
            yield f"  {what}: {format_slices(slices)}"
    for slices, why in status.failed:
        yield f"  failed: {format_slices(slices)}: {why}"
