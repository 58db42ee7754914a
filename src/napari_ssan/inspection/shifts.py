"""How sections lie on each other: shifts, motion and turns, in pixels of comparison.

Easy to get wrong: a shift is believed only if it makes sections more alike, since where they are
unlike, every place fits as badly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.ndimage import rotate

from napari_ssan.inspection.look import Sighting
from napari_ssan.inspection.pictures import Float, halved, middle
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

Image = TypeVar("Image", npt.NDArray[np.float32], npt.NDArray[np.int16])

#: A shift that is shorter than so many pixels may raise the correlation by less than `GAIN`.
FAR = 12
#: A turn must raise the correlations with two others by `RISE` together, for each section between
#: these: tissue itself turns over some. It may lower neither by `FALL`: turned onto a neighbour
#: that is turned itself, a good section lies worse on the other.
RISE, FALL = 0.04, 0.02
#: Quadrants that lie farther from where the whole section lies cannot be believed, in pixels.
ASTRAY = 24
#: How far a turn by one radian moves the pixels of a square of side 1, on average.
LEVER = 6**-0.5
#: The turns, in degrees; 0 first, which the others are compared with.
TURNS = (0.0, -8.0, -6.0, -4.5, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0)


def shift_between(seen: Sighting, other: Sighting) -> Shift:
    """Pixels by which another section must be moved to lie on `seen`; found once."""
    if other.z not in seen.shifts:
        offset = _offset(seen, other)
        far = float(np.abs(offset).max())
        moved = move(other.structure, in_structures(offset))
        there = np.isfinite(moved)
        gain = GAIN * min(1.0, far / FAR)
        better = (
            SMALLEST <= far < LARGEST * min(seen.structure.shape) * REDUCTION
            and correlation(seen.structure[there], moved[there])
            > correlation(seen.structure[there], other.structure[there]) + gain
        )
        seen.shifts[other.z] = offset if better else NOWHERE
    return seen.shifts[other.z]


def _offset(seen: Sighting, other: Sighting) -> Shift:
    """How far another section seems to lie from where `seen` lies; found once."""
    if other.z not in seen.offsets:
        seen.offsets[other.z] = offset_between(taper(seen.structure), taper(other.structure))
    return seen.offsets[other.z]


def in_structures(offset: Shift) -> Shift:
    """A shift in pixels of comparison, in those of structures."""
    return offset[0] / REDUCTION, offset[1] / REDUCTION


def move(image: Image, offset: Shift, empty: float = np.nan) -> Image:
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


def move_each(images: Image, offset: Shift) -> Iterator[Image]:
    """Move images, (number, height, width), one by one: each stays in the cache while in use.

    What comes in is 0.
    """
    for each in images:
        yield move(each, offset, 0)


def motion_between(seen: Sighting, other: Sighting) -> Float:
    """How another section must be moved and turned to lie on `seen`.

    float32, (3,), as `motion` of :class:`~napari_ssan.inspection.neighbours.Traits`.
    The quadrants tell, after the whole was moved; by a long way only if it is alike there. How far
    it moved is their median: where sections are little alike, one or two go astray.
    """
    offset = np.array(_offset(seen, other))
    if np.abs(offset).max() >= FAR:
        offset = np.array(shift_between(seen, other))
    whole = np.round(offset / REDUCTION).astype(int)
    own, theirs = seen.structure, move(other.structure, tuple(whole), 0)
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
    moved, around = np.median(offsets, axis=0), np.array(centres) - np.mean(centres, axis=0)
    turn = (np.array(offsets) * around[:, ::-1] * (1, -1)).sum() / np.square(around).sum()
    found[:2] += moved
    found[2] = turn * LEVER * side
    return found / np.float32(side)


def turn_between(seen: Sighting, *others: Sighting) -> tuple[float, float]:
    """The turn, in degrees, after which a section correlates best with two others.

    Also the lower of both correlations then. Both are 0 if no turn raises them enough.
    """
    low, high = sorted(each.z for each in others)
    best, found, fit, still = RISE * (high - low - 1), 0.0, 0.0, np.zeros(2)
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
            tried = (turned, move(turned, offset)) if near else (turned,)
            alike.append(max(likeness_of(each, moved) for moved in tried))
        if not angle:
            still = np.array(alike)
        rises = np.array(alike) - still
        if rises.min() > -FALL and rises.sum() > best:
            best, found, fit = float(rises.sum()), angle, min(alike)
    return found, fit


def likeness_on_each_other(seen: Sighting, other: Sighting) -> float:
    """Correlation of two sections that are moved onto each other, where both show tissue."""
    return likeness_of(seen.tissue, move(other.tissue, shift_between(seen, other)))


def likeness_of(image: Float, moved: Float) -> float:
    """Correlation of two (height, width) images where both have values; 0 if that is nowhere."""
    valid = np.isfinite(image) & np.isfinite(moved)
    return correlation(image[valid], moved[valid]) if valid.any() else 0.0
