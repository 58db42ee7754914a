"""Whether a neighbour goes on with a spot: tissue does, and damage lies in one section.

Dark and light places are common, so what counts is how few places of a neighbour have as much of
them as the one beside the spot. Easy to get wrong: in its own MADs, a section that is dark in
large parts is nowhere very dark, so the section's own scale is asked, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_ssan.inspection.look import Float, Sighting
from napari_ssan.inspection.regions import Candidate
from napari_ssan.stack.region import Region

#: Signs of spots that are dark, and light.
SPOTS = {-1: ("dark wide", "like contamination"), 1: ("light wide", "like hole")}
#: A neighbour goes on with a spot if it has as many pixels that reach this share of what is usual
#: in the spot, no more than so many pixels beside it.
AS_MUCH, BESIDE = 0.75, 4


def with_chances(
    candidates: Sequence[Candidate],
    seen: Sighting,
    own: Float,
    others: Sequence[tuple[Sighting, Float]],
) -> tuple[Candidate, ...]:
    """Say of spots how probable it is that a neighbour goes on with them by chance.

    Parameters
    ----------
    candidates : sequence of Candidate
        Regions of a section.
    seen : Sighting
        The section.
    own : ndarray, (height, width)
        The section, smoothed, at the resolution of comparison.
    others : sequence of (Sighting, ndarray)
        Each neighbour, and the same picture of it, registered.
    """
    pictures = [(picture, _on_scale_of(seen, other, picture)) for other, picture in others]
    told = list(candidates)
    for way, signs in SPOTS.items():
        most = [
            np.pad(np.maximum(way * one, way * other), BESIDE, constant_values=-np.inf)
            for one, other in pictures
        ]
        for n, each in enumerate(told):
            if each.sign in signs:
                chance = min(_chance(way * own, other, each.region) for other in most)
                told[n] = replace(each, chance=chance)
    return tuple(told)


def _on_scale_of(seen: Sighting, other: Sighting, picture: Float) -> Float:
    """A picture of another section in the MADs of this one, from its median."""
    scale = np.float32(other.contrast / seen.contrast)
    return picture * scale + np.float32((other.level - seen.level) / seen.contrast)


def _chance(own: Float, other: Float, region: Region) -> float:
    """Share of a neighbour's places that have as much as the one at a spot.

    It is 1 if that place has less than the spot. The neighbour has a margin of what lies beside it.
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
