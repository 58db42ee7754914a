"""Compares a section with its neighbours: how alike they are, and where it is the odd one out.

A region is odd where the section lies beyond both neighbours while these agree with each other.
What is usual in the stack, and so what a figure means, is decided in
:mod:`~napari_ssan.inspection.judge`. Easy to get wrong: a section at the end of the stack, or
beside a blank one, is compared with the nearest two that show something, on whichever side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter, label, rotate

from napari_ssan.inspection.look import Float, Mask, Sighting
from napari_ssan.stack.alignment import Shift, correlation, find_shift, structure
from napari_ssan.stack.region import Region

#: Sections to each side that may serve as neighbours.
REACH = 2
#: Side of the middle in which shifts are found, in pixels of half the view.
FIELD = 320
#: Scales at which regions stand out, in the same pixels: of what is averaged in the section, and
#: of the local mean square.
SCALES = {"": (0.0, 2.0), " wide": (2.5, 4.0)}
#: A region is all that reaches this share of its peak, and is connected with it.
EDGE = 0.4
#: Most regions of a kind in a section.
MOST = 4
#: Half-pixels by which a region is widened to cover the damage.
WIDER = 2
#: Turns that are tried where a section is unlike both neighbours, in degrees.
TURNS = (-8.0, -6.0, -4.5, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0)

#: What a region can be seen by.
SIGNS = ("dark", "light", "dark wide", "light wide", "soft", "flat")


@dataclass(frozen=True)
class Candidate:
    """A region that might be damaged.

    Attributes
    ----------
    sign : str
        How it differs from both neighbours: darker, lighter, less sharp, or constant.
    peak : float
        By how much.
    region : Region
        Its pixels, at half the view's resolution.
    long : bool
        Whether it is much longer than wide.
    textured : bool
        Whether fine detail can be seen in it.
    agrees : bool
        Whether its structure agrees with that of the neighbours.
    """

    sign: str
    peak: float
    region: Region
    long: bool = False
    textured: bool = False
    agrees: bool = False


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
    moved : float
        How far it lies from where both neighbours have it, as a share of its shorter side.
    turned : float
        By how many degrees it must be turned to resemble its neighbours; 0 if turning is no help.
    twin : float
        Correlation of grain with the section before: near 1 in a copy.
    apart : dict of int to float
        Correlations of sections around it that are so many sections apart.
    neighbours : tuple of int
        The two sections that it was compared with; empty if there were no two.
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
    turned: float = 0.0
    twin: float = 0.0
    apart: dict[int, float] = field(default_factory=dict)
    neighbours: tuple[int, ...] = ()

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
    traits = Traits(seen.z, seen.flaw, seen.level, seen.contrast, seen.sharpness)
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
        traits.moved = _offset(shifts[low], shifts[high]) / min(own.shape)
    if traits.across - max(traits.before, traits.after) > 0.1:
        traits.turned = _turn(seen, window[low], (traits.across + traits.before) / 2)
    if seen.z - 1 in window and not (previous := window[seen.z - 1]).flaw:
        traits.twin = correlation(seen.grain, previous.grain)
    traits.apart = _apart(window)
    fine = [_moved(window[z].fine, shifts[z], 0) for z in (low, high)]
    flat = [_moved(window[z].flat.astype(np.float32), shifts[z], 0) > 0 for z in (low, high)]
    detailed = np.minimum(*fine) > float(np.median(seen.fine)) - 0.3
    softer = np.minimum(*fine) - seen.fine - np.abs(fine[0] - fine[1])
    maps = {"soft": np.where(detailed, softer, 0)}
    for width, (scale, local) in SCALES.items():
        a, b, c = (gaussian_filter(each, scale) if scale else each for each in (own, before, after))
        maps[f"dark{width}"] = _beyond(-a, -b, -c, local)
        maps[f"light{width}"] = _beyond(a, b, c, local)
    inside = valid & ~(seen.flat | flat[0] | flat[1])
    found = []
    for sign, image in maps.items():
        for peak, mask in _peaks(np.where(inside, image, 0)):
            wide = binary_dilation(mask, iterations=WIDER)
            texture = float(seen.fine[mask].mean() - np.minimum(*fine)[mask].mean())
            found.append(
                Candidate(
                    sign,
                    peak,
                    Region.from_mask(wide),
                    is_long(mask),
                    texture > -0.7,
                    sign != "soft" and _agrees(own, before, after, wide),
                )
            )
    gone = seen.flat & ~binary_dilation(flat[0] & valid, iterations=3)
    gone &= ~binary_dilation(flat[1] & valid, iterations=3)
    pieces, number = label(gone)
    edge = {*pieces[0], *pieces[-1], *pieces[:, 0], *pieces[:, -1]} - {0}
    for piece in edge if number else ():
        mask = pieces == piece
        share = float(mask.mean()) ** 0.5
        wide = binary_dilation(mask, iterations=WIDER)
        found.append(Candidate("flat", share, Region.from_mask(wide)))
    return traits, tuple(found)


def is_long(mask: Mask) -> bool:
    """Whether marked pixels form a line: an area of many times its own width squared."""
    padded = np.pad(mask, 1)
    half = float(distance_transform_edt(padded).max())
    extent = max(np.ptp(np.flatnonzero(mask.any(axis=axis))) for axis in (0, 1))
    return float(mask.sum()) > 18 * half**2 and extent > 0.08 * min(mask.shape)


def _beyond(own: Float, before: Float, after: Float, local: float) -> Float:
    """By how much a section is greater than both neighbours, and unlike them, in MADs.

    The geometric mean of two amplitudes: of what is extreme in itself and exceeds both
    neighbours, and of the local difference from the nearer neighbour beyond that of both from
    each other.
    """

    def square(difference: Float) -> Float:
        return gaussian_filter(np.square(difference), local)

    extreme = np.minimum(own, 2 * (own - np.maximum(before, after))).clip(0)
    nearer = np.minimum(square(own - before), square(own - after))
    odd = np.sqrt((nearer - square(before - after)).clip(0))
    return np.sqrt(extreme * odd)


def _peaks(image: Float) -> list[tuple[float, Mask]]:
    """The highest peaks of a map, and the pixels that belong to each."""
    left, found = image.copy(), []
    for _ in range(MOST):
        top = np.unravel_index(int(left.argmax()), left.shape)
        peak = float(left[top])
        if peak <= 0:
            break
        pieces, _ = label(left >= EDGE * peak)
        mask = pieces == pieces[top]
        left[binary_dilation(mask, iterations=2 * WIDER)] = 0
        found.append((peak, mask))
    return found


def _shift(seen: Sighting, other: Sighting) -> Shift:
    """How far another section must be moved to lie on `seen`; found once."""
    if other.z not in seen.shifts:
        seen.shifts[other.z] = find_shift(_middle(seen.smooth), _middle(other.smooth))
    return seen.shifts[other.z]


def _middle(image: Float) -> Float:
    parts = (slice(max(0, (n - FIELD) // 2), (n + FIELD) // 2) for n in image.shape)
    return image[tuple(parts)]


def _moved(image: Float, offset: Shift, empty: float = np.nan) -> Float:
    """Move an image by whole pixels; what comes in from outside is `empty`."""
    rows, columns = (round(n) for n in offset)
    if not (rows or columns):
        return image
    height, width = image.shape
    moved = np.full_like(image, empty)
    moved[max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)] = image[
        max(-rows, 0) : height - max(rows, 0), max(-columns, 0) : width - max(columns, 0)
    ]
    return moved


def _offset(before: Shift, after: Shift) -> float:
    """How far a section lies from where both neighbours have it."""
    first, last = np.array(before), np.array(after)
    apart = float(np.linalg.norm(first - last))
    return max(0.0, float(np.linalg.norm(first + last)) / 2 - apart)


def _turn(seen: Sighting, other: Sighting, enough: float) -> float:
    """The turn after which a section correlates with another by at least `enough`; else 0."""
    best, found = enough, 0.0
    wanted = _middle(other.smooth)
    inner = tuple(slice(n // 6, n - n // 6) for n in wanted.shape)
    for angle in TURNS:
        turned = _middle(rotate(seen.smooth, angle, reshape=False, order=1, mode="nearest"))
        offset = find_shift(wanted[inner], turned[inner])
        moved = _moved(turned, offset)[inner]
        valid = np.isfinite(moved)
        if valid.any() and (likeness := correlation(wanted[inner][valid], moved[valid])) > best:
            best, found = likeness, angle
    return found


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


def _agrees(own: Float, before: Float, after: Float, mask: Mask) -> bool:
    """Whether a region's structure is that of the neighbours, apart from level and contrast."""
    if mask.sum() < 150:
        return False
    rows, columns = Region.from_mask(mask).window
    part = slice(max(0, rows.start - 8), rows.stop + 8), slice(max(0, columns.start - 8),
                                                              columns.stop + 8)  # fmt: skip
    chosen = mask[part]
    pictures = [structure(each[part])[chosen] for each in (own, before, after)]
    likeness = max(correlation(pictures[0], pictures[1]), correlation(pictures[0], pictures[2]))
    return likeness > max(0.5, 0.8 * correlation(pictures[1], pictures[2]))
