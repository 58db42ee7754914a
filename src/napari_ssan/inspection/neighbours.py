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

from napari_ssan.inspection.look import Float, Mask, Sighting, clipped, halved, middle
from napari_ssan.inspection.regions import Candidate, odd_regions
from napari_ssan.stack.alignment import (
    GAIN,
    LARGEST,
    NOWHERE,
    REDUCTION,
    SMALLEST,
    Shift,
    correlation,
    find_shift,
    offset_between,
    taper,
)

#: Sections to each side that may serve as neighbours.
REACH = 2
#: A shift that is shorter than so many pixels may raise the correlation by less than `GAIN`.
FAR = 12
#: Turns are tried where a section resembles its neighbours hardly more than they resemble each
#: other; correlation must rise by this much.
NO_NEARER, RISE = 0.15, 0.05
#: The turns, in degrees.
TURNS = (-8.0, -6.0, -4.5, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0)


@dataclass
class Traits:
    """Figures of a section by which whole sections are judged.

    Attributes
    ----------
    z : int
        The section.
    flaw : str
        Why there is nothing to see in it.
    level, contrast, sharpness
        As in :class:`~napari_ssan.inspection.look.Sighting`.
    before, after, across : float
        Correlation with the neighbours, and of the neighbours with each other.
    moved, drift : float
        How far it lies from the middle between its neighbours, and how far these lie from that
        middle, as shares of its shorter side.
    turned : float
        By how many degrees it must be turned to resemble its neighbours; 0 if turning is no help.
    fit : float
        Lower correlation with a neighbour, after that turn if there is one.
    twin : float
        Correlation of grain with the section before: near 1 in a copy.
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
    before: float = 0.0
    after: float = 0.0
    across: float = 0.0
    moved: float = 0.0
    drift: float = 0.0
    turned: float = 0.0
    fit: float = 0.0
    twin: float = 0.0
    apart: dict[int, float] = field(default_factory=dict)
    neighbours: tuple[int, ...] = ()
    clipped: float = 0.0
    lost: Mask | None = field(default=None, repr=False)

    @property
    def end(self) -> bool:
        """Whether both neighbours are on one side."""
        return bool(self.neighbours) and not min(self.neighbours) < self.z < max(self.neighbours)


def compare(seen: Sighting, window: Mapping[int, Sighting]) -> tuple[Traits, tuple[Candidate, ...]]:
    """Compare a section with its neighbours.

    Parameters
    ----------
    seen : Sighting
        The section.
    window : mapping of int to Sighting
        The sections around it; the one of its own number is not used.

    Returns
    -------
    traits : Traits
        Figures of the whole section.
    candidates : tuple of Candidate
        Regions that might be damaged.
    """
    traits = Traits(seen.z, seen.flaw, seen.level, seen.contrast, seen.sharpness, lost=seen.lost)
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
    traits.before, traits.after, traits.across = (
        correlation(p[valid], q[valid]) for p, q in ((own, before), (own, after), (before, after))
    )
    if not traits.end:
        first, last = (np.array(_offset(seen, window[z])) / min(own.shape) for z in (low, high))
        traits.moved, traits.drift = (
            float(np.linalg.norm(each)) / 2 for each in (first + last, first - last)
        )
    traits.fit = min(traits.before, traits.after)
    if traits.across - max(traits.before, traits.after) > -NO_NEARER and not traits.end:
        traits.turned, fit = _turn(seen, window[low], traits.before + RISE)
        if traits.turned:
            traits.fit = fit
            side = abs(np.sin(np.radians(traits.turned))) / 4  # of its pixels, on average
            traits.moved, traits.drift = max(traits.moved, float(side)), 0.0
    if seen.z - 1 in window and not (previous := window[seen.z - 1]).flaw:
        traits.twin = correlation(seen.grain, previous.grain)
    traits.apart = _apart(window)
    fine = [_moved(window[z].fine, shifts[z], 0) for z in (low, high)]
    flat = [_moved(window[z].flat.astype(np.float32), shifts[z], 0) > 0 for z in (low, high)]
    lines = {}
    for sign, way in (("dark", -1), ("light", 1)):
        theirs = [
            _moved(each.near_dark if sign == "dark" else each.near_light, shifts[each.z], 0)
            for each in (window[low], window[high])
        ]
        lines[sign] = (way * seen.lines - np.maximum(*theirs)).max(axis=0)
    return traits, odd_regions(seen, (own, before, after), lines, fine, flat, valid)


def _offset(seen: Sighting, other: Sighting) -> Shift:
    """How far another section seems to lie from where `seen` lies; found once."""
    if other.z not in seen.offsets:
        seen.offsets[other.z] = offset_between(taper(seen.structure), taper(other.structure))
    return seen.offsets[other.z]


def _shift(seen: Sighting, other: Sighting) -> Shift:
    """How far another section must be moved to lie on `seen`; found once."""
    if other.z not in seen.shifts:
        offset = np.array(_offset(seen, other))
        far = float(np.abs(offset).max())
        moved = _moved(other.structure, (offset[0] / REDUCTION, offset[1] / REDUCTION))
        there = np.isfinite(moved)
        gain = GAIN * min(1.0, far / FAR)
        better = (
            SMALLEST <= far < LARGEST * min(seen.structure.shape) * REDUCTION
            and correlation(seen.structure[there], moved[there])
            > correlation(seen.structure[there], other.structure[there]) + gain
        )
        seen.shifts[other.z] = (float(offset[0]), float(offset[1])) if better else NOWHERE
    return seen.shifts[other.z]


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


def _turn(seen: Sighting, other: Sighting, enough: float) -> tuple[float, float]:
    """The turn after which a section correlates best with another, and that correlation.

    0 if none is more than `enough`.
    """
    best, found = enough, 0.0
    wanted, own = (halved(middle(each.smooth)) for each in (other, seen))
    inner = tuple(slice(n // 6, n - n // 6) for n in wanted.shape)
    for angle in TURNS:
        turned = rotate(own, angle, reshape=False, order=1, mode="nearest")
        moved = _moved(turned, find_shift(wanted[inner], turned[inner]))[inner]
        valid = np.isfinite(moved)
        if valid.any() and (likeness := correlation(wanted[inner][valid], moved[valid])) > best:
            best, found = likeness, angle
    return found, best


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
