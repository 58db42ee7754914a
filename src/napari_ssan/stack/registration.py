"""Register: how a section lies on another that was turned or stretched, and reading it so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform
from skimage.measure import ransac
from skimage.registration import phase_cross_correlation
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
    read_padded,
    read_shifted,
    structure,
)
from napari_ssan.stack.sections import Array, SliceStack, Window

#: Homogeneous, 3 x 3: from (row, column, 1) of where a section is wanted to its own pixels.
Placement = npt.NDArray[np.float64]
#: From a section and a window to the pixels that count there.
Valid = Callable[[int, Window], npt.NDArray[np.bool_]]

#: From a window and a placement to what is seen there of a section.
Seen = Callable[[Window, Placement], Array]

HERE: Placement = np.eye(3)

#: Side of the blocks that are looked for in the other section, in pixels, and their number
#: along an axis.
BLOCK, BLOCKS = 256, 5
#: Blocks are looked for again from where they were found, so often in all.
ROUNDS = 2
#: A block agrees with the others if it lies so near to where they have it, in pixels.
AGREE = 2.0
#: So large a share of the blocks must agree,
MAJORITY = 0.6
#: and correlation must rise by this much with it.
GAIN = 0.02
#: What lies so near to a region says whether it is in register there, in pixels.
CLOSE = 48
#: More than this is not believed: a share by which a section is stretched, the sine of a turn.
MOST_DEFORMED = 0.15


def find_placement(
    stack: SliceStack, reference: int, moving: int, valid: Valid, around: Window | None = None
) -> Placement:
    """Where in one section lies what is seen in another.

    First as a whole, by a shift (:func:`~napari_ssan.stack.alignment.find_shift`), then block
    by block, if the blocks agree on an affine transform and correlate better with it: a
    section may be turned, stretched and sheared against the next. Blocks that are found
    elsewhere than most are left out (RANSAC).

    Parameters
    ----------
    stack : SliceStack
        The sections; no more is read than the field of the shift and the blocks.
    reference, moving : int
        Two sections.
    valid : callable
        From a section and a window to a bool array, True for the pixels that count.
    around : (slice, slice), optional
        Compare the sections here and around, and believe what makes them correlate better
        here; default is all over.

    Returns
    -------
    ndarray, (3, 3)
        From pixels of `reference` to those of `moving`. :data:`HERE` if nothing is believed.
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
        """Structure of the other section, placed; nothing where a pixel does not count."""
        if not valid(moving, inside(stack, *_box(window, placement))).all():
            return np.zeros([part.stop - part.start for part in window])
        return structure(read_placed(stack, moving, window, placement))

    found = shifted
    for _ in range(ROUNDS):
        fitted = _fit(seen, found, blocks)
        if fitted is None or _largest_move(fitted, shifted, extent) < SMALLEST:
            return shifted
        found = fitted
    # Around a region, marks of the other section are looked for so far and no farther.
    if around and _largest_move(found, HERE, extent) > LONGEST_SHIFT:
        return shifted
    near = blocks
    if around:
        close = _widened(around, extent)
        near = [(close, structure(stack.read(reference, close), valid(reference, close)))]
    before, after = (_likeness(seen, place, near) for place in (shifted, found))
    return found if after > before + GAIN else shifted


def placed(shift: Shift) -> Placement:
    """The placement of a section that is moved by a shift of rows and columns."""
    placement = HERE.copy()
    placement[:2, 2] = np.negative(shift)
    return placement


def halfway(placement: Placement, position: float) -> tuple[Placement, Placement]:
    """Both sections where one between them lies.

    Parameters
    ----------
    placement : ndarray, (3, 3)
        From the one to the other.
    position : float
        Of the wanted section: 0 at the one, 1 at the other.

    Returns
    -------
    (ndarray, ndarray)
        From the wanted section to the one and to the other.
    """
    move = placement - HERE
    if not move[:2, :2].any():
        return HERE - position * move, HERE + (1 - position) * move
    first: Placement = np.linalg.inv(HERE + position * move).astype(np.float64)
    return first, placement @ first


