"""Smooth motion of tissue between two sections, beyond what a shift or an affine transform tells.

Sections jitter, are stretched unevenly, and lie far apart. A network follows tissue over few
pixels only. So the large part of its motion is found first, by optical flow between reduced
sections (Le Besnerais and Champagnat 2005), and smoothed. It is scikit-image's ILK, three times as
fast, as systems of two equations are solved by hand. Easy to get wrong: flow finds some motion
between any two sections, so it is believed only where the sections then resemble each other well,
and clearly better than before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, uniform_filter

from napari_ssan.stack.alignment import (
    SPLINE,
    correlation,
    interpolated,
    read_padded,
    reduced,
)
from napari_ssan.stack.intensity import Float, Float64
from napari_ssan.stack.registration import GAIN, Placement, Valid, halfway, read_placed
from napari_ssan.stack.sections import SliceStack, Window

#: Sections are reduced by this at least, and until they have at most this side, in pixels.
REDUCTION, SIDE = 4, 512
#: Motion is found in windows of this radius, and smoothed by this, in reduced pixels: first
#: roughly, ...
ROUGH = 14, 8.0
#: ... then what is left of it, so often at most. The last such pass is the one after which sections
#: correlate by less than this more than before. Smoothing hides a part of a large motion each time.
FURTHER, PASSES, WORTHWHILE = (7, 4.0), 5, 0.01
#: Warps of a flow at each scale (ten find no more here), and the side, in reduced pixels, below
#: which no coarser scale is looked at.
WARPS, COARSEST = 3, 32
#: The determinant below which there is nothing to follow.
FLAT = 1e-14
#: Structure is what lies between these two scales, in reduced pixels.
FINE, BROAD = 1.0, 4.0
#: Sections that correlate by more have not moved.
STILL = 0.9
#: Motion is believed if sections correlate by this at least once it is taken back, ...
ALIKE = 0.8
#: ... and if no tissue moves by more, in reduced pixels.
FARTHEST = 16.0
#: The rough pass must explain this share of what sections lack of a correlation of 1. Where tissue
#: does not move, flow follows noise, and only fine flow finds much to follow.
EXPLAINED = 0.37
#: Rows or columns of a square that is read at once, or of two.
BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Motion:
    """How tissue moves from one section to another.

    Attributes
    ----------
    field : ndarray of float32, (2, rows, columns)
        Displacement along rows and columns, in pixels, seen from halfway between the two.
    step : int
        Pixels of a section along a side of each value.
    """

    field: Float
    step: int

    def at(self, window: Window) -> Float64:
        """The displacement of each pixel of a window, (2, height, width)."""
        spots = [(np.arange(part.start, part.stop) + 0.5) / self.step - 0.5 for part in window]
        moves = interpolated(interpolated(self.field, spots[0], 1), spots[1], 2)
        return moves.astype(np.float64)


def find_motion(
    stack: SliceStack, before: int, after: int, placement: Placement, valid: Valid
) -> Motion | None:
    """Find how tissue moves between two sections.

    Parameters
    ----------
    stack : SliceStack
        The sections; both are read once, in bands.
    before, after : int
        Two sections.
    placement : ndarray, (3, 3)
        Maps the first to the second, as far as that is known.
    valid : callable
        Takes a section and a window; returns a bool array, True for the pixels that count.

    Returns
    -------
    Motion or None
        None if tissue does not move, or nothing can be told.
    """
    height, width = stack.shape[1:]
    step = max(REDUCTION, -(-max(height, width) // SIDE))
    if min(height, width) < 2 * ROUGH[0] * step:
        return None
    first, last = (
        _reduced_section(stack, z, place, step, valid)
        for z, place in zip((before, after), halfway(placement, 0.5), strict=True)
    )
    there, here = first, last
    seen = _structure(there), _structure(here)
    still = alike = correlation(*seen)
    if alike > STILL or not (seen[0].any() and seen[1].any()):
        return None
    field, grid = np.zeros((2, *first.shape)), np.indices(first.shape)
    for number in range(1 + PASSES):
        radius, smooth = FURTHER if number else ROUGH
        field += [gaussian_filter(part, smooth) for part in _flow(there, here, seen, radius)]
        there, here = (
            map_coordinates(image, grid + share * field, order=1, mode="nearest")
            for image, share in ((first, -0.5), (last, 0.5))
        )
        seen = _structure(there), _structure(here)
        before_pass, alike = alike, correlation(*seen)
        if not number and alike < still + EXPLAINED * (1 - still):
            return None
        if number and alike < before_pass + WORTHWHILE:
            break
    if np.abs(field).max() > FARTHEST or alike < max(ALIKE, still + GAIN):
        return None
    return Motion((step * field).astype(np.float32), step)


def read_moved(
    stack: SliceStack, z: int, window: Window, placement: Placement, motion: Motion, share: float
) -> Float64:
    """Place a section, move its tissue, and read the part that then lies in `window`.

    Parameters
    ----------
    stack : SliceStack
    z : int
        The section to read.
    window : (slice, slice)
        The wanted pixels.
    placement : ndarray, (3, 3)
        Maps them to the section's own pixels, but for the motion.
    motion : Motion
    share : float
        How much of the motion lies between them: 0 to 1 for a section that tissue moves to, 0 to
        -1 for one that it comes from.

    Returns
    -------
    ndarray of float64, (rows, columns) of `window`
        Interpolated by splines. Outside its border, the section is continued by reflection.
    """
    rows, columns = window
    out = np.empty((rows.stop - rows.start, columns.stop - columns.start))
    for left in range(columns.start, columns.stop, BLOCK):
        part = slice(left, min(left + BLOCK, columns.stop))
        at = _at(placement, rows, part, motion, share)
        low = np.floor(at.min((1, 2))).astype(int) - SPLINE
        high = np.ceil(at.max((1, 2))).astype(int) + SPLINE + 1
        pixels = read_padded(stack, z, low, high).astype(np.float64)
        place = slice(part.start - columns.start, part.stop - columns.start)
        out[:, place] = map_coordinates(pixels, at - low[:, None, None], order=3, mode="nearest")
    return out


def _reduced_section(stack: SliceStack, z: int, place: Placement, step: int, valid: Valid) -> Float:
    """Means of squares of a placed section; those with marked pixels are the mean of all."""
    height, width = (length // step for length in stack.shape[1:])
    columns, bands, counted = slice(0, width * step), [], []
    lines = max(1, 2 * BLOCK**2 // (width * step**2))
    for top in range(0, height, lines):
        rows = slice(top * step, min(top + lines, height) * step)
        pixels = read_placed(stack, z, (rows, columns), place, order=1)
        bands.append(reduced(pixels.astype(np.float32), step))
        counted.append(reduced(valid(z, (rows, columns)), step) == 1)
    image, good = np.concatenate(bands), np.concatenate(counted)
    if good.any():
        image[~good] = image[good].mean()
    return image


def _structure(image: Float) -> Float:
    """Structure without shading, of unit contrast; zeros if there is none."""
    fine = gaussian_filter(image, FINE) - gaussian_filter(image, BROAD)
    contrast = float(fine.std())
    return fine / contrast if contrast else fine


def _at(placement: Placement, rows: slice, columns: slice, motion: Motion, share: float) -> Float64:
    """Where the pixels of a window come from in a section, (2, height, width)."""
    linear, offset = placement[:2, :2], placement[:2, 2]
    at = share * motion.at((rows, columns))
    if not np.array_equal(linear, np.eye(2)):
        at = np.tensordot(linear, at, 1)
    y, x = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
    for places, (down, across), start in zip(at, linear, offset, strict=True):
        places += np.add.outer(down * y + start, across * x)
    return at


def _flow(there: Float, here: Float, seen: tuple[Float, Float], radius: int) -> Float:
    """Iterative Lucas-Kanade from coarse to fine: ``there(x)`` resembles ``here(x + flow)``.

    `seen` is the structure of both. Each scale has one of its own: that of a finer one is gone
    once it is reduced.
    """
    first, last = seen
    flow = np.zeros((2, *first.shape), np.float32)
    if min(first.shape) > COARSEST:
        smaller = reduced(there, 2), reduced(here, 2)
        structures = _structure(smaller[0]), _structure(smaller[1])
        coarse = 2 * _flow(*smaller, structures, radius)
        for axis, length in enumerate(first.shape, 1):
            coarse = interpolated(coarse, (np.arange(length) + 0.5) / 2 - 0.5, axis)
        flow = coarse.astype(np.float32)
    grid = np.indices(first.shape, np.float32)
    for _ in range(WARPS):
        warped = map_coordinates(last, grid + flow, order=1, mode="nearest")
        down, across = np.gradient(warped)
        error = first - warped + down * flow[0] + across * flow[1]
        products = down * down, across * across, down * across, down * error, across * error
        yy, xx, xy, ye, xe = (
            uniform_filter(each, 2 * radius + 1, mode="mirror") for each in products
        )
        determinant = yy * xx - xy * xy
        flat = np.abs(determinant) < FLAT
        solved = np.stack((xx * ye - xy * xe, yy * xe - xy * ye))
        flow = np.where(flat, 0, solved / np.where(flat, 1, determinant)).astype(np.float32)
    return flow
