"""``napari-ssan status``: what is synthetic in a file, and what a killed run left beside it.

Easy to get wrong: a swap that was killed is finished first, so that the answer is about what
stays; it is the only thing that this command changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer import Argument

from napari_ssan.cli.options import FollowLinks, Json
from napari_ssan.cli.progress import tidy_beside
from napari_ssan.files import open_image
from napari_ssan.files.open import StackFile
from napari_ssan.files.provenance_io import to_plain
from napari_ssan.json_text import dump_json


def status(
    path: Annotated[Path, Argument(metavar="STACK", help="A repaired stack.")],
    as_json: Json = False,
    follow_links: FollowLinks = False,
) -> None:
    """Show which pixels of a stack are synthetic, and finish what a killed run left half-done."""
    tidy_beside(path)
    file = open_image(path, follow_links=follow_links)
    if as_json:
        typer.echo(dump_json(gather(file)))
        return
    out = Console(highlight=False, soft_wrap=True)
    shape = " x ".join(map(str, file.data.shape))
    out.print(f"{path.name}: {shape}, {file.data.dtype}, axes {file.axes}", markup=False)
    for note in file.notes:
        out.print(f"Note: {note}", markup=False)
    records = file.provenance.sections if file.provenance else ()
    for record in records:
        out.print(str(record), markup=False)
    if not records:
        out.print("No synthetic pixels are recorded in it.")


def gather(file: StackFile) -> dict[str, Any]:
    """Return what the file says of itself, JSON-serializable."""
    return {
        "path": str(file.path),
        "shape": list(file.data.shape),
        "dtype": str(file.data.dtype),
        "axes": file.axes,
        "notes": list(file.notes),
        "provenance": to_plain(file.provenance) if file.provenance else None,
    }
