"""Splits the data of a run into sections to train on and sections to validate on.

The two never share a section. Stacks are compared by their content, so the same stack is
recognized under two paths.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.stack.binned import Binned
from napari_ssan.stack.sections import middle
from napari_ssan.stack.source import Source
from napari_ssan.stack.split import split_source
from napari_ssan.stack.triplets import TripletSampler
from napari_ssan.training.events import Note

#: Side of the field that identifies a stack, in pixels.
FINGERPRINT = 256
#: Side of the cube that identifies a volume along whichever axis it is cut, in voxels.
CORE = 8

#: Part of a volume, along each of its axes.
Box = tuple[range, ...]


def source_record(source: Source) -> dict[str, Any]:
    """Identify a source, JSON-serializable: equal for equal sections of equal stacks."""
    rows, columns = source.area
    marks = source.marks.to_json() if source.marks else ""
    return {
        "shape": list(source.stack.shape),
        "dtype": source.stack.dtype.name,
        "sections": [source.start, source.stop, source.spacing],
        "area": [rows.start, rows.stop, columns.start, columns.stop],
        "marks": hashlib.sha256(marks.encode()).hexdigest()[:16] if marks else "",
        "fingerprint": _fingerprint(source),
    }


def hold_out(sources: Sequence[Source], share: float) -> tuple[list[Source], list[Source]]:
    """Divide sources into blocks of sections to train on and blocks to validate on.

    A source that is given twice is used for validation only once.

    Raises
    ------
    BadInput
        If a source has too few sections.
    """
    train: list[Source] = []
    validation: dict[str, Source] = {}
    for source in sources:
        learned, held = split_source(source, share)
        train += learned
        validation |= {str(source_record(block)): block for block in held}
    return train, list(validation.values())


def check_apart(train: Sequence[Source], validation: Sequence[Source]) -> None:
    """Refuse to validate on sections that are trained on.

    Raises
    ------
    BadInput
        If there is such a section, also one that is cut along another axis. Stacks of the same
        shape are compared by their content.
    """
    places = {id(source): _place(source) for source in (*train, *validation)}
    for held in validation:
        for source in train:
            low, high = max(source.start, held.start), min(source.stop, held.stop)
            same = source.stack.shape == held.stack.shape
            if same and low < high and _fingerprint(source) == _fingerprint(held):
                raise BadInput(
                    f"Slices {low} to {high - 1} of a stack would be used both to train and to "
                    "validate: choose other slices for one of the two."
                )
            (volume, axis, box), (other, across, part) = places[id(source)], places[id(held)]
            if volume == other and axis != across and _meet(box, part):
                raise BadInput(
                    f"A stack is cut along axes {axis} and {across}, and the same part of it would "
                    "be used both to train and to validate: take other rows or columns for one of "
                    "the two, as in stack.tif[::5,0:100]@1."
                )


def split_sources(
    sources: Sequence[Source], validation: Sequence[Source], share: float, note: Note
) -> tuple[list[Source], list[Source]]:
    """Return sources to train on and to validate on; hold sections out if none are given."""
    train, held = list(sources), list(validation)
    if not held:
        train, held = hold_out(sources, share)
        blocks = ", ".join(f"{source.start}-{source.stop - 1}" for source in held)
        note(Notice(f"Held out for validation: slices {blocks}"))
    check_apart(train, held)
    return train, held


def crops_of(sampler: TripletSampler) -> int:
    """Count the crops of an epoch: triplets of direct neighbours times crops side by side."""
    return sum(
        math.prod(length // sampler.size for length in source.extent) * len(selection.triplets)
        for source, selection in zip(sampler.sources, sampler.selections, strict=True)
    )


def _fingerprint(source: Source) -> str:
    """Fingerprint of the whole stack, not only of the source's sections."""
    stack = source.stack
    pixels = stack.read(len(stack) // 2, middle(stack.shape[1:], FINGERPRINT))
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:16]


def _meet(one: Box, other: Box) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _place(source: Source) -> tuple[str, int, Box]:
    """What volume a source is cut from, along which axis, and which part of the volume it is.

    The volume is known by its shape and by what lies in its middle, in any order.
    """
    stack, factor = source.stack, 1
    while isinstance(binned := stack.data, Binned):
        stack, factor = binned.stack, factor * binned.factor
    box = [range(1)] * len(stack.source_shape)
    box[stack.z_axis] = source.sections
    for axis, part in zip((stack.y_axis, stack.x_axis), source.area, strict=True):
        box[axis] = range(part.start * factor, part.stop * factor)
    core = tuple(slice(n // 2, n // 2 + CORE) for n in stack.source_shape)
    pixels = np.sort(np.asarray(stack.data[core]), axis=None)
    known = hashlib.sha256(f"{stack.source_shape}".encode() + pixels.tobytes()).hexdigest()
    return known, stack.z_axis, tuple(box)
