"""Whether a neighbour goes on with a spot: tissue does, and damage lies in one section.

Dark and light places are common, so what counts is how few places of a neighbour have as much of
them as the one beside the spot. Of a rod that the knife cuts at a slant, a neighbour has an end,
which is small, so what stands out as far as the spot does counts, too. Easy to get wrong: in its
own MADs, a section that is dark in large parts is nowhere very dark, so the section's own scale is
asked, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_ssan.inspection.look import Sighting
from napari_ssan.inspection.pictures import Float
from napari_ssan.inspection.regions import Candidate
from napari_ssan.inspection.registered import Registered
from napari_ssan.stack.region import Region

#: Signs of spots, dark ones by -1 and light ones by 1, ...
SPOTS = {
    **dict.fromkeys(("dark", "dark wide", "like contamination"), -1),
    **dict.fromkeys(("light", "light wide", "like hole"), 1),
}
#: ... and those that only tell spots which differ much: of these, only an end counts.
STRONG = ("dark", "light")
#: A neighbour goes on with a spot if it has as many pixels that reach this share of what is usual
#: in the spot, no more than so many pixels beside it.
AS_MUCH, BESIDE = 0.75, 4
#: It has an end of one if something there stands out by this share of what the spot does, and such
#: things are so rare that it lies there by a smaller chance than this.
AS_FAR, RARE = 0.75, 0.02


def with_chances(candidates: Sequence[Candidate], beside: Registered) -> tuple[Candidate, ...]:
    """Say of spots how probable it is that a neighbour goes on with them by chance.

    Parameters
    ----------
    candidates : sequence of Candidate
        Regions of a section.
    beside : Registered
        The section and its neighbours.
    """
    seen, told = beside.seen, list(candidates)
    own, *theirs = beside.pictures(lambda each: each.smooth)
    standing, *standing_there = beside.pictures(lambda each: each.standing_out)
    for way in (-1, 1):
        spots = [n for n, each in enumerate(told) if SPOTS.get(each.sign) == way]
        depth, height = way * own, way * standing
        for other, picture, out in zip(beside.others, theirs, standing_there, strict=True):
            scale = np.float32(other.scale.contrast / seen.scale.contrast)
            depth_there = _dark_or_light(way, seen, other, scale, picture)
            height_there, summits = way * scale * out, way * scale * other.summits[way]
            for n in spots:
                each = told[n]
                chance = _chance_of_end(height, height_there, summits, each.region)
                if each.sign not in STRONG:
                    chance = min(chance, _chance(depth, depth_there, each.region))
                told[n] = replace(each, chance=min(each.chance, chance))
    return tuple(told)


def _dark_or_light(
    way: int, seen: Sighting, other: Sighting, scale: np.float32, picture: Float
) -> Float:
    """How dark or light another section is, in its own MADs or those of this one: the greater.

    It has a margin, so that what lies beside a spot can be cut out.
    """
    raised = picture * scale + np.float32(
        (other.scale.level - seen.scale.level) / seen.scale.contrast
    )
    return np.pad(np.maximum(way * picture, way * raised), BESIDE, constant_values=-np.inf)


def _chance(own: Float, other: Float, region: Region) -> float:
    """Share of a neighbour's places that have as much as the one at a spot.

    It is 1 if that place has less than the spot.
    """
    usual = float(np.median(own[region.window][region.mask]))
    enough = np.float32(AS_MUCH * usual)
    height, width = (n + 2 * BESIDE for n in region.mask.shape)
    place = other[region.top : region.top + height, region.left : region.left + width]
    here = int((place >= enough).sum())
    if here < region.pixels:
        return 1.0
    total = np.zeros([n + 1 for n in other.shape], np.int32)
    np.cumsum(other >= enough, axis=0, out=total[1:, 1:])
    total = total.cumsum(1, dtype=np.int32)
    rows = total[height:] - total[:-height]
    return float((rows[:, width:] - rows[:, :-width] >= here).mean())


def _chance_of_end(own: Float, other: Float, summits: Float, region: Region) -> float:
    """Chance by which a neighbour has something at a spot that stands out as far.

    It is 1 if there is no such thing, or if it is not rare. `summits`, (number,), says how far all
    such things of the neighbour stand out.
    """
    part = region.window
    there = float(other[part][region.mask].max())
    if there < AS_FAR * float(own[part][region.mask].max()):
        return 1.0
    chance = float((summits >= there).sum()) * region.mask.size / own.size
    return chance if chance < RARE else 1.0
