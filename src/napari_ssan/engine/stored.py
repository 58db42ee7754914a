"""Arrays that live in files and are opened only while they are read."""

from __future__ import annotations

import math
import mmap as mapping
import os
import struct
import tempfile
from mmap import mmap
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from napari_ssan.atomic import atomically, worded
from napari_ssan.errors import BadInput
from napari_ssan.paths import check_input
from napari_ssan.stack.sections import Array

#: Larger buffers go to a file, in bytes; so many times as large ones, if no folder is named.
LARGEST_BUFFER, ELSEWHERE = 2**24, 16

#: None on Windows.
MADV_DONTNEED: int | None = getattr(mapping, "MADV_DONTNEED", None)

#: What numpy raises for an array whose file is damaged.
DAMAGED = (EOFError, MemoryError, RecursionError, SyntaxError, TokenError, ValueError, struct.error)


class StoredArray:
    """Array in a ``.npy`` file; holds neither memory nor a file handle between reads.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    BadInput
        If it is damaged; also when it is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        view = self._open()
        self.shape: tuple[int, ...] = view.shape
        self.dtype: np.dtype[Any] = view.dtype

    def _open(self) -> Array:
        check_input(self.path)
        try:
            opened: Array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except DAMAGED as error:
            raise BadInput(f"{self.path.name} is damaged: its array cannot be read.") from error
        return opened

    def __getitem__(self, index: Any) -> Array:
        return np.array(self._open()[index])


class Buffer(np.memmap[Any, Any]):
    """Array in a nameless file, which takes memory only until it is released."""


def release(array: Array) -> None:
    """Give back the memory of a buffer that lies in a file, or of a part of it; values stay."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    # Only our own: private changes to somebody else's mapped file would be lost.
    if isinstance(array, Buffer) and isinstance(base, mmap) and MADV_DONTNEED is not None:
        base.madvise(MADV_DONTNEED)


def store(path: Path, array: Array) -> StoredArray:
    """Write an array to a file, whole or not at all."""
    plain = np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(plain)
    lines = max(1, LARGEST_BUFFER * len(plain) // max(plain.nbytes, 1))
    with worded(path.parent), atomically(path) as temporary, temporary.open("wb") as file:
        # not np.save: its OSError doesn't tell that the disk is full
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(plain), lines):
            file.write(plain[start : start + lines].data)
            release(array)
    return StoredArray(path)


def buffer(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    folder: Path | None,
    largest: int | None = None,
) -> Array:
    """Array of zeros: in memory up to `largest` bytes, else in a nameless file in `folder`."""
    size = math.prod(shape) * dtype.itemsize
    if largest is None:
        largest = LARGEST_BUFFER * (1 if folder else ELSEWHERE)
    if size <= largest:
        return np.zeros(shape, dtype)
    with worded(folder or Path(tempfile.gettempdir())), tempfile.TemporaryFile(dir=folder) as file:
        _reserve(file, size)
        return np.memmap(file, dtype=dtype, shape=shape, mode="r+").view(Buffer)


def _reserve(file: IO[bytes], size: int) -> None:
    """Take all of a file's room: to write to a mapped hole on a full disk ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(2**24)
    for start in range(0, size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()
