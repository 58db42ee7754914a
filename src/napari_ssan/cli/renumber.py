"""``napari-ssan renumber``: labels of a stack follow it after sections were inserted.

Easy to get wrong: labels are never averaged, also at coarser levels of a pyramid.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from napari_ssan.cli.options import FollowLinks, Overwrite
from napari_ssan.cli.progress import bars, console, tidy_beside
from napari_ssan.cli.signals import interruptible
from napari_ssan.errors import BadInput
from napari_ssan.files import check_output, open_image, save_stack
from napari_ssan.files.section_numbers import Renumbered, read_table, section_axis
from napari_ssan.paths import located, spelled


def renumber(
    labels: Annotated[
        Path, Argument(metavar="LABELS", help="Labels of the stack before slices were inserted.")
    ],
    output: Annotated[
        Path,
        Argument(metavar="OUTPUT", help="The file to write: .tif, .ome.tif, .ome.zarr or .zarr."),
    ],
    table: Annotated[
        Path,
        Option(
            "--map",
            metavar="TABLE|EXPORT",
            help="The table NAME.sections.csv that was written with the export, or the export.",
        ),
    ],
    inserted: Annotated[
        Literal["nearest", "zero"],
        Option(help="What inserted slices get: the labels of the nearest slice, or zero."),
    ] = "nearest",
    overwrite: Overwrite = False,
    follow_links: FollowLinks = False,
) -> None:
    """Give labels the slice numbers of a stack in which slices were inserted."""
    labels, output, table = located(labels), located(output), located(table)
    tidy_beside(output)
    file = open_image(labels, follow_links=follow_links)
    check_output(output, [*file.files, table], overwrite, dtype=file.data.dtype)
    numbers, axis = read_table(table), section_axis(file)
    before = sum(old is not None for old in numbers)
    if file.data.shape[axis] != before:
        raise BadInput(
            f"{labels.name} has {file.data.shape[axis]} slices, and the table is for labels of "
            f"{before}; give the labels of the stack before slices were inserted."
        )
    renumbered = Renumbered(file.data, axis, numbers, inserted)
    with bars() as show, interruptible() as cancel:
        save_stack(
            output,
            renumbered,
            replace(file, calibration=replace(file.calibration, z_axis=axis)),
            overwrite=overwrite,
            labels=True,
            progress=lambda done, total: show.show("writing", done, total),
            cancel=cancel,
        )
    console.print(
        f"Wrote {spelled(output)}: {len(numbers)} slices, "
        f"{len(numbers) - before} of them inserted.",
        markup=False,
        soft_wrap=True,
    )
