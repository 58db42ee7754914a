"""Split: which sections train and which validate, in blocks of z that keep apart."""

from __future__ import annotations

from dataclasses import replace

from napari_ssan.errors import BadInput
from napari_ssan.stack.source import Source

#: Sections that a block must have: a triplet's.
SHORTEST = 3
#: Of so many sections, about, the last are for validation; then it begins anew.
PERIOD = 100


def split_by_z(
    start: int, stop: int, share: float, gap: int = 2
) -> tuple[list[range], list[range]]:
    """Divide sections into blocks to train and blocks to validate on.

    A long stack is divided into stretches of about :data:`PERIOD` sections,
    each of which ends in a block for validation, so that this has seen all
    parts of the stack.

    Parameters
    ----------
    start, stop : int
        First section, and the one after the last.
    share : float
        Of the sections that are for validation, from 0 to below 1; a block
        has at least three.
    gap : int
        Sections of no use between blocks of either kind.

    Returns
    -------
    train, validation : list of range

    Raises
    ------
    BadInput
        If there are too few sections, or there is no such share.
    """
    if not 0 <= share < 1:
        raise BadInput(f"A share of {share} for validation is not possible; give 0 to below 1.")
    if share == 0:
        return [range(start, stop)], []
    count = stop - start
    periods = max(1, round(count / PERIOD))
    train, validation = [], []
    for number in range(periods):
        first = start + count * number // periods
        last = start + count * (number + 1) // periods
        held = max(SHORTEST, round(share * (last - first)))
        begin = first + gap if number else first
        end = last - held - gap
        if end - begin < SHORTEST:
            raise BadInput(
                f"{count} sections are too few to train on and to hold {share:.0%} of them back: "
                f"each part needs {SHORTEST} in a row, and {gap} stay unused between them; "
                "use a longer stack or range of sections."
            )
        train.append(range(begin, end))
        validation.append(range(last - held, last))
    return train, validation


def split_source(source: Source, share: float, gap: int = 2) -> tuple[list[Source], list[Source]]:
    """Divide a source as :func:`split_by_z` does, in units of its spacing.

    Raises
    ------
    BadInput
        If it has too few sections, or there is no such share.
    """
    step = source.spacing
    units = -(-len(source.sections) // step)
    train, validation = (
        [
            replace(
                source,
                start=source.start + step * block.start,
                stop=min(source.start + step * block.stop, source.stop),
            )
            for block in blocks
        ]
        for blocks in split_by_z(0, units, share, gap)
    )
    return train, validation
