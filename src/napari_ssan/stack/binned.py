"""A stack at a lower resolution, as another laboratory might have taken it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.stack.intensity import to_dtype
from napari_ssan.stack.lazy import LazyVolume, contiguous
from napari_ssan.stack.sections import Array, SliceStack, Window


class Binned(LazyVolume):
    """Sections of which n x n pixels are joined into their mean; read lazily.

    Parameters
    ----------
    stack : SliceStack
    factor : int
        How many pixels are joined along either axis of a section; what is left
        over at its end is dropped.

    Raises
    ------
    BadInput
        If nothing would be left of the sections.
    """

    def __init__(self, stack: SliceStack, factor: int) -> None:
        sections, height, width = stack.shape
        if not 1 <= factor <= min(height, width):
            raise BadInput(
                f"Sections of {height} x {width} pixels cannot be reduced by {factor}; "
                "choose a smaller whole number."
            )
        super().__init__((sections, height // factor, width // factor), stack.dtype)
        self.stack, self.factor = stack, factor

    def lacking(self, axis: int) -> AbstractSet[int]:
        """See :meth:`~napari_ssan.stack.lazy.LazyPixels.lacking`."""
        return self.stack.incomplete if axis == 0 else frozenset()

    def _read(self, sections: range, window: Window) -> Array:
        (rows, columns), steps = contiguous(window)
        n = self.factor
        wider = slice(rows.start * n, rows.stop * n), slice(columns.start * n, columns.stop * n)
        chosen = slice(sections.start, sections.stop, sections.step)
        pixels = self.stack.read_block(chosen, wider)
        count, height, width = pixels.shape  # less than asked for where a step passes the end
        blocks = pixels.reshape(count, height // n, n, width // n, n)
        return to_dtype(blocks.mean(axis=(2, 4), dtype=np.float64), self.dtype)[:, *steps]
