"""A stack whose neighbours of a hidden section are registered to it, as in the paper's triplets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.evaluation.choose import Block
from napari_ssan.stack.intensity import to_dtype
from napari_ssan.stack.registration import HERE, Placement, find_placement, read_placed
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
    return SliceStack(_Placed(stack, placements), z_axis=0)


class _Placed:
    """Sections of a stack, some of them placed, as an array of (sections, height, width)."""

    def __init__(self, stack: SliceStack, placements: dict[int, Placement]) -> None:
        self._stack, self._placements = stack, placements
        self.shape, self.dtype = stack.shape, stack.dtype

    def __getitem__(self, index: Any, /) -> Array:
        z, *parts = index
        rows, columns = (
            slice(*part.indices(length)[:2])
            for part, length in zip(parts, self.shape[1:], strict=True)
        )
        if z not in self._placements:
            return self._stack.read(z, (rows, columns))
        pixels = read_placed(self._stack, z, (rows, columns), self._placements[z])
        if np.issubdtype(self.dtype, np.floating):  # splines overshoot
            limits = np.finfo(self.dtype)
            pixels = np.clip(pixels, limits.min, limits.max)
        return to_dtype(pixels, self.dtype)
