"""Arrays that live in files and are opened only while they are read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.stack.sections import Array

#: Largest volume that is turned into an array at once, in bytes.
LARGEST_ARRAY = 2**30
#: Larger buffers go to a file, in bytes.
LARGEST_BUFFER = 2**28


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
    try:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return StoredArray(path)


def buffer(shape: tuple[int, ...], dtype: np.dtype[Any], folder: Path | None) -> Array:
    """Writable array: in memory if it is small, else in a nameless file in `folder`."""
    if int(np.prod(shape)) * dtype.itemsize <= LARGEST_BUFFER:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype=dtype, shape=shape, mode="w+")
