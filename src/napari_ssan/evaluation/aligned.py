"""A stack whose neighbours of a hidden section are registered to it, as in the paper's triplets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_ssan.evaluation.choose import Block
from napari_ssan.stack.intensity import to_dtype
from napari_ssan.stack.lazy import LazySections
from napari_ssan.stack.registration import HERE, find_placement, read_placed
from napari_ssan.stack.sections import Array, SliceStack, Window


def aligned(stack: SliceStack, block: Block, own: int) -> SliceStack:
    """Register the two neighbours of a block of sections to one of these.

    How far a section has drifted from its neighbours, no synthesis can know, and no repair
    needs to: one that lies between them is as good. With the drift taken out, a comparison
    with the real section says how well its content was found. Wang et al. 2021 align their
    triplets in this sense, by template matching.

    Parameters
    ----------
    stack : SliceStack
        Real sections.
    block : tuple of int
        Adjacent sections that are to be hidden; they stay as they are.
    own : int
        The one of them that is to be judged.

    Returns
    -------
    SliceStack
        The same sections in the same dtype, read lazily; the one before and the one after the
        block placed by :func:`~napari_ssan.stack.registration.find_placement`, from section to
        section, where that finds anything. Beyond their border they are continued by reflection.
    """

    def finite(z: int, window: Window) -> npt.NDArray[np.bool_]:
        return np.isfinite(stack.read(z, window))

    placements = {}
    for beside in (block[0] - 1, block[-1] + 1):
        step = 1 if beside > own else -1
        placement = HERE
        for z in range(own, beside, step):
            placement = find_placement(stack, z, z + step, finite) @ placement
        placements[beside] = placement

    def read(z: int, window: Window) -> Array:
        if z not in placements:
            return stack.read(z, window)
        pixels = read_placed(stack, z, window, placements[z])
        if np.issubdtype(stack.dtype, np.floating):  # splines overshoot
            limits = np.finfo(stack.dtype)
            pixels = np.clip(pixels, limits.min, limits.max)
        return to_dtype(pixels, stack.dtype)

    return SliceStack(LazySections(stack.shape, stack.dtype, read), z_axis=0)
