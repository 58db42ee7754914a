"""How a user's stack is divided: what is learned from, what is judged on, what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event as Flag

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.finetune.config import CROP, FineTuneConfig
from napari_ssan.network.model_file import read_info
from napari_ssan.stack.comparison import DAMAGED
from napari_ssan.stack.selection import Selection, TripletSections, select
from napari_ssan.stack.source import Source
from napari_ssan.stack.split import split_source
from napari_ssan.training.events import Preparing, Report

#: Bytes of a stack that are used, at most: they are copied, so that the stack may be closed.
LARGEST = 2**30
#: A stack that is larger is narrowed to a field of at least this side, in pixels.
FIELD = 1024
#: Good triplets without which there is nothing to learn.
FEWEST = 4
#: Held-out sections that are judged on at the end, at most.
JUDGED = 8


@dataclass(frozen=True)
class Division:
    """A stack, divided.

    Attributes
    ----------
    source : Source
        What is used of it.
    note : str
        What of it is not used because it is too large, a sentence; else empty.
    crop : int
        Side of the training crops, in pixels.
    train, held : tuple of (int, int)
        Blocks of sections to learn from and to judge on: first, and one after the last.
    held_out : tuple of int
        Sections that are judged on at the end.
    learned : Selection
        Triplets of the blocks to learn from.
    """

    source: Source
    note: str
    crop: int
    train: tuple[tuple[int, int], ...]
    held: tuple[tuple[int, int], ...]
    held_out: tuple[int, ...]
    learned: Selection

    @property
    def text(self) -> str:
        """What is used, such as "212 triplets, 31 left out: 12 marked, 15 too different"."""
        return str(self.learned)

    @property
    def left_out(self) -> tuple[tuple[tuple[int, int, int], str], ...]:
        """Triplets that are not learned from, and why."""
        return tuple(self.learned.reasons.items())


def divide(
    source: Source,
    config: FineTuneConfig,
    report: Report = lambda event: None,
    cancel: Flag | None = None,
) -> Division:
    """Look at a stack, and divide it. Only base model and share of `config` matter.

    Blocks of sections are held out, two sections away from those that are
    learned from; nothing that is marked is learned from or judged on.

    Parameters
    ----------
    source : Source
        The stack, its marks, and what may be used of it.
    config : FineTuneConfig
        Settings.
    report : callable
        Receives :class:`Preparing`.
    cancel : threading.Event, optional
        Set to stop at the next section.

    Raises
    ------
    BadInput
        If nothing can be learned from it, or nothing is left to judge on.
    Cancelled
        If `cancel` was set.
    """
    crop = _crop(source, config.base)
    source, note = narrow(source)
    training, held = split_source(source, config.share)

    def passed_on(done: int, total: int) -> None:
        report(Preparing("looking for triplets", done, total))

    selection = select(source, passed_on, cancel, size=crop)
    blocks = tuple((block.start, block.stop) for block in training)
    train = tuple(block for block in blocks if _within(selection.triplets, [block]))
    learned = Selection(
        tuple(_within(selection.triplets, train)),
        {},
        {
            sections: why
            for sections, why in selection.reasons.items()
            if any(first <= sections[0] and sections[2] < stop for first, stop in blocks)
        },
        {},
        selection.level,
    )
    _check(learned)
    # Next to a block lie sections that are not learned from: the first one may be looked at.
    wide = tuple(
        (max(block.start - 1, source.start), min(block.stop + 1, source.stop)) for block in held
    )
    chosen = {block: _judgeable(source, selection, block) for block in wide}
    judged = sorted({z for sections in chosen.values() for z in sections})
    if not judged:
        names = ", ".join(f"{block.start}-{block.stop - 1}" for block in held)
        raise BadInput(
            f"None of the slices {names}, which are held out to judge by, is good between two good "
            "ones: choose another range of slices, or hold out a larger share."
        )
    places = np.linspace(0, len(judged) - 1, min(JUDGED, len(judged)))
    return Division(
        source,
        note,
        crop,
        train,
        tuple(block for block, sections in chosen.items() if sections),
        tuple(judged[round(place)] for place in places),
        learned,
    )


def narrow(source: Source) -> tuple[Source, str]:
    """Leave out so much of a stack that the rest has at most :data:`LARGEST` bytes.

    A field is kept around the marks, or in the middle, and as many sections as then fit.

    Returns
    -------
    source : Source
        What is left.
    note : str
        A sentence about it; empty if all is.
    """
    rows, columns = source.area
    height, width = rows.stop - rows.start, columns.stop - columns.start
    size = source.stack.dtype.itemsize
    count = len(source.sections)
    if count * height * width * size <= LARGEST:
        return source, ""
    side = max(FIELD, int((LARGEST / (count * size)) ** 0.5))
    centre = _centre(source)
    window = (_around(rows, centre[1], side), _around(columns, centre[2], side))
    pixels = int(np.prod([part.stop - part.start for part in window]))
    fitting = max(1, LARGEST // (pixels * size))
    sections = _around(slice(source.start, source.stop), centre[0], fitting)
    what = "around the marks" if source.marks else "in the middle"
    note = (
        f"The stack is large: {window[0].stop - window[0].start} x "
        f"{window[1].stop - window[1].start} pixels of slices {sections.start} to "
        f"{sections.stop - 1}, {what}, are used; for others, choose a range of slices or a region."
    )
    return replace(source, start=sections.start, stop=sections.stop, window=window), note


def _crop(source: Source, base: str) -> int:
    """Side of the crops that suits the sections and the network."""
    from napari_ssan.network.ssan import SSANConfig

    multiple = SSANConfig.model_validate(read_info(base).config).multiple
    height, width = (part.stop - part.start for part in source.area)
    crop: int = min(CROP, height, width) // multiple * multiple
    if crop == 0:
        raise BadInput(
            f"The slices have {height} x {width} pixels to learn from; at least {multiple} x "
            f"{multiple} are needed."
        )
    return crop


def _within(
    triplets: Sequence[TripletSections], blocks: Sequence[tuple[int, int]]
) -> list[TripletSections]:
    """Triplets that lie in one of some blocks of sections."""
    return [
        triplet
        for triplet in triplets
        if any(first <= triplet.first and triplet.last < stop for first, stop in blocks)
    ]


def _judgeable(source: Source, selection: Selection, block: tuple[int, int]) -> list[int]:
    """Sections of a block that are good as a whole, between two such ones."""
    return [
        triplet.target
        for triplet in _within(selection.triplets, [block])
        if not any(source.touches_mark(z, source.area) for z, _ in triplet.shifted)
    ]


def _centre(source: Source) -> tuple[int, int, int]:
    """The middle of what is marked, or of the source: section, row, column."""
    middle = [
        (part.start + part.stop) // 2 for part in (slice(source.start, source.stop), *source.area)
    ]
    marks = source.marks
    if not marks:
        return middle[0], middle[1], middle[2]
    marked = sorted({*marks.whole, *marks.regions, *marks.missing} & set(source.sections))
    if marked:
        middle[0] = marked[len(marked) // 2]
    regions = [region for z in marked for region in marks.regions.get(z, [])]
    if regions:
        for axis in (0, 1):
            spans = [region.window[axis] for region in regions]
            middle[axis + 1] = int(np.median([(s.start + s.stop) // 2 for s in spans]))
    return middle[0], middle[1], middle[2]


def _around(whole: slice, centre: int, length: int) -> slice:
    """The part of `whole` that is `length` long, with `centre` in the middle where possible."""
    length = min(length, whole.stop - whole.start)
    start = min(max(centre - length // 2, whole.start), whole.stop - length)
    return slice(start, start + length)


def _check(learned: Selection) -> None:
    """Refuse what is too little to learn from."""
    if len(learned.triplets) >= FEWEST:
        return
    if set(learned.reasons.values()) == {DAMAGED}:
        raise BadInput(
            "There is nothing to learn from: in every triplet a slice is constant, far too dark or "
            "bright, or has pixels that are no numbers (NaN); choose another stack, range of "
            "slices or region."
        )
    raise BadInput(
        f"There is too little to learn from: {learned}; at least {FEWEST} triplets are needed. "
        "Choose a longer range of slices, or a region in which more of them are good."
    )
