"""An array in a file, of which only what is asked for is read."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import Array, ArrayLike


class LazyArray:
    """An array in a file: native byte order, and a clear word when reading fails.

    Parameters
    ----------
    source : array-like
        Reads what is indexed.
    name : str
        Name of the file, for the message.
    close : callable, optional
        Closes the file; called at the latest when nobody holds the array any more.
    """

    def __init__(
        self, source: ArrayLike, name: str, close: Callable[[], object] | None = None
    ) -> None:
        self._source = source
        self._name = name
        self.close = weakref.finalize(self, close or _nothing)
        self.shape = tuple(int(n) for n in source.shape)
        self.dtype: np.dtype[Any] = np.dtype(source.dtype).newbyteorder("=")

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """What it would take in memory."""
        return self.size * int(self.dtype.itemsize)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        try:
            # a copy: a view of a mapped file would be read-only and keep the file open
            return np.array(self._source[index], dtype=self.dtype)
        except (IndexError, MemoryError):
            raise
        except Exception as error:
            raise BadInput(
                f"{self._name} cannot be read to the end, it may be damaged: {_first_line(error)}."
            ) from error

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        array = self[(slice(None),) * self.ndim]
        return array if dtype is None else array.astype(dtype, copy=False)


def _nothing() -> None:
    pass


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
