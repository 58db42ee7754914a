"""Divides a user's stack: sections to learn from, sections to judge on, sections left out.

Nothing is trained or copied here. Blocks to judge on keep two sections of distance from
blocks to learn from; see :mod:`napari_ssan.stack.split`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event as Flag

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.finetune.config import CROP, FineTuneConfig
from napari_ssan.inspection.leave_out import leave_out
from napari_ssan.network.model_file import read_info
from napari_ssan.stack.comparison import DAMAGED
from napari_ssan.stack.selection import Selection, TripletSections, select
from napari_ssan.stack.source import Source
from napari_ssan.stack.split import split_source
from napari_ssan.training.events import Preparing, Report

#: At most this many bytes of a stack are used. They are copied, so that the stack can be closed.
LARGEST = 2**30
#: A larger stack is narrowed to a field of at least this side, in pixels.
FIELD = 1024
#: Fewest good triplets to learn from.
FEWEST = 4
#: Most held-out sections that are judged on at the end.
JUDGED = 8


@dataclass(frozen=True)
class Division:
    """A stack, divided.

    Attributes
    ----------
    source : Source
        The part of the stack that is used.
    note : str
        One sentence: which part is used if the stack is too large; else empty.
    crop : int
        Side of the training crops, in pixels.
    train, held : tuple of (int, int)
        Blocks of sections to learn from and to judge on: the first section, and the one
        after the last.
    held_out : tuple of int
        Sections that are judged on at the end.
    learned : Selection
        Triplets to learn from.
    said : str
        A sentence about it; empty if nothing looks broken.
    """

    source: Source
    note: str
    crop: int
    train: tuple[tuple[int, int], ...]
    held: tuple[tuple[int, int], ...]
    held_out: tuple[int, ...]
    learned: Selection
    said: str = ""

    @property
    def text(self) -> str:
        """The triplets in words: "212 triplets, 31 left out: 12 marked, 15 too different"."""
        return str(self.learned)

    @property
    def left_out(self) -> tuple[tuple[tuple[int, int, int], str], ...]:
        """Triplets that are left out, and why."""
        return tuple(self.learned.reasons.items())


def divide(
    source: Source,
    config: FineTuneConfig,
    report: Report = lambda event: None,
    cancel: Flag | None = None,
) -> Division:
    """Look at a stack, and divide it. Of `config`, only the base model and the share matter.

    Blocks of sections are held out, two sections away from those that are learned from.
    Marked sections are neither learned from nor judged on.

    Parameters
    ----------
    source : Source
        The stack, its marks, and the part of it that may be used.
    config : FineTuneConfig
    report : callable
        Receives :class:`Preparing`.
    cancel : threading.Event, optional
        Set it to stop at the next section.

    Raises
    ------
    BadInput
        If too few triplets are good, or no section is left to judge on.
    Cancelled
        If `cancel` was set.
    """
    crop = _crop(source, config.base)
    source, note = narrow(source)
    training, held = split_source(source, config.share)

    def passed_on(done: int, total: int) -> None:
        report(Preparing("looking for triplets", done, total))

    def looking(done: int, total: int) -> None:
        report(Preparing("looking for broken slices", done, total))

    source, said = leave_out(source, looking, cancel)
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
    )
    _check(learned)
    # Sections next to a block are not learned from, so the nearest can serve as a neighbour.
    wide = tuple(
        (max(block.start - 1, source.start), min(block.stop + 1, source.stop)) for block in held
    )
    chosen = {block: _judgeable(source, selection, block) for block in wide}
    judged = sorted({z for sections in chosen.values() for z in sections})
    if not judged:
        names = ", ".join(f"{block.start}-{block.stop - 1}" for block in held)
        raise BadInput(
            f"Slices {names} are held out for judging, but none of them is good and lies between "
            "two good slices: choose another range of slices, or hold out a larger share."
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
        said,
    )


def narrow(source: Source) -> tuple[Source, str]:
    """Reduce a stack to at most :data:`LARGEST` bytes.

    This keeps a field around the marks, or in the middle, and as many sections as fit.

    Returns
    -------
    source : Source
        The part that is kept.
    note : str
        One sentence about it; empty if everything is kept.
    """
    rows, columns = source.area
    height, width = source.extent
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
        f"The stack is large, so only {window[0].stop - window[0].start} x "
        f"{window[1].stop - window[1].start} pixels of slices {sections.start} to "
        f"{sections.stop - 1} are used, {what}; choose a range of slices or a region to use others."
    )
    return replace(source, start=sections.start, stop=sections.stop, window=window), note


def _crop(source: Source, base: str) -> int:
    """Side of the crops that fits the sections and the network."""
    from napari_ssan.network.ssan import SSANConfig

    multiple = SSANConfig.model_validate(read_info(base).config).multiple
    height, width = source.extent
    crop: int = min(CROP, height, width) // multiple * multiple
    if crop == 0:
        raise BadInput(
            f"Only {height} x {width} pixels of the slices can be used; at least {multiple} x "
            f"{multiple} are needed."
        )
    return crop


def _within(
    triplets: Sequence[TripletSections], blocks: Sequence[tuple[int, int]]
) -> list[TripletSections]:
    return [
        triplet
        for triplet in triplets
        if any(first <= triplet.first and triplet.last < stop for first, stop in blocks)
    ]


def _judgeable(source: Source, selection: Selection, block: tuple[int, int]) -> list[int]:
    """Sections of a block without any mark, between two such sections."""
    return [
        triplet.target
        for triplet in _within(selection.triplets, [block])
        if not any(source.touches_mark(z, source.area) for z, _ in triplet.shifted)
    ]


def _centre(source: Source) -> tuple[int, int, int]:
    """Middle of the marks, or of the source if there are none: section, row, column."""
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
    """Part of `whole` that is `length` long, with `centre` in the middle if possible."""
    length = min(length, whole.stop - whole.start)
    start = min(max(centre - length // 2, whole.start), whole.stop - length)
    return slice(start, start + length)


def _check(learned: Selection) -> None:
    if len(learned.triplets) >= FEWEST:
        return
    if set(learned.reasons.values()) == {DAMAGED}:
        raise BadInput(
            "There is nothing to learn from: every triplet has a slice that is constant, far too "
            "dark or bright, or has pixels that are not numbers (NaN); choose another stack, range "
            "of slices or region."
        )
    raise BadInput(
        f"There is too little to learn from: {learned}; at least {FEWEST} triplets are needed. "
        "Choose a longer range of slices, or a region where more slices are good."
    )
