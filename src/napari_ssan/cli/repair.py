"""``napari-ssan repair``: a broken stack in, a repaired file out.

Responsible for turning options into marks and for refusing outputs that must not be written;
:mod:`napari_ssan.engine` repairs and :mod:`napari_ssan.files` writes. Easy to get wrong: every
check comes before the repair, since a refusal after an hour of work is too late.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from typer import Argument, Option

from napari_ssan.atomic import scratch
from napari_ssan.cli.inspect import look
from napari_ssan.cli.options import Device, FollowLinks, MethodName, Model, Overwrite, StackPath
from napari_ssan.cli.progress import bars, console, tidy_beside
from napari_ssan.cli.signals import interruptible
from napari_ssan.engine.repair import repair as repair_stack
from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.files import (
    StackFile,
    check_axes,
    check_distinct,
    check_output,
    mask_path,
    open_image,
    open_stack,
    save_stack,
)
from napari_ssan.files.marks_files import read_marks
from napari_ssan.inspection.find import SURE
from napari_ssan.network.model_file import DEFAULT_MODEL
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack

#: In place of slices: repair what an inspection finds.
AUTO = "auto"


def repair(
    path: StackPath,
    output: Annotated[
        Path,
        Argument(metavar="OUTPUT", help="The file to write: .tif, .ome.tif, .ome.zarr or .zarr."),
    ],
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
    views: Annotated[
        int | None,
        Option(
            help="Average over 1, 2, 4 or 8 mirrored and turned views. More views are closer to "
            "the real slice, smoother, and as many times slower.",
            show_default="1",
        ),
    ] = None,
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
    confidence: Annotated[Path | None, Option(hidden=True)] = None,
    follow_links: FollowLinks = False,
    overwrite: Overwrite = False,
) -> None:
    """Repair a stack: synthesize its broken slices or regions from their neighbours.

    With --treatment correct, keep their pixels, and correct brightness and contrast.
    """
    if confidence is not None:
        console.print("Note: --confidence is now --expected-error; the old name will be removed.")
        expected_error = expected_error or confidence
    tidy_beside(output, expected_error)
    check_output(output, path, overwrite)
    file = open_stack(path, follow_links=follow_links)
    stack = file.stack()
    # Nothing that the repair reads may be overwritten.
    given = [each for each in (defects_file, region, Path(model)) if each and each.exists()]
    for target in (output, mask_path(output)) if mask else (output,):
        check_output(target, [*file.files, *given], overwrite, dtype=stack.dtype)
        check_axes(target, file)
    if expected_error is not None:
        check_output(expected_error, [*file.files, *given], overwrite)
        check_axes(expected_error, file)
        check_distinct([output, expected_error, *([mask_path(output)] if mask else [])])
    found = _inspected(file) if defects == AUTO else Marks()
    named = "" if defects == AUTO else defects
    marks = gather(file, named, defects_file, region, insert_after, found, follow_links)
    marks.check(stack.shape)
    with _scratch(output) as pixels, bars() as show:
        for note in file.notes:
            show.say(f"Note: {note}")
        repaired = repair_stack(
            stack,
            marks,
            model,
            device,
            show.engine,
            method=method,
            match=match,
            views=views,
            treatment=treatment,
            scratch=pixels,
        )
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
            )


def _inspected(file: StackFile) -> Marks:
    """Marks of what an inspection finds with high probability, after it was listed."""
    with bars() as show:
        found = look(file, show).at_least(SURE)
        for each in found.finds:
            where = "" if each.region is None else f" at y {each.region.top}, x {each.region.left}"
            then = " It is corrected." if each.suggest == "correct" else ""
            show.say(
                f"Found in slice {each.z}{where}: {each.kind}, p {each.p:.2f}. {each.reason}{then}"
            )
    if not (marks := found.marks()):
        raise BadInput(
            f"Nothing was found with a probability of at least {SURE}; look at what "
            "napari-ssan inspect finds, and name slices with --defects."
        )
    return marks


def _borrowed(repaired: RepairedStack, file: StackFile) -> list[int]:
    """Slices that were synthetic before, and were used as neighbours now."""
    if file.provenance is None:
        return []
    records = repaired.provenance.sections
    used = {repaired.slots[place][0] for record in records for place in record.neighbours}
    return sorted(used & file.provenance.numbers)


def gather(
    file: StackFile,
    slices: str,
    marked: Path | None,
    region: Path | None,
    insert_after: str,
    found: Marks,
    follow_links: bool = False,
) -> Marks:
    """Collect the marks that the options name, and those that were found.

    Raises
    ------
    BadInput
        If there is no mark, or one does not fit the stack.
    """
    stack = file.stack()
    marks = read_marks(marked, file) if marked else Marks()
    marks.update(found)
    named = parse_slices(slices)
    if region is None:
        marks.whole.update(named)
    else:
        flat, regions = _regions(region, stack, named, follow_links)
        for z, pixels in regions.items():
            marks.add_region(z, pixels)
        if not flat:
            marks.whole.update(named)
    for z in parse_slices(insert_after):
        marks.add_missing(z)
    if not marks:
        raise BadInput(
            "Nothing is marked: give --defects, --defects-file, --region or --insert-after."
        )
    return marks


def _regions(
    path: Path, stack: SliceStack, named: list[int], follow_links: bool
) -> tuple[bool, dict[int, Region]]:
    """Return whether a mask image is 2-D, and its non-zero pixels of each section."""
    mask = open_image(path, follow_links=follow_links).data
    long = [axis for axis, length in enumerate(mask.shape) if length > 1]
    shape = tuple(mask.shape[axis] for axis in long)
    flat = shape == stack.shape[1:]
    if flat and not named:
        raise BadInput("A 2-D mask applies to the slices of --defects: name them.")
    # Apart from axes of length 1, a volume has the axes of the stack in their order.
    own = [axis for axis, length in enumerate(stack.source_shape) if length > 1]
    if not flat and shape != tuple(stack.source_shape[axis] for axis in own):
        raise BadInput(
            f"The mask {path.name} has the shape {tuple(mask.shape)}; it must be that of "
            f"the stack, {stack.source_shape}, or of a slice, {stack.shape[1:]}."
        )
    regions = {}
    for z in dict.fromkeys(named) if flat else range(len(stack)):
        index: list[int | slice] = [
            slice(None) if axis in long else 0 for axis in range(len(mask.shape))
        ]
        if not flat:
            index[long[own.index(stack.z_axis)]] = z
        marked = np.asarray(mask[tuple(index)]) != 0
        if marked.any():
            regions[z] = Region.from_mask(marked)
    if not regions:
        raise BadInput(f"The mask {path.name} is empty; pixels to repair must be non-zero.")
    return flat, regions


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
