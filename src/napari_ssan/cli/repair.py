"""``napari-ssan repair``: a broken stack in, a repaired file out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from napari_ssan.cli.progress import bars
from napari_ssan.engine.methods import METHODS
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
from napari_ssan.network.model_file import DEFAULT_MODEL
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


def repair(
    input_path: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT", help="TIFF, zarr, OME-Zarr, HDF5, or a folder of single-slice images."
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="A .tif, .ome.tif, .ome.zarr or .zarr.")
    ],
    defects: Annotated[
        str, typer.Option(help="Broken slices, counting from 0, as in 12,47-48.")
    ] = "",
    defects_file: Annotated[
        Path | None, typer.Option(help="Marks as .json, or a table of them as .csv.")
    ] = None,
    region: Annotated[
        Path | None,
        typer.Option(
            help="Mask image, non-zero where broken: of the stack's shape, or 2-D and then for "
            "every slice of --defects."
        ),
    ] = None,
    insert_after: Annotated[
        str,
        typer.Option(help="Slices after which a section is absent; name one twice for two."),
    ] = "",
    model: Annotated[
        str, typer.Option(help="Name of a bundled or own model, or a .safetensors file.")
    ] = DEFAULT_MODEL,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0, cuda:1 ... or mps.")] = "auto",
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "ssan",
    match: Annotated[
        str,
        typer.Option(
            help="Fit the grey values to the neighbours' mean and contrast (mean), or to their "
            "whole histogram (histogram: stronger contrast, a lower PSNR); auto is the model's own."
        ),
    ] = "auto",
    views: Annotated[
        int | None,
        typer.Option(
            help="Average over 1, 2, 4 or 8 mirrored and turned views: closer to the real "
            "section, smoother, and as many times slower; the model's own if unset."
        ),
    ] = None,
    mask: Annotated[
        bool, typer.Option(help="Also write the mask of synthetic pixels, beside OUTPUT.")
    ] = False,
    confidence: Annotated[
        Path | None,
        typer.Option(
            help="Also write the expected absolute error of every pixel to this file: float32, in "
            "grey values, 0 where a pixel is real, NaN where it is not known."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace OUTPUT if it exists.")] = False,
) -> None:
    """Synthesize broken slices, or regions of them, from their neighbours."""
    check_output(output, input_path, overwrite)
    file = open_stack(input_path)
    stack = file.stack()
    # Nothing that the repair reads may be overwritten.
    given = [path for path in (defects_file, region, Path(model)) if path and path.is_file()]
    for target in (output, mask_path(output)) if mask else (output,):
        check_output(target, [*file.files, *given], overwrite, dtype=stack.dtype)
        check_axes(target, file)
    if confidence is not None:
        check_output(confidence, [*file.files, *given], overwrite)
        check_axes(confidence, file)
        check_distinct([output, confidence, *([mask_path(output)] if mask else [])])
    marks = gather(stack, defects, defects_file, region, insert_after)
    marks.check(stack.shape)
    with _scratch(output) as scratch, bars() as show:
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
            scratch=Path(scratch),
        )
        for z in _borrowed(repaired, file):
            show.say(
                f"Note: slice {z} served as a neighbour, though the stack's own record calls it "
                "synthetic; mark it, too, to have real ones used."
            )
        save_stack(
            output,
            repaired,
            file,
            overwrite=overwrite,
            mask=mask,
            error=confidence or False,
            progress=lambda done, total: show.show("writing", done, total),
        )


def _borrowed(repaired: RepairedStack, file: StackFile) -> list[int]:
    """Slices that were synthetic before, and from which others were made now."""
    if file.provenance is None:
        return []
    records = repaired.provenance.sections
    used = {repaired.slots[place][0] for record in records for place in record.neighbours}
    return sorted(used & file.provenance.numbers)


def gather(
    stack: SliceStack, slices: str, file: Path | None, region: Path | None, insert_after: str
) -> Marks:
    """Marks from the options of the command line.

    Raises
    ------
    BadInput
        If an option names no mark that fits the stack.
    """
    shape = stack.shape[1:]
    marks = Marks.read(file, shape) if file else Marks()
    named = parse_slices(slices)
    if region is None:
        marks.whole.update(named)
    else:
        flat, regions = _regions(region, stack, named)
        for z, found in regions.items():
            marks.add_region(z, found)
        if not flat:
            marks.whole.update(named)
    for z in parse_slices(insert_after):
        marks.add_missing(z)
    if not marks:
        raise BadInput(
            "Nothing is marked: give --defects, --defects-file, --region or --insert-after."
        )
    return marks


def _regions(path: Path, stack: SliceStack, named: list[int]) -> tuple[bool, dict[int, Region]]:
    """Whether a mask image is 2-D, and its marked pixels section by section."""
    mask = open_image(path).data
    long = [axis for axis, length in enumerate(mask.shape) if length > 1]
    shape = tuple(mask.shape[axis] for axis in long)
    flat = shape == stack.shape[1:]
    if flat and not named:
        raise BadInput("A 2-D mask is for the slices of --defects; name them.")
    # Axes of length 1 aside, a volume has the axes of the stack in their order.
    own = [axis for axis, length in enumerate(stack.source_shape) if length > 1]
    if not flat and shape != tuple(stack.source_shape[axis] for axis in own):
        raise BadInput(
            f"The mask {path.name} has the shape {tuple(mask.shape)}; "
            f"it needs that of the stack, {stack.source_shape}, or of a section, {stack.shape[1:]}."
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
        raise BadInput(f"The mask {path.name} is empty: non-zero pixels are those to repair.")
    return flat, regions


def _scratch(output: Path) -> tempfile.TemporaryDirectory[str]:
    """Folder for synthesized pixels, on the disk that the output goes to."""
    try:
        return tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent)
    except OSError as error:
        raise BadInput(
            f"The folder {output.parent} cannot be written to: {error.strerror}."
        ) from None
