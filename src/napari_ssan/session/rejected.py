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
#: A section, the box of a region (None for a whole section), and the kind of what is there. The
#: kind is empty for whole sections and gaps, and in files of earlier versions.
Place = tuple[int, Box | None, str]
#: The box that stands for the gap after a section.
GAP: Box = (-1, -1, -1, -1)
#: Two boxes are one place if they share so much of what either of them covers.
SHARED = 0.5


def place_of(find: Find) -> Place:
    """Where a find lies."""
    if find.gap:
        return find.z, GAP, ""
    if find.region is None:
        return find.z, None, ""
    rows, columns = find.region.window
    return find.z, (rows.start, rows.stop - 1, columns.start, columns.stop - 1), find.kind


def same(one: Place, other: Place) -> bool:
    """Whether two places are one: the same section and kind, and boxes that mostly coincide."""
    (z, first, kind), (where, second, what) = one, other
    if z != where or first is None or second is None:
        return (z, first) == (where, second)
    shared = _area(*map(max, first[::2], second[::2]), *map(min, first[1::2], second[1::2]))
    covered = _area(*first[::2], *first[1::2]) + _area(*second[::2], *second[1::2]) - shared
    return shared >= SHARED * covered and (kind == what or "" in (kind, what))


def _area(top: int, left: int, bottom: int, right: int) -> int:
    return max(bottom - top + 1, 0) * max(right - left + 1, 0)


def places_from(entries: Any) -> frozenset[Place]:
    """Read places from JSON.

    Raises
    ------
    BadInput
        If it holds something else.
    """
    try:
        return frozenset(
            (int(z), None if box is None else _box(*map(int, box)), str(*kind))
            for z, box, *kind in entries
        )
    except (TypeError, ValueError) as error:
        raise BadInput(f"The rejected suggestions cannot be read ({error}).") from error


def _box(top: int, bottom: int, left: int, right: int) -> Box:
    return top, bottom, left, right
