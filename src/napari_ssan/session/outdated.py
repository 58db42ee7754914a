"""When a repair is out of date: what it was made from turned out to be broken, or has moved.

Knows patches and marks, and no states. Easy to get wrong: a mark that goes away outdates
nothing, unless sections are no longer missing, which moves what spans them.
"""

from __future__ import annotations

from napari_ssan.engine.repaired import Patch
from napari_ssan.stack.marks import Mark, Marks


def depends(patch: Patch, mark: Mark) -> bool:
    """Whether a patch would be another one if something were marked."""
    z, missing = mark
    neighbours = patch.record.neighbours
    return min(neighbours) <= z < max(neighbours) if missing else z in neighbours


def outdated(patch: Patch, planned: Marks, now: Marks) -> bool:
    """Whether marks that were set since the plan concern a patch."""
    for z in patch.record.neighbours:
        if z in now.whole - planned.whole:
            return True
        known = planned.regions.get(z, [])
        if any(region not in known for region in now.regions.get(z, [])):
            return True
    low, high = min(patch.record.neighbours), max(patch.record.neighbours)
    return any(now.missing.get(z, 0) != planned.missing.get(z, 0) for z in range(low, high))
