"""Marks from the options of ``napari-ssan repair``: slices, files, masks, and what is found.

Text such as ``12,47-48`` is read by :mod:`napari_ssan.stack.marks_io`. Easy to get wrong: options
add up, except that a 2-D mask applies to the slices that are named.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_ssan.cli.inspect import look
from napari_ssan.cli.progress import bars
from napari_ssan.errors import BadInput
from napari_ssan.files import StackFile, marks_files, open_image
from napari_ssan.inspection.find import SURE
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack

#: In place of slices: repair what an inspection finds.
AUTO = "auto"


def read_marks(
    file: StackFile,
    defects: str,
    defects_file: Path | None,
    region: Path | None,
    insert_after: str,
    follow_links: bool = False,
) -> Marks:
    """What the options mark; `defects` may be `AUTO`: then the rest is read before the inspection.

    Raises
    ------
    BadInput
        If there is no mark, or one does not fit the stack.
    """
    auto = defects == AUTO
    marks = gather(file, "" if auto else defects, defects_file, region, insert_after, follow_links)
    if auto:
        if marks:
            marks.check(file.stack().shape)
        _add_found(marks, file)
    elif not marks:
        raise BadInput(
            f"{defects_file.name} marks nothing; name slices with --defects."
            if defects_file
            else "Nothing is marked: give --defects, --defects-file, --region or --insert-after."
        )
    return marks


def _add_found(marks: Marks, file: StackFile) -> None:
    """Mark what an inspection finds with high probability, after it was listed."""
    with bars() as show:
        found = look(file, show).at_least(SURE)
        for each in found.finds:
            where = f"{'after' if each.gap else 'in'} slice {each.z}"
            if each.region is not None:
                where += f" at y {each.region.top}, x {each.region.left}"
            then = " It is corrected." if each.suggest == "correct" else ""
            show.say(f"Found {where}: {each.kind}, p {each.p:.2f}. {each.reason}{then}")
        lost = replace(found, finds=tuple(f for f in found.finds if f.z not in marks.missing)).lost
        if lost:
            show.say(f"Note: lost slices are inserted with --insert-after {lost} only.")
    marks.update(found.marks())
    if not marks:
        what = "Nothing but lost slices" if lost else "Nothing"
        raise BadInput(
            f"{what} was found with a probability of at least {SURE}; look at what "
            "napari-ssan inspect finds, and name slices with --defects."
        )


def gather(
    file: StackFile,
    slices: str,
    marked: Path | None,
    region: Path | None,
    insert_after: str,
    follow_links: bool = False,
) -> Marks:
    """Collect the marks that the options name.

    Raises
    ------
    BadInput
        If one cannot be read.
    """
    stack = file.stack()
    marks = marks_files.read_marks(marked, file) if marked else Marks()
    named = parse_slices(slices)
    if region is None:
        marks.whole.update(named)
    else:
        flat, regions = _regions(region, stack, named, follow_links)
        for z, painted in regions.items():
            marks.add_region(z, painted)
        if not flat:
            marks.whole.update(named)
    for z in parse_slices(insert_after):
        marks.add_missing(z)
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
