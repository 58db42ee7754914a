"""A repaired stack, and what is known of its pixels, as layers read them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.repaired import ExpectedError, RepairedStack
from napari_ssan.engine.stored import LARGEST_ARRAY
from napari_ssan.stack.sections import Array


class Shown(RepairedStack):
    """The repaired stack as its layer reads it: in a 3-D view, nothing too large for memory.

    A plugin hears of a 3-D view only after napari has sliced its layers for it, so
    the layer cannot be hidden in time; instead it is given a single voxel.

    Parameters
    ----------
    repaired : RepairedStack
        Shares its patches: what is laid over one is seen through the other.
    in_3d : callable
        Whether the view is in 3-D.
    """

    def __init__(self, repaired: RepairedStack, in_3d: Callable[[], bool]) -> None:
        self.__dict__ = repaired.__dict__
        self._in_3d = in_3d

    def __getitem__(self, index: Any) -> Array:
        if self._in_3d() and asks_for_too_much(self, index):
            return np.zeros((1,) * self.ndim, self.dtype)
        return super().__getitem__(index)


class SyntheticPixels:
    """The mask of synthetic pixels, read like an array of uint8: 1 where one is.

    Parameters
    ----------
    shown : Shown
        The repaired stack.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, shown: Shown) -> None:
        self._shown = shown

    @property
    def shape(self) -> tuple[int, ...]:
        """As the repaired stack's."""
        return self._shown.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._shown.ndim

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self._shown.size

    def __len__(self) -> int:
        return len(self._shown)

    def __getitem__(self, index: Any) -> npt.NDArray[np.uint8]:
        if self._shown._in_3d() and asks_for_too_much(self, index):
            return np.zeros((1,) * self.ndim, np.uint8)
        return self._shown.synthetic(index).view(np.uint8)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Any:
        array = self[()]
        return array if dtype is None else array.astype(dtype, copy=False)


class ShownError(ExpectedError):
    """The expected error as its layer reads it.

    Parameters
    ----------
    shown : Shown
        The repaired stack.
    """

    def __init__(self, shown: Shown) -> None:
        super().__init__(shown)
        self._in_3d = shown._in_3d

    def __getitem__(self, index: Any) -> npt.NDArray[np.float32]:
        if self._in_3d() and asks_for_too_much(self, index):
            return np.zeros((1,) * self.ndim, np.float32)
        return super().__getitem__(index)


def asks_for_too_much(data: Any, index: Any) -> bool:
    """Whether an index, a tuple of slices or whole numbers, spans more than a GiB."""
    parts = index if isinstance(index, tuple) else (index,)
    spans = [
        len(range(length)[part]) if isinstance(part, slice) else 1
        for length, part in zip(data.shape, parts, strict=False)
    ]
    pixels = np.prod([*spans, *data.shape[len(parts) :]], dtype=object)
    return bool(pixels * data.dtype.itemsize > LARGEST_ARRAY)
