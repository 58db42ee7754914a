from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from napari_ssan.atomic import REASONS
from napari_ssan.engine import stored
from napari_ssan.engine.stored import buffer, let_go, store


@contextmanager
def little_room():
    """No file may be larger than 8 kB; for no longer than need be: a test's report is a file."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**13, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float64"])
def test_round_trip(tmp_path, dtype):
    array = np.arange(70 * 50).reshape(70, 50).astype(dtype)
    for z, part in enumerate((array, array[5:60:2, 3:], array.T, array[:0])):
        read = store(tmp_path / f"{z}.npy", part)
        assert (read.shape, read.dtype) == (part.shape, part.dtype)
        np.testing.assert_array_equal(np.load(tmp_path / f"{z}.npy"), part)


def test_where_there_is_no_room_for_pixels_it_is_said(tmp_path):
    with pytest.raises(OSError, match=REASONS[errno.EFBIG]) as caught, little_room():
        store(tmp_path / "a.npy", np.zeros(9000, np.uint8))
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture(params=[True, False], ids=["reserved", "written"])
def mapped(request, monkeypatch):
    """Buffers are mapped, with or without the system's own way to reserve room."""
    monkeypatch.setattr(stored, "LARGEST_BUFFER", 0)
    if not request.param:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)


def test_a_mapped_file_has_its_room_beforehand(tmp_path, mapped, monkeypatch):
    sizes = []
    plain = np.memmap

    def memmap(file, **options):
        sizes.append(os.fstat(file.fileno()).st_size)
        return plain(file, **options)

    monkeypatch.setattr(np, "memmap", memmap)
    made = buffer((5000, 4000), np.dtype(np.uint16), tmp_path)
    assert sizes == [made.nbytes]
    made[-1, -1] = 7
    assert made[-1, -1] == 7
    assert not made[:-1].any()
    assert not [path for path in tmp_path.iterdir() if os.name != "nt"]


def test_where_there_is_no_room_for_a_buffer_it_is_said(tmp_path, mapped):
    with pytest.raises(OSError, match=REASONS[errno.EFBIG]) as caught, little_room():
        buffer((100, 100), np.dtype(np.uint8), tmp_path)
    assert caught.value.filename == str(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_what_a_large_buffer_holds_leaves_the_memory_and_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "LARGEST_BUFFER", 0)
    monkeypatch.setattr(stored, "LARGEST_PART", 2**16)
    made = buffer((4096, 8192), np.dtype(np.uint16), tmp_path)
    before = mapped_bytes()
    made[:] = np.arange(8192)
    assert mapped_bytes() - before > made.nbytes / 2
    let_go(made, np.zeros(3))
    assert mapped_bytes() - before < made.nbytes / 8
    kept = store(tmp_path / "a.npy", made[:, 3:])
    assert mapped_bytes() - before < made.nbytes / 8
    np.testing.assert_array_equal(kept[4095], np.arange(3, 8192))


def mapped_bytes() -> int:
    """How much of files is in the memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(each.split()[1]) for each in lines if each.startswith("RssFile")) * 1024
