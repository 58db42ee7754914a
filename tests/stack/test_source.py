from __future__ import annotations

import numpy as np

from napari_ssan.stack.alignment import FIELD
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source


def test_without_limits_all_may_be_used():
    source = Source(SliceStack(np.zeros((5, 30, 40), np.uint8)))
    assert source.sections == range(5)
    assert source.area == source.field == (slice(0, 30), slice(0, 40))
    assert source.extent == (30, 40)
    assert not source.touches_mark(2, source.area)


def test_the_field_is_the_middle_of_the_area():
    stack = SliceStack(np.broadcast_to(np.uint8(0), (3, 2000, 1500)))
    source = Source(stack, window=(slice(401, None), slice(100, 700)))
    assert source.extent == (1599, 600)
    rows, columns = source.field
    assert (rows.stop - rows.start, columns) == (FIELD, slice(100, 700))
    assert rows.start - 401 == (1599 - FIELD) // 2


def test_a_mark_is_touched_where_it_is():
    stack = SliceStack(np.zeros((3, 30, 40), np.uint8))
    source = Source(stack, marks=Marks({0}, {1: [Region(10, 20, np.ones((2, 2), bool))]}))
    window = (slice(0, 11), slice(0, 21))
    assert [source.touches_mark(z, window) for z in range(3)] == [True, True, False]
    assert not source.touches_mark(1, (slice(0, 10), slice(0, 40)))
