from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_ssan.errors import Cancelled
from napari_ssan.inspection.leave_out import leave_out
from napari_ssan.stack.lazy import LazySections
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.phantom import BLANK, DIRTY
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source


def test_what_is_surely_broken_is_marked_and_named(broken):
    source = Source(SliceStack(broken.broken))
    found, said = leave_out(source)
    assert BLANK in found.damage.whole
    assert DIRTY in {*found.damage.whole, *found.damage.regions}
    assert f"{BLANK} (blank)" in said
    assert said.startswith("Left out, since they look broken: slices ")
    assert source.damage is None


def test_a_good_stack_stays_as_it_is(broken):
    source = Source(SliceStack(broken.clean))
    found, said = leave_out(source)
    assert said == ""
    assert found is source


def test_finds_lie_where_they_are_in_the_stack(broken):
    area = slice(10, 170), slice(20, 190)
    source = Source(SliceStack(broken.broken), 4, 20, window=area)
    found, _ = leave_out(source)
    assert BLANK in found.damage.whole
    dirty = found.damage.mask(DIRTY, (slice(0, 176), slice(0, 192)))
    truth = broken.broken[DIRTY] != broken.clean[DIRTY]
    assert (dirty & truth).sum() > 0.5 * truth[10:170, 20:190].sum()


def test_marked_sections_are_not_read_and_not_found(broken):
    asked: list[int] = []

    def read(z, window):
        asked.append(z)
        return broken.broken[z][window]

    volume = LazySections(broken.broken.shape, broken.broken.dtype, read)
    marks = Marks({BLANK}, {2: []}, {9: 1})
    found, said = leave_out(Source(SliceStack(volume), marks=marks))
    assert set(asked) == set(range(20)) - {BLANK}
    assert "blank" not in said
    assert found.avoided.whole >= {BLANK}
    assert found.avoided.missing == {9: 1}
    assert marks.whole == {BLANK}


def test_it_says_how_many_more():
    random = np.random.default_rng(0)
    volume = np.repeat(random.integers(60, 200, (1, 64, 64)), 40, axis=0)
    volume = (volume + random.normal(0, 5, volume.shape)).astype(np.uint8)
    volume[1:40:4] = 0
    _, said = leave_out(Source(SliceStack(volume)))
    assert said.endswith(" and 2 more")


def test_it_stops(broken):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        leave_out(Source(SliceStack(broken.broken)), cancel=cancel)
