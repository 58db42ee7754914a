"""``napari-ssan repair``: a broken stack in, a repaired file out.

Responsible for refusing outputs that must not be written; :mod:`napari_ssan.cli.marks` reads marks,
:mod:`napari_ssan.engine` repairs and :mod:`napari_ssan.files` writes. Easy to get wrong: every
check comes before the repair, since a refusal after an hour of work is too late.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from napari_ssan.atomic import scratch
from napari_ssan.cli.marks import AUTO, read_marks
from napari_ssan.cli.options import (
    Backup,
    Device,
    FollowLinks,
    MethodName,
    Model,
    Overwrite,
    StackPath,
    Views,
)
from napari_ssan.cli.outputs import check_target, write_text
from napari_ssan.cli.progress import Bars, bars, console, tidy_beside
from napari_ssan.cli.signals import interruptible
from napari_ssan.cli.slab_runs import run_in_place, run_to_output
from napari_ssan.engine.repair import repair as repair_stack
from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.files import (
    StackFile,
    check_axes,
    check_distinct,
    check_output,
    mask_path,
    open_stack,
    save_stack,
)
from napari_ssan.files.output import kind
from napari_ssan.files.remote_image import RemoteImage
from napari_ssan.files.section_numbers import check_table
from napari_ssan.files.write_zarr import Pieces
from napari_ssan.heap import share_heap
from napari_ssan.network.model_file import DEFAULT_MODEL
from napari_ssan.paths import address, located, real
from napari_ssan.report.page import to_html
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.output_run import Ask, unfinished
from napari_ssan.volumes.slabs import How
from napari_ssan.volumes.status import begun


def repair(
    path: StackPath,
    output: Annotated[
        Path | None,
        Argument(
            metavar="OUTPUT",
            help="The file to write: .tif, .ome.tif, .ome.zarr, .zarr or .mrc; of the zarr ones, "
            "also an address such as s3://bucket/out.ome.zarr. None with --in-place.",
            show_default=False,
        ),
    ] = None,
    defects: Annotated[
        str,
        Option(
            metavar="SLICES|auto",
            help="Broken slices, counted from 0, as in 12,47-48; auto inspects the stack and "
            "repairs what is found with a probability of at least 0.9.",
        ),
    ] = "",
    defects_file: Annotated[
        Path | None,
        Option(
            help="Marks to repair: a .json file, a .csv table, a label image (.ome.zarr or .tif) "
            "or a folder of masks."
        ),
    ] = None,
    region: Annotated[
        Path | None,
        Option(
            help="Mask image that is non-zero where the stack is broken. It has the stack's shape, "
            "or is 2-D and applies to every slice of --defects."
        ),
    ] = None,
    insert_after: Annotated[
        str,
        Option(
            metavar="SLICES",
            help="Insert a new slice after each of these; name one twice to insert two.",
        ),
    ] = "",
    model: Model = DEFAULT_MODEL,
    device: Device = "auto",
    method: Annotated[
        MethodName, Option(help="How to synthesize: the network (ssan) or a baseline.")
    ] = "ssan",
    match: Annotated[
        Literal["auto", "mean", "histogram"],
        Option(
            help="Match grey values to the neighbours' mean and contrast (mean) or to their whole "
            "histogram (histogram: more contrast, lower PSNR). auto takes the model's own setting."
        ),
    ] = "auto",
    views: Views = None,
    treatment: Annotated[
        Literal["synthesize", "correct"] | None,
        Option(
            help="synthesize makes marked pixels from the neighbours; correct keeps them, and "
            "brings them to the neighbours' brightness and contrast. Inserted slices are always "
            "synthesized.",
            show_default="as each mark says, else synthesize",
        ),
    ] = None,
    mask: Annotated[
        bool,
        Option(
            help="Also write a mask beside OUTPUT: 255 where a pixel is synthetic, 128 where it "
            "is corrected, else 0."
        ),
    ] = False,
    expected_error: Annotated[
        Path | None,
        Option(
            help="Also write the expected absolute error of each pixel to this file, in grey "
            "values (float32). It is 0 at real pixels and NaN where the error is unknown."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        Option(
            help="Also write a report to this .html file: each repaired slice before and after, "
            "its neighbours, what it was made by, and its expected error."
        ),
    ] = None,
    confidence: Annotated[Path | None, Option(hidden=True)] = None,
    in_place: Annotated[
        bool,
        Option(
            "--in-place",
            help="Change the zarr store STACK itself: only the chunks that hold synthetic pixels. "
            "Their originals are kept; napari-ssan restore brings them back.",
        ),
    ] = False,
    backup: Backup = None,
    resume: Annotated[
        bool,
        Option("--resume", help="Go on with an interrupted repair in place or to a zarr OUTPUT."),
    ] = False,
    workers: Annotated[
        int | None,
        Option(
            min=1,
            help="Processes that work at the same time (needs dask); in place or to a zarr OUTPUT.",
        ),
    ] = None,
    scheduler: Annotated[
        str,
        Option(
            metavar="tcp://HOST:PORT|FILE.json",
            help="A dask cluster that does the work, in place or to a zarr OUTPUT.",
        ),
    ] = "",
    chunks: Annotated[
        str,
        Option(
            metavar="Z,Y,X",
            help="Size of the chunks of a zarr OUTPUT: slices, rows, columns.",
            show_default="1,512,512",
        ),
    ] = "",
    shards: Annotated[
        str, Option(metavar="Z,Y,X", help="Store chunks of a zarr OUTPUT in shards of this size.")
    ] = "",
    follow_links: FollowLinks = False,
    overwrite: Overwrite = False,
) -> None:
    """Repair a stack: synthesize its broken slices or regions from their neighbours.

    With --treatment correct, keep their pixels, and correct brightness and contrast.
    """
    share_heap()
    path = located(path)
    if confidence is not None:
        console.print("Note: --confidence is now --expected-error; the old name will be removed.")
        expected_error = expected_error or confidence
    how = How(method, str(real(Path(model))) if Path(model).is_file() else model, match, views)
    if defects == AUTO and not resume:
        how.make(device)  # refused before the inspection
    # With the marks of the run that is gone on with; what an inspection finds is not looked for.
    named = defects_file or region or insert_after or defects not in ("", AUTO)
    goes_on = resume and not named
    if in_place:
        if output or mask or expected_error or report or overwrite or follow_links:
            raise BadInput(
                "With --in-place there is no OUTPUT, and no --mask, --expected-error, --report, "
                "--overwrite or --follow-links; leave them out."
            )
        if goes_on and (not defects or begun(path)):
            marks = Marks()
        else:
            file = open_stack(path)
            marks = read_marks(file, defects, defects_file, region, insert_after)
            treat(marks, treatment)
        run_in_place(path, marks, how, device, backup, resume, workers, scheduler)
        return
    if backup:
        raise BadInput("--backup needs --in-place.")
    if output is None:
        raise BadInput("Name an OUTPUT, or add --in-place to change a zarr store itself.")
    output, expected_error = located(output), expected_error and located(expected_error)
    pieces = Pieces.parse(chunks, shards)
    if pieces and kind(output) != "zarr":
        raise BadInput("--chunks and --shards are for a zarr OUTPUT; leave them out.")
    in_slabs = bool(resume or workers or scheduler)
    if in_slabs and kind(output) != "zarr":
        raise BadInput(
            "--resume, --workers and --scheduler need a zarr OUTPUT, or --in-place; leave them out."
        )
    tidy_beside(output, expected_error, report)
    # What a run that is gone on with has let appear already is its own.
    allowed = overwrite or bool(resume and address(output) and unfinished(output))
    check_output(output, path, allowed)
    file = open_stack(path, follow_links=follow_links)
    stack = file.stack()
    # Nothing that the repair reads may be overwritten.
    given = [each for each in (defects_file, region, Path(model)) if each and each.exists()]
    for target in (output, mask_path(output)) if mask else (output,):
        check_output(target, [*file.files, *given], allowed, dtype=stack.dtype)
        check_axes(target, file)
    if expected_error is not None:
        check_output(expected_error, [*file.files, *given], allowed)
        check_axes(expected_error, file)
    if report is not None:
        check_target(report, (".html", ".htm"), [*file.files, *given], overwrite)
    beside = [each for each in (expected_error, report) if each is not None]
    check_distinct([output, *beside, *([mask_path(output)] if mask else [])])

    def finish(repaired: RepairedStack, ready: Path | RemoteImage | None, show: Bars) -> None:
        for z in _borrowed(repaired, file):
            show.say(
                f"Note: slice {z} was used as a neighbour, but it is synthetic itself; mark it, "
                "too, to use real slices instead."
            )
        with interruptible() as cancel:  # zarr's threads must not write to what is being removed
            save_stack(
                output,
                repaired,
                file,
                overwrite=overwrite,
                mask=mask,
                error=expected_error or False,
                progress=lambda done, total: show.show("writing", done, total),
                cancel=cancel,
                pieces=pieces,
                ready=ready,
            )
        if report is not None:
            page = to_html(repaired, path.name, earlier=file.provenance)
            write_text(report, page, overwrite)

    marks = Marks()
    if not goes_on or (defects and not unfinished(output)):
        marks = read_marks(file, defects, defects_file, region, insert_after, follow_links)
        treat(marks, treatment)
        marks.check(stack.shape)
        if marks.missing:
            check_table(output, overwrite)
    if in_slabs or address(output):
        for note in file.notes:
            console.print(f"Note: {note}", markup=False)
        keep = expected_error is not None or report is not None
        images = [mask_path(output)] if mask else []
        images += [expected_error] if expected_error else []
        ask = Ask(output, marks, how, chunks, shards, keep, follow_links, tuple(images))
        run_to_output(ask, file, finish, device, resume, workers, scheduler)
        return
    with _scratch(output) as pixels, bars() as show:
        for note in file.notes:
            show.say(f"Note: {note}")
        with interruptible() as cancel:
            repaired = repair_stack(
                stack,
                marks,
                model,
                device,
                show.engine,
                cancel,
                method=method,
                match=match,
                views=views,
                scratch=pixels,
            )
        finish(repaired, None, show)


def treat(marks: Marks, treatment: Literal["synthesize", "correct"] | None) -> None:
    """Have all marks treated so, if it is said."""
    if treatment is not None:
        marks.treat({*marks.whole, *marks.regions}, treatment)


def _borrowed(repaired: RepairedStack, file: StackFile) -> list[int]:
    """Slices that were synthetic before, and were used as neighbours now."""
    if file.provenance is None:
        return []
    records = repaired.provenance.sections
    used = {repaired.slots[place][0] for record in records for place in record.neighbours}
    return sorted(used & file.provenance.numbers)


@contextmanager
def _scratch(output: Path) -> Iterator[Path]:
    """Make a folder for synthesized pixels, on the disk of the output."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch(output))
            folder.mkdir()
        except OSError as error:
            raise BadInput(
                f"The folder {output.parent} cannot be written to: {error.strerror}."
            ) from None
        yield folder
