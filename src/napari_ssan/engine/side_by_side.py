"""A repaired section beside what it was and what it was made from, ready to be drawn.

Only the pixels of one window are read, with its steps, and no more than one section at a time: so
this works for any size. Easy to get wrong: the neighbours are those that the repair was made
from, which need not be the adjacent sections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_ssan.engine.repaired import Patch, RepairedStack, Slot
from napari_ssan.stack.pictures import grey_limits
from napari_ssan.stack.sections import Array, SliceStack, Window

#: Sections on either side of a mark that are cut across.
REACH = 12


@dataclass(frozen=True, eq=False)
class Beside:
    """Part of a section and of its neighbours.

    Attributes
    ----------
    sources : tuple of int
        Sections that it was made from, in order: two, or one that was copied.
    neighbours : tuple of ndarray, (height, width)
        The same part of each of them.
    before : ndarray or None
        The original; None for a section that was absent.
    after : ndarray
        What is there now.
    error : ndarray of float32
        Expected error, 0 at real pixels, NaN where nothing is known of it.
    limits : (float, float)
        Grey values to show black and white in all of them.
    """

    sources: tuple[int, ...]
    neighbours: tuple[Array, ...]
    before: Array | None
    after: Array
    error: Array
    limits: tuple[float, float]


def beside(stack: SliceStack, patches: Sequence[Patch], window: Window) -> Beside:
    """Read a part of a section and of the sections that it was made from.

    Parameters
    ----------
    stack : SliceStack
        The source.
    patches : sequence of Patch
        All of one section, at least one.
    window : (slice, slice)
        With positive steps.

    Raises
    ------
    OSError
        If the source cannot be read.
    """
    z, inserted = patches[0].slot
    used = sorted({n for patch in patches for n in patch.record.neighbours})
    sources = (used[0], used[-1]) if len(used) > 1 else (used[0],)
    neighbours = tuple(stack.read(n, window) for n in sources)
    before = None if inserted else stack.read(z, window)
    after = np.zeros_like(neighbours[0]) if before is None else before.copy()
    error = np.zeros(after.shape, np.float32)
    for patch in patches:
        patch.lay(after, window, patch.pixels)
        unknown = np.broadcast_to(np.float32(np.nan), patch.pixels.shape)
        patch.lay(error, window, unknown if patch.error is None else patch.error)
    return Beside(sources, neighbours, before, after, error, grey_limits([*neighbours, after]))


def across(repaired: RepairedStack, slot: Slot, window: Window) -> Array:
    """Cut across the sections around one of the repaired stack.

    Parameters
    ----------
    repaired : RepairedStack
    slot : (int, int)
        The section in the middle.
    window : (slice, slice)
        One pixel high for the cut along x, one pixel wide for that along y.

    Returns
    -------
    ndarray, (sections, pixels)
        Up to `REACH` sections on either side; fewer at the ends of the stack.
    """
    volume = SliceStack(repaired, repaired.stack.z_axis)
    at = repaired.slots.index(slot)
    near = range(max(0, at - REACH), min(len(volume), at + REACH + 1))
    return np.stack([volume.read(z, window).ravel() for z in near])
