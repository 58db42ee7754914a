"""Pixels that lie in a file one after the other, as in most TIFF and all MRC files.

Easy to get wrong: they are not mapped into memory. Where a mapped file is cut off, the system ends
the program.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, Protocol

import numpy as np

from napari_ssan.stack.lazy import LazyPixels
from napari_ssan.stack.sections import Array


class Readable(Protocol):
    """A file that is open for reading."""

    def seek(self, offset: int, /) -> Any:
        """Go to a place."""

    def read(self, size: int, /) -> bytes:
        """Read some bytes from there; fewer at the end."""


class InARow(LazyPixels):
    """Pixels that lie in the file one after the other; a window is read without the rest.

    Parameters
    ----------
    file : file
        Open for reading in binary; whoever opens it closes it.
    start : int
        Where in it the first pixel lies, in bytes.
    shape : tuple of int
    dtype : dtype
        As they are stored.
    """

    #: A window is read with the rest of its rows if these are at most so many times as wide.
    WIDER = 4

    def __init__(
        self, file: Readable, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        super().__init__(shape, dtype)
        self._file, self._start, self._lock = file, start, Lock()

    def part(self, spans: tuple[slice, ...]) -> Array:
        """See :meth:`~napari_ssan.stack.lazy.LazyPixels.part`."""
        places = [range(n)[span] for n, span in zip(self.shape, spans, strict=True)]
        pixels = np.empty([len(along) for along in places], self.dtype)
        *outer, rows, columns = places
        plain = rows.step == 1 and self.shape[-1] <= self.WIDER * len(columns)
        for at in np.ndindex(pixels.shape[:-2]):
            page = 0
            for along, n, index in zip(outer, self.shape, at, strict=False):
                page = page * n + along[index]
            first = page * self.shape[-2]
            if plain:
                lines = self._read((first + rows[0]) * self.shape[-1], len(rows) * self.shape[-1])
                pixels[at] = lines.reshape(len(rows), -1)[:, spans[-1]]
                continue
            for line, row in zip(pixels[at], rows, strict=True):
                start = (first + row) * self.shape[-1] + columns[0]
                line[:] = self._read(start, columns[-1] - columns[0] + 1)[:: columns.step]
        return pixels

    def _read(self, first: int, number: int) -> Array:
        size = number * self.dtype.itemsize
        with self._lock:
            self._file.seek(self._start + first * self.dtype.itemsize)
            data = self._file.read(size)
        if len(data) < size:
            raise EOFError("it has been cut off meanwhile")
        return np.frombuffer(data, self.dtype)
