"""An array in a file: only what is asked for is read."""

from __future__ import annotations

import contextlib
import math
import weakref
from collections.abc import Callable, Iterator
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
        with reading(self._name, _place(index, self.shape)):
            # a copy: a view of a mapped file would be read-only and keep the file open
            return np.array(self._source[index], dtype=self.dtype)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        array = self[(slice(None),) * self.ndim]
        return array if dtype is None else array.astype(dtype, copy=False)


@contextlib.contextmanager
def reading(name: str, place: str = "to the end") -> Iterator[None]:
    """Turn any error while a file is read into a sentence that names the file."""
    try:
        yield
    except (IndexError, MemoryError, BadInput):
        raise
    except Exception as error:
        raise BadInput(
            f"{name} cannot be read {place}; it may be damaged: {_first_line(error)}."
        ) from error


def _place(index: Any, shape: tuple[int, ...]) -> str:
    """Name the slice that an index asks for, if it is a single one of a stack (..., y, x)."""
    parts = index if isinstance(index, tuple) else (index,)
    long = [axis for axis, length in enumerate(shape[:-2]) if length > 1]
    if len(long) == 1 and long[0] < len(parts) and not any(part is Ellipsis for part in parts):
        asked = np.arange(shape[long[0]])[parts[long[0]]]
        if asked.size == 1:
            return f"at slice {asked.item()}"
    return "to the end"


def _nothing() -> None:
    pass


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
