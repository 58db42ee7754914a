from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.stack.split import split_by_z, split_source


@pytest.mark.parametrize("gap", [0, 1, 2, 5])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_no_section_is_on_two_sides(share, gap):
    for count in [*range(20, 120, 7), 149, 150, 151, 400, 1003]:
        for start in (0, 13):
            train, validation = split_by_z(start, start + count, share, gap)
            assert split_by_z(start, start + count, share, gap) == (train, validation)
            blocks = sorted([*train, *validation], key=lambda block: block.start)
            assert all(len(block) >= 3 for block in blocks)
            assert blocks[0].start == start
            assert blocks[-1].stop == start + count
            for one, other in pairwise(blocks):
                assert other.start - one.stop == gap
                assert (one in train) != (other in train)
            held = sum(map(len, validation))
            assert held == pytest.approx(share * count, abs=2 * len(validation) + 1)


def test_a_long_stack_is_validated_all_along():
    train, validation = split_by_z(0, 1000, 0.2)
    assert len(train) == len(validation) == 10
    assert len(list(chain(*train))) == 800 - 2 * 10 - 2 * 9


def test_a_small_stack():
    assert split_by_z(0, 8, 0.2) == ([range(3)], [range(5, 8)])
    assert split_by_z(4, 24, 0.2) == ([range(4, 18)], [range(20, 24)])
    assert split_by_z(0, 5, 0) == ([range(5)], [])


@pytest.mark.parametrize(
    ("count", "share", "why"),
    [(7, 0.2, "too few"), (20, 0.9, "too few"), (20, 1, "share"), (20, -0.1, "share")],
)
def test_impossible_splits_are_refused(count, share, why):
    with pytest.raises(BadInput, match=why):
        split_by_z(0, count, share)


@pytest.mark.parametrize("spacing", [1, 4, 5])
def test_sources_keep_apart_by_their_spacing(spacing):
    stack = SliceStack(np.zeros((120, 8, 8), np.uint8))
    for stop in range(8 * spacing + 3, 120, 11):
        source = Source(stack, 3, stop, spacing)
        train, validation = split_source(source, 0.2)
        assert (train[0].stack, train[0].spacing) == (stack, spacing)
        assert validation[0].start - train[0].stop == 2 * spacing
        assert validation[-1].stop == stop
        for part in (*train, *validation):
            assert part.start + 2 * spacing < part.stop  # holds a triplet
