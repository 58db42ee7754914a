"""``napari-ssan inspect``: find what is broken in a stack, and say why.

Responsible for the options, the table and the files; :mod:`napari_ssan.inspection` looks and
judges. Easy to get wrong: the table is shown only if no file is asked for, and nothing is
repaired here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from rich.table import Table
from typer import Option

from napari_ssan.cli.options import FollowLinks, Overwrite, StackPath
from napari_ssan.cli.outputs import check_target, write_text
from napari_ssan.cli.progress import Bars, bars, console, tidy_beside
from napari_ssan.errors import BadInput
from napari_ssan.files import StackFile, check_distinct, open_stack
from napari_ssan.files.marks_files import ENDINGS, check_marks, write_marks
from napari_ssan.files.units import LENGTHS, in_unit
from napari_ssan.inspection.find import SENSITIVITY, Inspection
from napari_ssan.inspection.inspect import inspect as look_through
from napari_ssan.inspection.page import to_html
from napari_ssan.inspection.view import View
from napari_ssan.stack.sections import SliceStack
from napari_ssan.training.machine import inspection_threads


def inspect(
    path: StackPath,
    json_path: Annotated[
        Path | None, Option("--json", help="Write all finds to this .json file.")
    ] = None,
    marks_path: Annotated[
        Path | None,
        Option(
            "--marks",
            help="Write marks for repair --defects-file: to a .json file, a .csv table of slices, "
            "an .ome.zarr label image, or a new folder of PNG masks.",
        ),
    ] = None,
    html_path: Annotated[
        Path | None, Option("--html", help="Write a report with pictures to this .html file.")
    ] = None,
    sensitivity: Annotated[
        Literal["low", "normal", "high"],
        Option(help="What counts as a find: probability of at least 0.8, 0.5 or 0.2."),
    ] = "normal",
    level: Annotated[
        int | None,
        Option(
            min=0,
            help="Level of the pyramid to look at; 0 is the full resolution.",
            show_default="pixels of up to 64 nm, sides of at least 512",
        ),
    ] = None,
    workers: Annotated[
        int,
        Option(min=0, max=64, help="Number of CPU threads; 0 takes one for each core, at most 8."),
    ] = 0,
    overwrite: Overwrite = False,
    follow_links: FollowLinks = False,
) -> None:
    """Find broken slices and regions, the most certain first, and say why."""
    tidy_beside(json_path, marks_path, html_path)
    file = open_stack(path, follow_links=follow_links)
    if marks_path is not None:
        check_marks(marks_path, file, overwrite)
    text = marks_path if marks_path is not None and marks_path.suffix.lower() != ".zarr" else None
    targets = {json_path: (".json",), text: ENDINGS, html_path: (".html", ".htm")}
    asked = {target: endings for target, endings in targets.items() if target is not None}
    given = [each for each in (json_path, marks_path, html_path) if each is not None]
    for target, endings in asked.items():
        check_target(target, endings, file.files, overwrite)
    check_distinct(given)
    with bars() as show:
        for note in file.notes:
            show.say(f"Note: {note}")
        found = look(file, show, level, workers).at_least(SENSITIVITY[sensitivity])
        for sentence in found.cannot_tell:
            show.say(f"Note: {sentence}")
    if json_path is not None:
        write_text(json_path, found.to_json(), overwrite)
    if marks_path is not None:
        write_marks(marks_path, found.marks(), file, overwrite)
        console.print(f"Wrote {marks_path}", markup=False)
        for note in _left_out(found, marks_path.suffix.lower()):
            console.print(f"Note: {note}")
    if html_path is not None:
        write_text(html_path, to_html(found, file.stack(), path.name), overwrite)
    if not given:
        _print(found)


def look(file: StackFile, show: Bars, level: int | None = None, workers: int = 0) -> Inspection:
    """Inspect a stack, with a bar; as many threads as there are cores if `workers` is 0.

    Raises
    ------
    BadInput
        If there is no such level, or the stack is too small.
    """
    stack = file.stack()
    size, unit = file.calibration.along("y")
    pixel = in_unit(size, unit, "nanometer") if unit in LENGTHS else None
    levels = [stack, *(SliceStack(each, file.calibration.z_axis) for each in file.levels[1:])]
    workers = workers or inspection_threads()
    for event in look_through(View(stack, levels, pixel, level), workers=workers):
        if isinstance(event, Inspection):
            return event
        show.show("looking at slices", event.done, event.total)
    raise BadInput(f"{file.path.name} has no slices.")


def _left_out(found: Inspection, ending: str) -> Iterator[str]:
    """What marks with such an ending do not hold of what was found."""
    regions = {each.z for each in found.finds if each.region}
    corrected = {each.z for each in found.finds if each.suggest == "correct"}
    if ending == ".csv" and regions:
        yield f"a table holds whole slices only; the regions in {_slices(regions)} are not in it."
    if not ending and corrected:
        yield (
            "a folder of masks holds what is to be synthesized; what is to be corrected in "
            f"{_slices(corrected)} is not in it."
        )
    if lost := found.lost:
        yield f"marks hold no lost slices; repair --insert-after {lost} inserts new ones."


def _slices(numbers: Collection[int]) -> str:
    """Numbers of slices in words."""
    return f"slice{'s' * (len(numbers) > 1)} {', '.join(map(str, sorted(numbers)))}"


def _print(found: Inspection) -> None:
    """Print the finds as a table."""
    out = Console(highlight=False)
    if not found.finds:
        out.print(f"Nothing was found in {found.slices} slices.")
        return
    table = Table("slice", "what", "where (y, x)", "p", "do", "why")
    for each in found.finds:
        where = each.place
        if each.region is not None:
            rows, columns = each.region.window
            where = f"{rows.start}-{rows.stop - 1}, {columns.start}-{columns.stop - 1}"
        row = (str(each.z), each.kind, where, f"{each.p:.2f}", each.advice, each.reason)
        table.add_row(*row)
    out.print(table)
