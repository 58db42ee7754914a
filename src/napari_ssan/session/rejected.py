"""Places at which nothing is suggested any more.

Another inspection outlines the same damage a little differently, so what was rejected is known by
its place, not by its pixels.
"""

from __future__ import annotations

from typing import Any

from napari_ssan.errors import BadInput
from napari_ssan.inspection.find import Find

#: First and last row, first and last column.
Box = tuple[int, int, int, int]
#: A section, and the box of a region; None for a whole section.
Place = tuple[int, Box | None]
#: The box that stands for the gap after a section.
GAP: Box = (-1, -1, -1, -1)
#: A place covers another if so much of its box lies in it.
COVERED = 0.5


def place_of(find: Find) -> Place:
    """Where a find lies."""
    if find.gap:
        return find.z, GAP
    if find.region is None:
        return find.z, None
    rows, columns = find.region.window
    return find.z, (rows.start, rows.stop - 1, columns.start, columns.stop - 1)


def covers(one: Place, other: Place) -> bool:
    """Whether one place is the other, or has most of its box."""
    (z, box), (where, inner) = one, other
    if z != where or box is None or inner is None:
        return one == other
    rows = min(box[1], inner[1]) - max(box[0], inner[0]) + 1
    columns = min(box[3], inner[3]) - max(box[2], inner[2]) + 1
    area = (inner[1] - inner[0] + 1) * (inner[3] - inner[2] + 1)
    return max(rows, 0) * max(columns, 0) >= COVERED * area


def places_from(entries: Any) -> frozenset[Place]:
    """Read places from JSON.

    Raises
    ------
    BadInput
        If it holds something else.
    """
    try:
        return frozenset(
            (int(z), None if box is None else _box(*map(int, box))) for z, box in entries
        )
    except (TypeError, ValueError) as error:
        raise BadInput(f"The rejected suggestions cannot be read ({error}).") from error


def _box(top: int, bottom: int, left: int, right: int) -> Box:
    return top, bottom, left, right
