"""What a run learns from and what it is judged on: never the same sections."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.stack.source import Source
from napari_ssan.stack.split import split_source
from napari_ssan.stack.triplets import TripletSampler
from napari_ssan.training.events import Note

#: Side of the field by which a stack is told from others, in pixels.
FINGERPRINT = 256


def source_record(source: Source) -> dict[str, Any]:
    """What a source is, JSON-serializable: equal for equal sections of equal stacks."""
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

    A source that is given twice is validated on once.

    Raises
    ------
    BadInput
        If one has too few sections for that.
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
        If there is such a section. Stacks are compared by their content, cut the same way.
    """
    for held in validation:
        for source in train:
            low, high = max(source.start, held.start), min(source.stop, held.stop)
            same = source.stack.shape == held.stack.shape
            if same and low < high and _fingerprint(source) == _fingerprint(held):
                raise BadInput(
                    f"Sections {low} to {high - 1} of a stack would be trained on and validated "
                    "on: name other sections for one of the two."
                )


def split_sources(
    sources: Sequence[Source], validation: Sequence[Source], share: float, note: Note
) -> tuple[list[Source], list[Source]]:
    """What is trained on and what is judged by, apart from each other."""
    train, held = list(sources), list(validation)
    if not held:
        train, held = hold_out(sources, share)
        blocks = ", ".join(f"{source.start}-{source.stop - 1}" for source in held)
        note(Notice(f"Held out to validate on: sections {blocks}"))
    check_apart(train, held)
    return train, held


def crops_of(sampler: TripletSampler) -> int:
    """Crops of an epoch: good triplets of direct neighbours, times crops side by side in each."""
    total = 0
    for source, selection in zip(sampler.sources, sampler.selections, strict=True):
        rows, columns = (part.stop - part.start for part in source.area)
        tiles = (rows // sampler.size) * (columns // sampler.size)
        total += tiles * len(selection.triplets)
    return total


def _fingerprint(source: Source) -> str:
    """Of the stack, whichever sections of it the source has."""
    stack = source.stack
    field = tuple(
        slice(max(0, (n - FINGERPRINT) // 2), (n + FINGERPRINT) // 2) for n in stack.shape[1:]
    )
    pixels = stack.read(len(stack) // 2, (field[0], field[1]))
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
