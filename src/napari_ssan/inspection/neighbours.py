"""Compares a section with its neighbours: registers them, and measures how alike they are.

Regions are compared in :mod:`~napari_ssan.inspection.regions`. What is usual in the stack, and
so what a figure means, is decided in :mod:`~napari_ssan.inspection.judge`. Easy to get wrong: a
section at the end of the stack, or beside a blank one, is compared with the nearest two that show
something, on whichever side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import rotate

from napari_ssan.inspection.continuation import with_chances
from napari_ssan.inspection.look import Float, Mask, Sighting, clipped, halved, middle
from napari_ssan.inspection.regions import Candidate, odd_regions
from napari_ssan.inspection.signs import rule_maps
from napari_ssan.stack.alignment import (
    GAIN,
    LARGEST,
    NOWHERE,
    REDUCTION,
    SMALLEST,
    Shift,
    correlation,
    offset_between,
    structure,
    taper,
)

#: Sections to each side that may serve as neighbours.
REACH = 2
#: A shift that is shorter than so many pixels may raise the correlation by less than `GAIN`.
FAR = 12
#: Turns are tried where neighbours are less than so many times as unlike each other as unlike the
#: section (1 less the correlation), or where its quadrants are turned by so much, as a share of the
#: side; correlation must rise by this much.
NO_NEARER, SEEMS_TURNED, RISE = 1.4, 0.01, 0.03
#: Quadrants that lie farther from where the whole section lies cannot be believed, in pixels.
ASTRAY = 24
#: Rectangles along a side, of which the means tell how a section is shaded.
SHADES = 6
#: How far a turn by one radian moves the pixels of a square of side 1, on average.
LEVER = 6**-0.5
#: The turns, in degrees; 0 first, which the others are compared with.
TURNS = (0.0, -8.0, -6.0, -4.5, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0)


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
    shifts = {z: _shift(seen, window[z]) for z in (low, high)}
    before, after = (_moved(window[z].smooth, shifts[z]) for z in (low, high))
    valid = np.isfinite(before) & np.isfinite(after)
    before, after = (np.where(valid, each, 0) for each in (before, after))
    own = np.where(valid, seen.smooth, 0)
    traits.before, traits.after = (correlation(own[valid], each[valid]) for each in (before, after))
    traits.across = _likeness(window[low], window[high])
    traits.fit = min(traits.before, traits.after)
    if not traits.end:
        traits.shaded = _shaded(own - before, own - after)
        traits.detail = max(
            _likeness_where(seen.structure, _moved(window[z].structure, _reduced(shifts[z])))
            for z in (low, high)
        )
        motions = [_motion(seen, window[z]) for z in (low, high)]
        # The nearer one counts for more, so that tissue that drifts lies where it should.
        weights = (high - seen.z, seen.z - low)
        traits.motion = np.average(motions, axis=0, weights=weights).astype(np.float32)
        unlike = 1 - max(traits.before, traits.after)
        if 1 - traits.across < NO_NEARER * unlike or abs(traits.motion[2]) > SEEMS_TURNED:
            traits.turned, fit = _turn(seen, window[low], window[high])
        far = -np.radians(traits.turned) * LEVER
        traits.motion[2] = np.sign(far) * max(abs(far), abs(traits.motion[2])) if far else 0.0
        if traits.turned:
            traits.fit = fit
            traits.motion[:2] = 0
    if seen.z - 1 in window and not (previous := window[seen.z - 1]).flaw:
        traits.twin = correlation(seen.grain, previous.grain)
    traits.apart = _apart(window)
    if not regions:
        return traits, ()
    fine = [_moved(window[z].fine, shifts[z], 0) for z in (low, high)]
    flat = [_moved(window[z].flat.astype(np.float32), shifts[z], 0) > 0 for z in (low, high)]
    lines = {}
    for sign, way in (("dark", -1), ("light", 1)):
        theirs = [
            _moved(each.near_dark if sign == "dark" else each.near_light, shifts[each.z], 0)
            for each in (window[low], window[high])
        ]
        lines[sign] = (way * seen.lines - np.maximum(*theirs)).max(axis=0)
    pictures = (own, before, after)
    maps = rule_maps(seen.unit, seen.fine, pictures, fine, lines)
    learned = _learned(seen, (window[low], window[high]), maps, valid)
    found = odd_regions(seen, pictures, maps, learned, fine, flat, valid)
    return traits, with_chances(found, seen, own, [(window[low], before), (window[high], after)])


def _learned(
    seen: Sighting, others: tuple[Sighting, Sighting], maps: dict[str, Float], valid: Mask
) -> dict[str, Float]:
    """What the network makes of a section beside two others, where all can be seen."""
    from napari_ssan.inspection.damage_network import damage_maps

    moved = (_moved(each.evidence, seen.shifts[each.z], 0) for each in others)
    own, before, after = (np.where(valid, each, 0) for each in (seen.evidence, *moved))
    return damage_maps(own, before, after, {sign: each * valid for sign, each in maps.items()})


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


def _offset(seen: Sighting, other: Sighting) -> Shift:
    """How far another section seems to lie from where `seen` lies; found once."""
    if other.z not in seen.offsets:
        seen.offsets[other.z] = offset_between(taper(seen.structure), taper(other.structure))
    return seen.offsets[other.z]


def _shift(seen: Sighting, other: Sighting) -> Shift:
    """How far another section must be moved to lie on `seen`; found once."""
    if other.z not in seen.shifts:
        offset = _offset(seen, other)
        far = float(np.abs(offset).max())
        moved = _moved(other.structure, _reduced(offset))
        there = np.isfinite(moved)
        gain = GAIN * min(1.0, far / FAR)
        better = (
            SMALLEST <= far < LARGEST * min(seen.structure.shape) * REDUCTION
            and correlation(seen.structure[there], moved[there])
            > correlation(seen.structure[there], other.structure[there]) + gain
        )
        seen.shifts[other.z] = offset if better else NOWHERE
    return seen.shifts[other.z]


def _motion(seen: Sighting, other: Sighting) -> Float:
    """How another section must be moved and turned to lie on `seen`, as :class:`Traits` has it.

    The quadrants tell, after the whole was moved; by a long way only if it is alike there.
    """
    offset = np.array(_offset(seen, other))
    if np.abs(offset).max() >= FAR:
        offset = np.array(_shift(seen, other))
    whole = np.round(offset / REDUCTION).astype(int)
    own, theirs = seen.structure, _moved(other.structure, tuple(whole), 0)
    shape = np.array(own.shape)
    offsets, centres = [], []
    for row in (0, 1):
        for column in (0, 1):
            low = np.array((row, column)) * (shape - shape // 2)
            part = tuple(slice(a, a + n) for a, n in zip(low, shape // 2, strict=True))
            offset = np.array(offset_between(taper(own[part]), taper(theirs[part])))
            if np.abs(offset).max() <= ASTRAY:
                offsets.append(offset)
                centres.append((low + shape // 4 - shape / 2) * REDUCTION)
    found, side = np.array((*(REDUCTION * whole), 0.0), np.float32), min(seen.smooth.shape)
    if len(offsets) < 3:
        return found / np.float32(side)
    moved, around = np.mean(offsets, axis=0), np.array(centres) - np.mean(centres, axis=0)
    turn = (np.array(offsets) * around[:, ::-1] * (1, -1)).sum() / np.square(around).sum()
    found[:2] += moved
    found[2] = turn * LEVER * side
    return found / np.float32(side)


def _reduced(offset: Shift) -> Shift:
    """A shift in pixels of structures."""
    return offset[0] / REDUCTION, offset[1] / REDUCTION


def _moved(image: Float, offset: Shift, empty: float = np.nan) -> Float:
    """Move images, (..., height, width), by whole pixels; what comes in is `empty`."""
    rows, columns = (round(n) for n in offset)
    if not (rows or columns):
        return image
    height, width = image.shape[-2:]
    moved = np.full_like(image, empty)
    there = np.s_[
        ..., max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)
    ]
    moved[there] = image[
        ..., max(-rows, 0) : height - max(rows, 0), max(-columns, 0) : width - max(columns, 0)
    ]
    return moved


def _likeness(seen: Sighting, other: Sighting) -> float:
    """Correlation of two sections that are moved onto each other."""
    return _likeness_where(seen.smooth, _moved(other.smooth, _shift(seen, other)))


def _likeness_where(image: Float, moved: Float) -> float:
    """Correlation where what was moved has values."""
    valid = np.isfinite(moved)
    return correlation(image[valid], moved[valid])


def _turn(seen: Sighting, *others: Sighting) -> tuple[float, float]:
    """The turn after which a section correlates best with two others, and the lower correlation.

    0 if none raises both.
    """
    best, found, fit, still = 2 * RISE, 0.0, 0.0, np.zeros(2)
    own, *wanted = (halved(middle(each.smooth)) for each in (seen, *others))
    inner = tuple(slice(n // 6, n - n // 6) for n in own.shape)
    wanted = [each[inner] for each in wanted]
    structures = [taper(structure(each)) for each in wanted]
    for angle in TURNS:
        turned = rotate(own, angle, reshape=False, order=1, mode="nearest")[inner]
        moving = taper(structure(turned))
        alike = []
        for each, own_structure in zip(wanted, structures, strict=True):
            offset = offset_between(own_structure, moving)
            near = np.abs(offset).max() <= LARGEST * min(turned.shape)
            tried = (turned, _moved(turned, offset)) if near else (turned,)
            alike.append(max(_likeness_where(each, moved) for moved in tried))
        if not angle:
            still = np.array(alike)
        rises = np.array(alike) - still
        if rises.min() > RISE and rises.sum() > best:
            best, found, fit = float(rises.sum()), angle, min(alike)
    return found, fit


def _apart(window: Mapping[int, Sighting]) -> dict[int, float]:
    """Correlations of sections of the window, by how many sections they are apart."""
    found = {}
    low = min(window)
    moved = window[low].smooth
    for z in range(low + 1, max(window) + 1):
        if window[low].flaw or window[z].flaw or z not in window:
            break
        step = _shift(window[z], window[z - 1])
        moved = _moved(moved, step)
        valid = np.isfinite(moved)
        if not valid.any():
            break
        found[z - low] = correlation(moved[valid], window[z].smooth[valid])
    return found
