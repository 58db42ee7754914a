"""Splits sections into blocks to train on and blocks to validate on, with gaps between them.

Neighbouring sections look alike, so a split at random would validate on what was trained on.
"""

from __future__ import annotations

from dataclasses import replace

from napari_ssan.errors import BadInput
from napari_ssan.stack.source import Source

#: Fewest sections of a block: a triplet.
SHORTEST = 3
#: About this many sections have one block for validation, at their end.
PERIOD = 100


def split_by_z(
    start: int, stop: int, share: float, gap: int = 2
) -> tuple[list[range], list[range]]:
    """Split sections into blocks to train on and blocks to validate on.

    A long stack is divided into stretches of about :data:`PERIOD` sections. Each ends with
    a block for validation, so that validation covers all parts of the stack.

    Parameters
    ----------
    start, stop : int
        First section, and the one after the last.
    share : float
        Share of the sections for validation, from 0 to below 1. A block has at least
        three sections.
    gap : int
        Number of unused sections between blocks of different kinds.

    Returns
    -------
    train, validation : list of range

    Raises
    ------
    BadInput
        If there are too few sections, or the share is out of range.
    """
    if not 0 <= share < 1:
        raise BadInput(f"The share for validation must be from 0 to below 1, not {share}.")
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
                f"{count} slice{'s are' if count > 1 else ' is'} too few to train on and to hold "
                f"out {share:.0%} of them: "
                f"each part needs {SHORTEST} in a row, and {gap} stay unused between them; "
                "use a longer stack or range of slices."
            )
        train.append(range(begin, end))
        validation.append(range(last - held, last))
    return train, validation


def split_source(source: Source, share: float, gap: int = 2) -> tuple[list[Source], list[Source]]:
    """Split a source as :func:`split_by_z` does, in units of its spacing.

    Raises
    ------
    BadInput
        If it has too few sections, or the share is out of range.
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
