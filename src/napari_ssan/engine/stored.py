"""Arrays that live in files and are opened only while they are read."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from napari_ssan.stack.sections import Array

#: Larger buffers go to a file, in bytes.
LARGEST_BUFFER = 2**28

#: Why nothing can be written, in a user's words.
REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file system allows no file that large",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EROFS: "the disk is read-only",
}


class StoredArray:
    """Array in a ``.npy`` file; holds neither memory nor a file handle between reads.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        view = self._open()
        self.shape: tuple[int, ...] = view.shape
        self.dtype: np.dtype[Any] = view.dtype

    def _open(self) -> Array:
        opened: Array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return opened

    def __getitem__(self, index: Any) -> Array:
        return np.array(self._open()[index])


def store(path: Path, array: Array) -> StoredArray:
    """Write an array to a file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    array = np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(array)
    try:
        with worded(path.parent), temporary.open("wb") as file:
            # not np.save: its OSError doesn't tell that the disk is full
            np.lib.format.write_array_header_1_0(file, header)
            file.write(array.data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return StoredArray(path)


def buffer(shape: tuple[int, ...], dtype: np.dtype[Any], folder: Path | None) -> Array:
    """Writable array: in memory if it is small, else in a nameless file in `folder`."""
    size = math.prod(shape) * dtype.itemsize
    if size <= LARGEST_BUFFER:
        return np.empty(shape, dtype)
    with worded(folder or Path(tempfile.gettempdir())), tempfile.TemporaryFile(dir=folder) as file:
        _reserve(file, size)
        return np.memmap(file, dtype=dtype, shape=shape, mode="r+")


@contextlib.contextmanager
def worded(folder: Path) -> Iterator[None]:
    """Have an ``OSError`` say in a user's words why `folder` cannot be written to."""
    try:
        yield
    except OSError as error:
        reason = REASONS.get(error.errno or 0) or error.strerror or str(error)
        raise OSError(error.errno, reason, str(folder)) from error


def _reserve(file: IO[bytes], size: int) -> None:
    """Take all of a file's room: to write to a mapped hole on a full disk ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(2**24)
    for start in range(0, size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()
