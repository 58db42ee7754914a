"""A stack at a lower resolution, as another laboratory might have taken it."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import Array, SliceStack


class Binned:
    """Sections of which n x n pixels are joined into their mean; read lazily.

    An array for a :class:`~napari_ssan.stack.sections.SliceStack`, indexed as that does.

    Parameters
    ----------
    stack : SliceStack
        The stack.
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
        self.stack, self.factor = stack, factor
        self.shape = (sections, height // factor, width // factor)
        self.dtype = stack.dtype

    def __getitem__(self, index: tuple[int | slice, slice, slice]) -> Array:
        """One section or several, and a window of them."""
        z, *window = index
        rows, columns = (
            self._wider(part, length) for part, length in zip(window, self.shape[1:], strict=True)
        )
        if isinstance(z, slice):
            return self._joined(self.stack.read_block(z, (rows, columns)))
        return self._joined(self.stack.read(z, (rows, columns)))

    def _wider(self, part: slice, length: int) -> slice:
        start, stop, step = part.indices(length)
        if step != 1:
            raise NotImplementedError("binned sections are read without gaps")
        return slice(start * self.factor, stop * self.factor)

    def _joined(self, pixels: Array) -> Array:
        *sections, height, width = pixels.shape
        n = self.factor
        blocks = pixels.reshape(*sections, height // n, n, width // n, n)
        means: Any = blocks.mean(axis=(-3, -1), dtype=np.float64)
        if np.issubdtype(self.dtype, np.integer):
            means = np.rint(means)
        joined: Array = means.astype(self.dtype)
        return joined
