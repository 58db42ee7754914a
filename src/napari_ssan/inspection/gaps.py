"""Finds where sections are lost between two good ones.

Easy to get wrong: one broken section parts two pairs at most, so a third must tell of a gap, too.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np

from napari_ssan.inspection.find import Find
from napari_ssan.inspection.judge import ENOUGH, Usual
from napari_ssan.inspection.neighbours import Traits
from napari_ssan.inspection.reasons import lost_reason

#: Sections to each side whose likeness is usual.
WIDE = 5
#: The sum of what three pairs tell is at most so many times the least.
EACH = 3.5


def gap_figures(traits: Sequence[Traits]) -> dict[int, float]:
    """By how much sections before each place resemble those behind it less than usual.

    Three pairs tell it: those beside the place, and those with one of them in between. All must be
    less alike than pairs around them.

    Returns
    -------
    dict of int to float
        Differences of correlations, by the section before the place.
    """
    near = {own.z: own.after for own in traits if own.neighbours == (own.z - 1, own.z + 1)}
    wide = {z: traits[z].across for z in near}

    def less(pairs: Mapping[int, float], z: int, parted: tuple[int, ...]) -> float:
        around = [pairs[n] for n in range(z - WIDE, z + WIDE + 2) if n in pairs and n not in parted]
        return float(np.median(around)) - pairs[z] if around else 0.0

    return {
        z: min(sum(each), EACH * min(each)) if min(each) > 0 else min(each)
        for z in near
        if z + 1 in near and len(near) > ENOUGH
        for each in [(less(near, z, (z,)), *(less(wide, n, (z, z + 1)) for n in (z, z + 1)))]
    }


def planted_gaps(traits: Sequence[Traits], usual: Mapping[int, float]) -> list[float]:
    """The same figure for places where two sections are left out.

    Parameters
    ----------
    traits : sequence of Traits
        All sections.
    usual : mapping of int to float
        Usual correlation of sections that are so many apart.
    """
    alike = [usual.get(k, 0.0) for k in (1, 2)]
    return [
        alike[0] - each.apart[3] + 2 * (alike[1] - each.apart[4])
        for each in traits if 4 in each.apart
    ]  # fmt: skip


def lost_sections(
    traits: Sequence[Traits],
    figures: Mapping[int, float],
    apart: Mapping[int, float],
    usual: Usual,
    broken: Container[int],
) -> list[Find]:
    """Places between two good sections where others seem to be lost.

    Parameters
    ----------
    traits : sequence of Traits
        All sections.
    figures : mapping of int to float
        From :func:`gap_figures`.
    apart : mapping of int to float
        Usual correlation of sections that are so many apart; of adjacent ones at least.
    usual : Usual
        What is usual in the stack.
    broken : container of int
        Sections that may be broken as a whole. Nothing is lost beside them.
    """
    found = []
    for z, figure in figures.items():
        if any(n in broken for n in range(z - 1, z + 3)):
            continue
        score = usual.score("lost", figure)
        likeness = traits[z].after
        steps = min(apart, key=lambda k: abs(apart[k] - likeness))
        if steps > 1:
            p = usual.probability("lost", score)
            reason = lost_reason(z, steps - 1, likeness, apart[1])
            found.append(Find(z, "discontinuity", score, p, reason, gap=steps - 1))
    return found
