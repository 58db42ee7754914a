"""What is surely broken in the part of a stack that is learned from or judged on.

It becomes the damage of a source, which is kept clear of like marks, tile by tile. Easy to get
wrong: only what is found with high probability counts, and what is only displaced is good: it is
aligned before it is learned from.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from napari_ssan.inspection.find import SURE, Find, Inspection
from napari_ssan.inspection.inspect import inspect
from napari_ssan.inspection.view import View
from napari_ssan.stack.lazy import LazySections
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import Array, SliceStack, Window, moved
from napari_ssan.stack.source import Source

#: Finds that a sentence names.
NAMED = 8


def leave_out(
    source: Source,
    report: Callable[[int, int], object] = lambda done, total: None,
    cancel: threading.Event | None = None,
) -> tuple[Source, str]:
    """Note what an inspection finds in a source with a probability of at least .9.

    Parameters
    ----------
    source : Source
        The part of a stack, with marks. Sections that are marked as a whole are not read.
    report : callable
        Called with the sections done and the sections in total.
    cancel : threading.Event, optional
        Set it to stop at the next section.

    Returns
    -------
    source : Source
        The same part, with its damage.
    said : str
        A sentence that names what was found; empty if nothing was.

    Raises
    ------
    Cancelled
        If `cancel` was set.
    """
    stack, marks = source.stack, source.marks or Marks()
    (rows, columns), first = source.area, source.start

    def read(z: int, window: Window) -> Array:
        return stack.read(first + z, moved(window, rows.start, columns.start))

    part = SliceStack(LazySections((len(source.sections), *source.extent), stack.dtype, read))
    numbers = range(first, first + len(source.sections))
    known = frozenset(z - first for z in numbers if z in marks.whole or z in stack.incomplete)
    found: tuple[Find, ...] = ()
    for event in inspect(View(part), cancel=cancel, without=known):
        if isinstance(event, Inspection):
            found = event.at_least(SURE).finds
        else:
            report(event.done, event.total)
    seen = [
        _placed(each, first, rows.start, columns.start)
        for each in found if each.kind != "displaced"
    ]  # fmt: skip
    if not seen:
        return source, ""
    damage = Inspection(len(stack), 0, None, tuple(seen)).marks()
    for each in seen:
        if each.gap:
            damage.add_missing(each.z, each.gap)
    return replace(source, damage=damage), _say(seen)


def _placed(find: Find, first: int, top: int, left: int) -> Find:
    """A find in the coordinates of the whole stack."""
    region = find.region
    if region is not None:
        region = Region(region.top + top, region.left + left, region.mask)
    return replace(find, z=find.z + first, region=region)


def _say(finds: list[Find]) -> str:
    kinds: dict[int, dict[str, None]] = {}
    for each in sorted(finds, key=lambda each: each.z):
        kinds.setdefault(each.z, {})[each.kind] = None
    named = [f"{z} ({', '.join(what)})" for z, what in kinds.items()]
    more = len(named) - NAMED
    rest = f" and {more} more" if more > 0 else ""
    what = "slice" if len(named) == 1 else "slices"
    return f"Left out, since they look broken: {what} {', '.join(named[:NAMED])}{rest}"
