from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from napari_ssan.atomic import REASONS
from napari_ssan.engine import stored
from napari_ssan.engine.stored import buffer, release, store


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


def mapped_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("the system does not tell")
    lines = status.read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line[:7] in ("RssFile", "RssShme")) * 1024


def test_what_is_released_takes_no_memory_and_is_still_there(tmp_path):
    before = mapped_bytes()
    made = buffer((2**12, 2**13), np.dtype(np.float32), tmp_path)
    made[:] = np.arange(2**13)
    assert mapped_bytes() - before > 0.8 * made.nbytes
    release(made[5])
    assert mapped_bytes() - before < 0.2 * made.nbytes
    np.testing.assert_array_equal(made[77], np.arange(2**13))
    kept = store(tmp_path / "kept.npy", made)
    assert mapped_bytes() - before < 0.2 * made.nbytes
    np.testing.assert_array_equal(kept[2**12 - 1], np.arange(2**13))


def test_changes_to_the_mapped_file_of_somebody_else_are_not_lost(tmp_path):
    np.save(tmp_path / "own.npy", np.zeros((600, 700), np.uint8))
    own = np.load(tmp_path / "own.npy", mmap_mode="c")
    own[3] = 9
    release(own)
    release(own[3])
    assert (own[3] == 9).all()


def test_without_a_folder_more_stays_in_memory(tmp_path):
    shape, dtype = (2**12, 2**13), np.dtype(np.uint8)
    assert type(buffer(shape, dtype, None)) is np.ndarray
    assert isinstance(buffer(shape, dtype, tmp_path), np.memmap)
