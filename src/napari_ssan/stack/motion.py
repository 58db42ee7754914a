"""Smooth motion of tissue between two sections, beyond what a shift or an affine transform tells.

Sections jitter, are stretched unevenly, and lie far apart. A network follows tissue over few
pixels only. So the large part of its motion is found first, by optical flow between reduced
sections (Le Besnerais and Champagnat 2005, scikit-image's ILK), and smoothed. Easy to get wrong:
flow finds some motion between any two sections, so it is believed only where the sections then
resemble each other well, and clearly better than before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.registration import optical_flow_ilk

from napari_ssan.stack.alignment import SPLINE, correlation, read_padded, reduced
from napari_ssan.stack.intensity import Float, Float64
from napari_ssan.stack.registration import GAIN, Placement, Valid, halfway, read_placed
from napari_ssan.stack.sections import SliceStack, Window

#: Sections are reduced by this at least, and until they have at most this side, in pixels.
REDUCTION, SIDE = 4, 512
#: Motion is found in windows of this radius, and smoothed by this, in reduced pixels: first
#: roughly, then what is left of it.
PASSES = ((14, 8.0), (7, 4.0))
#: Warps of a flow at each scale. scikit-image's ten find no more here, at three times the time.
WARPS = 3
#: Structure is what lies between these two scales, in reduced pixels.
FINE, BROAD = 1.0, 4.0
#: Sections that correlate by more have not moved.
STILL = 0.9
#: Motion is believed if sections correlate by this at least once it is taken back, ...
ALIKE = 0.8
#: ... and if no tissue moves by more, in reduced pixels.
FARTHEST = 12.0
#: A pass after which they correlate by less is the last one: the next cannot help so much.
HOPELESS = 0.6
#: Rows or columns that are read at once.
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
        grid = np.meshgrid(*spots, indexing="ij")
        parts = [map_coordinates(part, grid, order=1, mode="nearest") for part in self.field]
        moves: Float64 = np.stack(parts).astype(np.float64)
        return moves


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
    if min(height, width) < 2 * PASSES[0][0] * step:
        return None
    first, last = (
        _structure(_reduced_section(stack, z, place, step, valid))
        for z, place in zip((before, after), halfway(placement, 0.5), strict=True)
    )
    alike = correlation(first, last)
    if alike > STILL or not (first.any() and last.any()):
        return None
    field, grid = np.zeros((2, *first.shape)), np.indices(first.shape)
    there, here = first, last
    for radius, smooth in PASSES:
        flow = optical_flow_ilk(there, here, radius=radius, num_warp=WARPS)
        field += [gaussian_filter(part, smooth) for part in flow]
        there, here = (
            map_coordinates(image, grid + share * field, order=1, mode="nearest")
            for image, share in ((first, -0.5), (last, 0.5))
        )
        if correlation(there, here) < HOPELESS:
            return None
    if np.abs(field).max() > FARTHEST or correlation(there, here) < max(ALIKE, alike + GAIN):
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
        spots = [np.arange(each.start, each.stop) for each in (rows, part)]
        here = np.stack(np.meshgrid(*spots, indexing="ij"))
        at: Float64 = here + share * motion.at((rows, part))
        at = np.tensordot(placement[:2, :2], at, 1) + placement[:2, 2, None, None]
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
    lines = max(1, BLOCK // step)
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