def read_placed(stack: SliceStack, z: int, window: Window, placement: Placement) -> Array:
    """The part of a section that lies in `window` once it is placed.

    Parameters
    ----------
    stack : SliceStack
        The sections.
    z : int
        Which one to read.
    window : (slice, slice)
        Where the pixels are wanted.
    placement : ndarray, (3, 3)
        From there to the section's own pixels.

    Returns
    -------
    ndarray, (rows, columns) of `window`
        Where the section is only shifted, as
        :func:`~napari_ssan.stack.alignment.read_shifted` gives it; else interpolated by cubic
        splines, in float64. Beyond the section's border it is continued by reflection.
    """
    linear, offset = placement[:2, :2], placement[:2, 2]
    if np.array_equal(linear, np.eye(2)):
        return read_shifted(stack, z, window, (float(-offset[0]), float(-offset[1])))
    low, high = _box(window, placement)
    starts = np.array([part.start for part in window])
    shape = tuple(part.stop - part.start for part in window)
    pixels = read_padded(stack, z, low, high).astype(np.float64)
    return affine_transform(
        pixels, linear, linear @ starts + offset - low, shape, order=3, mode="nearest"
    )


def _box(window: Window, placement: Placement) -> tuple[Index, Index]:
    """Rows and columns of a section from where and up to where a window is read."""
    rows, columns = ((part.start, part.stop - 1) for part in window)
    corners = np.array([(row, column, 1) for row in rows for column in columns])
    places = (corners @ placement.T)[:, :2]
    low = np.floor(places.min(0)).astype(int) - SPLINE
    return low, np.ceil(places.max(0)).astype(int) + SPLINE + 1


def _windows(field: Window) -> Iterator[Window]:
    """Blocks all over a field."""
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
    """A window and what lies close to it, within a field."""
    rows, columns = (
        slice(max(part.start - CLOSE, limit.start), min(part.stop + CLOSE, limit.stop))
        for part, limit in zip(window, field, strict=True)
    )
    return rows, columns


def _fit(seen: Seen, placement: Placement, blocks: list[tuple[Window, Array]]) -> Placement | None:
    """The affine transform that most blocks agree on, found from where `placement` has them."""
    here, there = [], []
    for window, block in blocks:
        other = seen(window, placement)
        # Tapering both would draw the shift towards zero.
        tapered = block * np.outer(*(np.hanning(length + 2)[1:-1] for length in block.shape))
        if min(np.ptp(tapered), np.ptp(other)) == 0:
            continue
        found, _, _ = phase_cross_correlation(
            tapered, other, upsample_factor=10, normalization=None
        )
        if (np.abs(found) > np.array(block.shape) / 4).any():
            continue
        centre = np.array([(part.start + part.stop - 1) / 2 for part in window])
        here.append(centre)
        there.append((placement @ [*(centre - found), 1])[:2])
    if len(here) < max(6, MAJORITY * len(blocks)):
        return None
    model, agree = ransac(
        (np.array(here), np.array(there)), AffineTransform, 3, AGREE, max_trials=300, rng=0
    )
    if agree is None or agree.sum() < MAJORITY * len(blocks):
        return None
    fitted: Placement = np.asarray(model.params, np.float64)
    return fitted if np.abs(fitted[:2, :2] - np.eye(2)).max() <= MOST_DEFORMED else None


def _largest_move(a: Placement, b: Placement, field: Window) -> float:
    """How far apart two placements have a field's corners, in pixels, at most."""
    rows, columns = ((part.start, part.stop) for part in field)
    corners = np.array([(row, column, 1) for row in rows for column in columns])
    return float(np.abs(corners @ (a - b).T).max())


def _likeness(seen: Seen, placement: Placement, blocks: list[tuple[Window, Array]]) -> float:
    """Mean correlation of blocks with what lies there in a section that is placed."""
    alike = [correlation(block, seen(window, placement)) for window, block in blocks]
    return float(np.mean(alike)) if alike else 0.0
