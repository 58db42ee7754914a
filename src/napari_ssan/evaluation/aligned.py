"""A stack in which the neighbours of a hidden section are registered to it, as in the paper.

A repair cannot do this, because it does not know the hidden section. It is for comparison only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_ssan.evaluation.choose import Block
from napari_ssan.stack.intensity import to_dtype
from napari_ssan.stack.lazy import LazySections
from napari_ssan.stack.registration import HERE, find_placement, read_placed
from napari_ssan.stack.sections import Array, SliceStack, Window


def aligned(stack: SliceStack, block: Block, own: int) -> SliceStack:
    """Register the two neighbours of a block of sections to one section of the block.

    A synthesis cannot know how far a section drifted from its neighbours, and a repair need
    not know: a section between them is as good. Without the drift, a comparison with the real
    section shows how well its content was synthesized. Wang et al. 2021 also align their
    triplets, by template matching.

    Parameters
    ----------
    stack : SliceStack
        Real sections.
    block : tuple of int
        Adjacent sections to hide; they do not change.
    own : int
        The section of the block that is judged.

    Returns
    -------
    SliceStack
        The same sections in the same dtype, read lazily. Only the sections before and after
        the block are placed, by :func:`~napari_ssan.stack.registration.find_placement` from
        section to section. Outside their border, they are continued by reflection.
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
