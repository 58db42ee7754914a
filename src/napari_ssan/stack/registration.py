"""Registers sections that are turned or stretched: finds an affine placement, and reads with it.

Plain shifts are :mod:`~napari_ssan.stack.alignment`'s. A placement maps *from* the wanted
pixels *to* the section's own, the opposite direction of a shift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform
from skimage.measure import ransac
from skimage.transform import AffineTransform

from napari_ssan.stack.alignment import (
    LONGEST_SHIFT,
    SMALLEST,
    SPLINE,
    Index,
    Shift,
    correlation,
    field_of,
    find_shift,
    inside,
    offset_between,
    read_padded,
    read_shifted,
    structure,
    taper,
)
from napari_ssan.stack.sections import Array, SliceStack, Window

#: Homogeneous 3 x 3 matrix: maps (row, column, 1) of the wanted pixels to the section's own.
Placement = npt.NDArray[np.float64]
#: Takes a section and a window; returns True for the pixels there that count.
Valid = Callable[[int, Window], npt.NDArray[np.bool_]]

#: Takes a window and a placement; returns the structure of a section there.
Seen = Callable[[Window, Placement], Array]

HERE: Placement = np.eye(3)

#: Side of the blocks that are searched for in the other section, in pixels, and their number
#: along an axis.
BLOCK, BLOCKS = 256, 5
#: Number of searches; each starts where the last one found the blocks.
ROUNDS = 2
#: A block agrees with the others if it lies within this distance of their transform, in pixels.
AGREE = 2.0
#: This share of the blocks must agree, ...
MAJORITY = 0.6
#: ... and correlation must rise by this much.
GAIN = 0.02
#: Pixels within this distance of a region show whether it is in register.
CLOSE = 48
#: Larger deformations are rejected: a share for stretching, the sine for turning.
MOST_DEFORMED = 0.15


def find_placement(
    stack: SliceStack, reference: int, moving: int, valid: Valid, around: Window | None = None
) -> Placement:
    """Find where the content of one section lies in another.

    The whole section is registered first, by a shift
    (:func:`~napari_ssan.stack.alignment.find_shift`). Then blocks are searched for, because a
    section may be turned, stretched and sheared against the next. Blocks that disagree with
    most are left out (RANSAC). Their affine transform is accepted if enough blocks agree on
    it and correlation rises.

    Parameters
    ----------
    stack : SliceStack
        The sections; only the field of the shift and the blocks are read.
    reference, moving : int
        Two sections.
    valid : callable
        Takes a section and a window; returns a bool array, True for the pixels that count.
    around : (slice, slice), optional
        Compare the sections in and around this window, and accept what makes them correlate
        better in it. The default compares whole sections.

    Returns
    -------
    ndarray, (3, 3)
        Maps pixels of `reference` to those of `moving`. :data:`HERE` if nothing is accepted.
    """
    field = field_of(stack.shape[1:], around)
    _, height, width = stack.shape
    extent = field if around else (slice(0, height), slice(0, width))
    views = [(stack.read(z, field), valid(z, field)) for z in (reference, moving)]
    (first, seen_first), (last, seen_last) = views
    shifted = placed(find_shift(first, last, seen_first, seen_last))
    blocks = [
        (window, structure(stack.read(reference, window), counts))
        for window in _windows(extent)
        if (counts := valid(reference, window)).mean() > 0.5
    ]

    def seen(window: Window, placement: Placement) -> Array:
        """Structure of the placed other section; zeros if a pixel in the window does not count."""
        if not valid(moving, inside(stack, *_box(window, placement))).all():
            return structure(np.zeros([part.stop - part.start for part in window]))
        # Interpolated only linearly: grain is removed anyway.
        return structure(read_placed(stack, moving, window, placement, order=1))

    found = shifted
    for _ in range(ROUNDS):
        fitted = _fit(seen, found, blocks)
        if fitted is None or _largest_move(fitted, shifted, extent) < SMALLEST:
            return shifted
        found = fitted
    # Around a region, marks of the other section are only looked up within this distance.
    if around and _largest_move(found, HERE, extent) > LONGEST_SHIFT:
        return shifted
    near = blocks
    if around:
        close = _widened(around, extent)
        near = [(close, structure(stack.read(reference, close), valid(reference, close)))]
    before, after = (_likeness(seen, place, near) for place in (shifted, found))
    return found if after > before + GAIN else shifted


def placed(shift: Shift) -> Placement:
    """Convert a shift in rows and columns to a placement."""
    placement = HERE.copy()
    placement[:2, 2] = np.negative(shift)
    return placement


def halfway(placement: Placement, position: float) -> tuple[Placement, Placement]:
    """Place two sections on a section between them.

    Parameters
    ----------
    placement : ndarray, (3, 3)
        Maps the first section to the second.
    position : float
        Position of the wanted section: 0 at the first, 1 at the second.

    Returns
    -------
    (ndarray, ndarray)
        Placements that map the wanted section to the first and to the second.
    """
    move = placement - HERE
    if not move[:2, :2].any():
        return HERE - position * move, HERE + (1 - position) * move
    first: Placement = np.linalg.inv(HERE + position * move).astype(np.float64)
    return first, placement @ first


def read_placed(
    stack: SliceStack, z: int, window: Window, placement: Placement, order: Literal[1, 3] = 3
) -> Array:
    """Place a section, and read the part that then lies in `window`.

    Parameters
    ----------
    stack : SliceStack
    z : int
        The section to read.
    window : (slice, slice)
        The wanted pixels.
    placement : ndarray, (3, 3)
        Maps them to the section's own pixels.
    order : {1, 3}
        Of the splines that interpolate.

    Returns
    -------
    ndarray, (rows, columns) of `window`
        For a plain shift, the result of :func:`~napari_ssan.stack.alignment.read_shifted`.
        Otherwise interpolated, in float64. Outside its border, the section
        is continued by reflection.
    """
    linear, offset = placement[:2, :2], placement[:2, 2]
    if np.array_equal(linear, np.eye(2)):
        return read_shifted(stack, z, window, (float(-offset[0]), float(-offset[1])), order)
    low, high = _box(window, placement)
    starts = np.array([part.start for part in window])
    shape = tuple(part.stop - part.start for part in window)
    pixels = read_padded(stack, z, low, high).astype(np.float64)
    return affine_transform(
        pixels, linear, linear @ starts + offset - low, shape, order=order, mode="nearest"
    )


def _box(window: Window, placement: Placement) -> tuple[Index, Index]:
    """Bounds (row, column) of the pixels that are read for a window: from, and up to."""
    rows, columns = ((part.start, part.stop - 1) for part in window)
    corners = np.array([(row, column, 1) for row in rows for column in columns])
    places = (corners @ placement.T)[:, :2]
    low = np.floor(places.min(0)).astype(int) - SPLINE
    return low, np.ceil(places.max(0)).astype(int) + SPLINE + 1


def _windows(field: Window) -> Iterator[Window]:
    """Spread blocks evenly over a field."""
    lengths = [part.stop - part.start for part in field]
    sides = [min(max(length // 2, BLOCK // 4), BLOCK, length) for length in lengths]
    starts = [
        np.unique(np.linspace(part.start, part.stop - side, BLOCKS).astype(int)).tolist()
        for part, side in zip(field, sides, strict=True)
    ]
    for top in starts[0]:
        for left in starts[1]:
            yield slice(top, top + sides[0]), slice(left, left + sides[1])


def _widened(window: Window, field: Window) -> Window:
    """Widen a window by :data:`CLOSE`, within a field."""
    rows, columns = (
        slice(max(part.start - CLOSE, limit.start), min(part.stop + CLOSE, limit.stop))
        for part, limit in zip(window, field, strict=True)
    )
    return rows, columns


def _fit(seen: Seen, placement: Placement, blocks: list[tuple[Window, Array]]) -> Placement | None:
    """Find the affine transform that most blocks agree on, searching from `placement`."""
    here, there = [], []
    for window, block in blocks:
        other = seen(window, placement)
        # Only one is tapered: tapering both would bias the shift towards zero.
        tapered = taper(block)
        if min(np.ptp(tapered), np.ptp(other)) == 0:
            continue
        found = offset_between(tapered, other)
        if (np.abs(found) > [(part.stop - part.start) / 4 for part in window]).any():
            continue
        centre = np.array([(part.start + part.stop - 1) / 2 for part in window])
        here.append(centre)
        there.append((placement @ [*(centre - found), 1])[:2])
    if len(here) < max(6, MAJORITY * len(blocks)):
        return None
    model, agree = ransac(
        (np.array(here), np.array(there)),
        AffineTransform,
        3,
        AGREE,
        max_trials=300,
        rng=0,
        stop_probability=0.9999,
    )
    if agree is None or agree.sum() < MAJORITY * len(blocks):
        return None
    fitted: Placement = np.asarray(model.params, np.float64)
    return fitted if np.abs(fitted[:2, :2] - np.eye(2)).max() <= MOST_DEFORMED else None


def _largest_move(a: Placement, b: Placement, field: Window) -> float:
    """Largest distance between two placements of a field's corners, along an axis, in pixels."""
    rows, columns = ((part.start, part.stop) for part in field)
    corners = np.array([(row, column, 1) for row in rows for column in columns])
    return float(np.abs(corners @ (a - b).T).max())


def _likeness(seen: Seen, placement: Placement, blocks: list[tuple[Window, Array]]) -> float:
    """Mean correlation of blocks with the placed other section."""
    alike = [correlation(block, seen(window, placement)) for window, block in blocks]
    return float(np.mean(alike)) if alike else 0.0
