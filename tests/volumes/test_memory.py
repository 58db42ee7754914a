"""How much memory a slab takes does not depend on how much of it is marked.

Covers: napari_ssan.heap
"""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import psutil
import pytest
import zarr

from napari_ssan import heap
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.restore import restore
from napari_ssan.volumes.run import repair_in_place

from .conftest import AVERAGE


def test_many_sections_of_a_slab_take_no_more_than_two(tmp_path, tissue):
    path, side = tmp_path / "volume.zarr", 256
    zarr.create_array(path, data=tissue((18, side, side)), chunks=(18, 128, 128))

    def repaired(*marked: int) -> None:
        repair_in_place(path, Marks(set(marked)), AVERAGE, lambda item: None)

    def peak(*marked: int) -> int:
        """Most bytes that are held at once, above what was there before."""
        tracemalloc.start()
        try:
            repaired(*marked)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            restore(path, print)

    repaired(3)  # what is imported on the way counts for nobody
    restore(path, print)
    # How far threads run ahead varies, by up to four sections in float32.
    two, eight, more = 0, 2**40, 6 * side**2 * 4 / 2
    for _ in range(6):
        two, eight = max(two, peak(3, 7)), min(eight, peak(*range(1, 16, 2)))
        if eight - two < more:
            break
    assert two > 2**20
    assert eight - two < more


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_what_is_free_goes_back():
    heap.give_back()
    parts = [np.ones(50_000, np.uint8) for _ in range(2000)]  # too small to be mapped
    own = psutil.Process()
    held = own.memory_info().rss
    last = parts[-1]
    del parts
    heap.give_back()
    assert held - own.memory_info().rss > 50_000_000
    assert last.any()


def test_where_the_system_has_no_such_functions(monkeypatch):
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    heap._function.cache_clear()
    heap.give_back()
    heap.share_heap()
    heap._function.cache_clear()
