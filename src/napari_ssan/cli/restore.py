"""``napari-ssan restore``: the originals of a volume that was repaired in place, brought back."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from napari_ssan.cli.options import Backup, VolumePath
from napari_ssan.cli.progress import console
from napari_ssan.paths import located
from napari_ssan.stack.marks_io import format_slices, parse_slices


def restore(
    path: VolumePath,
    slices: Annotated[
        str, Option(metavar="SLICES", help="Only these, as in 12,47-48; default is all.")
    ] = "",
    backup: Backup = None,
) -> None:
    """Undo a repair in place: bring the original chunks and metadata back, byte for byte."""
    from napari_ssan.volumes.restore import restore as put_back
    from napari_ssan.volumes.status import begun, status

    path = located(path)
    chosen = set(parse_slices(slices)) if slices else None
    restored = put_back(path, lambda text: console.print(text, markup=False), chosen, backup)
    what = f"slices {format_slices(restored)} of {path.name}" if restored else path.name
    staying = status(path, backup).provenance.numbers if begun(path) else ()
    still = f" Still synthetic: {format_slices(staying)}." if staying else ""
    console.print(f"Restored {what}.{still}", markup=False, soft_wrap=True)
