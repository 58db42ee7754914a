"""Compares a section with its neighbours: measures how alike they are, and looks for regions.

Regions are compared in :mod:`~napari_ssan.inspection.regions`. What is usual in the stack, and
so what a figure means, is decided in :mod:`~napari_ssan.inspection.judge`. Easy to get wrong: a
section at the end of the stack, or beside a blank one, is compared with the nearest two that show
something, on whichever side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from napari_ssan.inspection.continuation import with_chances
from napari_ssan.inspection.figures import clipped
from napari_ssan.inspection.lines import beyond_lines
from napari_ssan.inspection.look import Sighting
from napari_ssan.inspection.pictures import Float, Mask
from napari_ssan.inspection.regions import Candidate, odd_regions
from napari_ssan.inspection.registered import Registered
from napari_ssan.inspection.shifts import (
    LEVER,
    in_structures,
    likeness_of,
    likeness_on_each_other,
    motion_between,
    move,
    move_each,
    shift_between,
    turn_between,
)
from napari_ssan.inspection.signs import rule_maps
from napari_ssan.stack.alignment import correlation

#: Sections to each side that may serve as neighbours.
REACH = 2
#: Turns are tried where neighbours are less than so many times as unlike each other as unlike the
#: section (1 less the correlation), or where its quadrants are turned by so much, as a share of the
#: side.
NO_NEARER, SEEMS_TURNED = 1.4, 0.01
#: Rectangles along a side, of which the means tell how a section is shaded.
SHADES = 6


@dataclass
class Traits:
    """Figures of a section by which whole sections are judged.

    Attributes
    ----------
    z : int
        The section.
    flaw : str
        Why there is nothing to see in it.
    level, contrast, sharpness, stripes, specks
        As in :class:`~napari_ssan.inspection.look.Sighting`.
    before, after, across : float
        Correlation with the neighbours, and of the neighbours with each other.
    motion : ndarray, (3,)
        How its neighbours must be moved and turned to lie on it, between both: rows, columns, and
        how far the turn moves pixels, as shares of its shorter side.
    turned : float
        By how many degrees it must be turned to resemble its neighbours; 0 if turning is no help.
    fit : float
        Lower correlation with a neighbour, after that turn if there is one.
    twin : float
        Correlation of grain with the section before: near 1 in a copy.
    shaded : float
        By how much half of its area or more is darker or lighter than in both neighbours, in MADs.
    detail : float
        Correlation of its structure, without shading, with that of the neighbour that it is liker.
    apart : dict of int to float
        Correlations of sections around it that are so many sections apart.
    neighbours : tuple of int
        The two sections that it was compared with; empty if there were no two.
    clipped : float
        Share of its pixels that are black or white.
    lost : ndarray of bool, or None
        Pixels that are not finite, as in :class:`~napari_ssan.inspection.look.Sighting`.
    """

    z: int
    flaw: str = ""
    level: float = 0.0
    contrast: float = 1.0
    sharpness: Float = field(default_factory=lambda: np.zeros(4, np.float32))
    stripes: float = 0.0
    specks: float = 0.0
    before: float = 0.0
    after: float = 0.0
    across: float = 0.0
    motion: Float = field(default_factory=lambda: np.zeros(3, np.float32))
    turned: float = 0.0
    fit: float = 0.0
    twin: float = 0.0
    shaded: float = 0.0
    detail: float = 0.0
    apart: dict[int, float] = field(default_factory=dict)
    neighbours: tuple[int, ...] = ()
    clipped: float = 0.0
    lost: Mask | None = field(default=None, repr=False)

    @property
    def end(self) -> bool:
        """Whether both neighbours are on one side."""
        return bool(self.neighbours) and not min(self.neighbours) < self.z < max(self.neighbours)

    @property
    def between(self) -> bool:
        """Whether it was compared with the sections right before and after it."""
        return self.neighbours == (self.z - 1, self.z + 1)


def compare(
    seen: Sighting, window: Mapping[int, Sighting], regions: bool = True
) -> tuple[Traits, tuple[Candidate, ...]]:
    """Compare a section with its neighbours.

    Parameters
    ----------
    seen : Sighting
        The section.
    window : mapping of int to Sighting
        The sections around it; the one of its own number is not used.
    regions : bool
        Whether to look for regions, which costs more than all else.

    Returns
    -------
    traits : Traits
        Figures of the whole section.
    candidates : tuple of Candidate
        Regions that might be damaged.
    """
    traits = Traits(
        seen.z,
        seen.flaw,
        seen.level,
        seen.contrast,
        seen.sharpness,
        seen.stripes,
        seen.specks,
        lost=seen.lost,
    )
    if not seen.flaw:
        traits.clipped = clipped(seen.pixels)
    usable = [z for z, each in window.items() if z != seen.z and not each.flaw]
    near = sorted(usable, key=lambda z: (abs(z - seen.z), -z))
    if seen.flaw or len(near) < 2:
        return traits, ()
    first = near[0]
    second = next((z for z in near if (z < seen.z) != (first < seen.z)), near[1])
    low, high = traits.neighbours = tuple(sorted((first, second)))
    beside = Registered(seen, (window[low], window[high]))
    own, before, after = beside.pictures(lambda each: each.smooth)
    if beside.valid.any():
        traits.before, traits.after = (
            correlation(own[beside.valid], each[beside.valid]) for each in (before, after)
        )
    traits.across = likeness_on_each_other(*beside.others)
    traits.fit = min(traits.before, traits.after)
    if not traits.end:
        traits.shaded = _shaded(own - before, own - after)
        traits.detail = max(
            likeness_of(seen.structure, move(each.structure, in_structures(shift)))
            for each, shift in zip(beside.others, beside.shifts, strict=True)
        )
        motions = [motion_between(seen, each) for each in beside.others]
        # The nearer one counts for more, so that tissue that drifts lies where it should.
        weights = (high - seen.z, seen.z - low)
        traits.motion = np.average(motions, axis=0, weights=weights).astype(np.float32)
        unlike = 1 - max(traits.before, traits.after)
        if 1 - traits.across < NO_NEARER * unlike or abs(traits.motion[2]) > SEEMS_TURNED:
            traits.turned, fit = turn_between(seen, *beside.others)
        traits.motion[2] = -LEVER * np.radians(traits.turned)
        if traits.turned:
            traits.fit = fit
    if seen.z - 1 in window and not (previous := window[seen.z - 1]).flaw:
        traits.twin = correlation(seen.grain, previous.grain)
    traits.apart = _apart(window)
    if not regions:
        return traits, ()
    maps = rule_maps(
        seen.unit,
        seen.fine,
        (own, before, after),
        beside.pictures(lambda each: each.means),
        beside.theirs(lambda each: each.fine),
        _odd_lines(beside),
    )
    found = odd_regions(beside, maps, _learned(beside, maps))
    return traits, with_chances(found, beside)


def _learned(beside: Registered, maps: Mapping[str, Float]) -> dict[str, Float]:
    """What the network makes of a section beside two others, where all can be seen."""
    from napari_ssan.inspection.damage_network import damage_maps

    own, before, after = beside.pictures(lambda each: each.evidence)
    seen = {sign: beside.masked(each) for sign, each in maps.items()}
    return damage_maps(own, before, after, seen)


def _shaded(*beyond: Float) -> float:
    """How far most of a section lies beyond two others, by its differences from them.

    It is 0 where a section is too small to tell.
    """
    if min(beyond[0].shape) < SHADES:
        return 0.0
    means = []
    for each in beyond:
        rows, columns = (n // SHADES for n in each.shape)
        cut = each[: rows * SHADES, : columns * SHADES]
        means.append(cut.reshape(SHADES, rows, SHADES, columns).mean(axis=(1, 3)))
    one, other = means
    both = np.where(one * other > 0, np.minimum(np.abs(one), np.abs(other)), 0)
    return float(np.median(both))


def _odd_lines(beside: Registered) -> dict[str, Float]:
    """By how much dark and light lines of a section exceed those of both neighbours."""
    found = {}
    for sign, way in (("dark", np.int16(-1)), ("light", np.int16(1))):
        theirs = (
            move_each(each.near_dark if sign == "dark" else each.near_light, shift)
            for each, shift in zip(beside.others, beside.shifts, strict=True)
        )
        found[sign] = beyond_lines(way * beside.seen.lines, *theirs)
    return found


def _apart(window: Mapping[int, Sighting]) -> dict[int, float]:
    """Correlations of sections of the window, by how many sections they are apart."""
    found = {}
    low = min(window)
    moved = window[low].tissue
    for z in range(low + 1, max(window) + 1):
        if z not in window or window[low].flaw or window[z].flaw:
            break
        step = shift_between(window[z], window[z - 1])
        moved = move(moved, step)
        if not np.isfinite(moved).any():
            break
        found[z - low] = likeness_of(window[z].tissue, moved)
    return found
