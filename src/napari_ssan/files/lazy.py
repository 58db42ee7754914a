"""An array in a file: only what is asked for is read."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from napari_ssan.errors import BadInput
from napari_ssan.files.border import check_kind
from napari_ssan.files.completeness import Chunks, ManyChunks
from napari_ssan.stack.lazy import LazyPixels
from napari_ssan.stack.sections import Array, ArrayLike

T = TypeVar("T")
P = ParamSpec("P")


class LazyArray(LazyPixels):
    """An array in a file: native byte order, and a clear word when reading fails.

    Parameters
    ----------
    source : array-like
        Reads what is indexed.
    name : str
        Name of the file, for the message.
    close : callable, optional
        Closes the file; called at the latest when nobody holds the array any more.
    chunks : Chunks or ManyChunks, optional
        Which of its chunks are there.
    """

    def __init__(
        self,
        source: ArrayLike,
        name: str,
        close: Callable[[], object] | None = None,
        chunks: Chunks | ManyChunks | None = None,
    ) -> None:
        check_kind(name, np.dtype(source.dtype))
        super().__init__(tuple(map(int, source.shape)), np.dtype(source.dtype).newbyteorder("="))
        self._source = source
        self._name = name
        self._chunks = chunks
        self.close = weakref.finalize(self, close or _nothing)

    def part(self, spans: tuple[slice, ...]) -> Array:
        """See :meth:`~napari_ssan.stack.lazy.LazyPixels.part`."""
        with reading(self._name, _place(spans, self.shape)):
            return np.array(self._source[spans], dtype=self.dtype)

    def lacking(self, axis: int) -> AbstractSet[int]:
        """See :meth:`~napari_ssan.stack.lazy.LazyPixels.lacking`."""
        return self._chunks.lacking(axis) if self._chunks else frozenset()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self[...], dtype)  # of any size: whoever opens a file knows it


def reader(
    function: Callable[Concatenate[Path, P], T],
) -> Callable[Concatenate[Path, P], T]:
    """Let a function that opens a file refuse it in a sentence, whatever goes wrong within."""

    @functools.wraps(function)
    def opened(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with reading(path.name, "as an image", (OSError,)):
            return function(path, *args, **kwargs)

    return opened


@contextlib.contextmanager
def reading(
    name: str,
    place: str = "to the end",
    passed: tuple[type[Exception], ...] = (IndexError, MemoryError),
) -> Iterator[None]:
    """Turn any error while a file is read into a sentence that names the file."""
    try:
        yield
    except Exception as error:
        if isinstance(error, (BadInput, *passed)):
            raise
        raise BadInput(
            f"{name} cannot be read {place}; it may be damaged: {_first_line(error)}."
        ) from error


def _place(spans: tuple[slice, ...], shape: tuple[int, ...]) -> str:
    """Name the slice that is asked for, if it is a single one of a stack (..., y, x)."""
    long = [axis for axis, length in enumerate(shape[:-2]) if length > 1]
    if len(long) == 1:
        asked = range(shape[long[0]])[spans[long[0]]]
        if len(asked) == 1:
            return f"at slice {asked[0]}"
    return "to the end"


def _nothing() -> None:
    pass


def _first_line(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None  # without its number
    lines = (reason or str(error)).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
