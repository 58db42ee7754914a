"""Arrays that live in files and are opened only while they are read."""

from __future__ import annotations

import math
import mmap
import os
import struct
import tempfile
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from napari_ssan.atomic import atomically, worded
from napari_ssan.errors import BadInput
from napari_ssan.paths import check_input
from napari_ssan.stack.sections import Array

#: Larger buffers go to a file, in bytes.
LARGEST_BUFFER = 2**28
#: So many bytes are written at once.
LARGEST_PART = 2**26


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


def store(path: Path, array: Array) -> StoredArray:
    """Write an array to a file, whole or not at all."""
    values, array = array, np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(array)
    with worded(path.parent), atomically(path) as temporary, temporary.open("wb") as file:
        # not np.save: its OSError doesn't tell that the disk is full
        np.lib.format.write_array_header_1_0(file, header)
        step = max(1, LARGEST_PART // max(1, array[:1].nbytes))
        for start in range(0, len(array), step):
            file.write(array[start : start + step].data)
            let_go(values)
    return StoredArray(path)


def buffer(shape: tuple[int, ...], dtype: np.dtype[Any], folder: Path | None) -> Array:
    """Writable array: in memory if it is small, else in a nameless file in `folder`."""
    size = math.prod(shape) * dtype.itemsize
    if size <= LARGEST_BUFFER:
        return np.empty(shape, dtype)
    with worded(folder or Path(tempfile.gettempdir())), tempfile.TemporaryFile(dir=folder) as file:
        _reserve(file, size)
        return np.memmap(file, dtype=dtype, shape=shape, mode="r+")


def let_go(*arrays: Array) -> None:
    """Have what was used of arrays of :func:`buffer` leave this process's memory.

    It stays in their files, and in the system's cache as long as there is room.
    """
    for array in arrays:
        mapped = getattr(array, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def _reserve(file: IO[bytes], size: int) -> None:
    """Take all of a file's room: to write to a mapped hole on a full disk ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(2**24)
    for start in range(0, size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()
