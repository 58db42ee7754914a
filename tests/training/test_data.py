from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.stack.binned import Binned
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.stack.triplets import TripletSampler
from napari_ssan.training.data import check_apart, crops_of, hold_out, source_record

from .conftest import make_volume


def test_held_out_blocks_share_no_section_and_keep_apart(source):
    train, held = hold_out([source, source], 0.2)
    learned = {z for each in train for z in each.sections}
    judged = {z for each in held for z in each.sections}
    assert min(judged) - max(learned) == 3
    assert len(train) == 2
    assert len(held) == 1
    check_apart(train, held)


def test_sections_on_both_sides_are_refused():
    volume = make_volume()
    train = [Source(SliceStack(volume), 0, 10)]
    # The same file, opened again.
    again = SliceStack(volume.copy())
    check_apart(train, [Source(again, 10, 16)])
    with pytest.raises(BadInput, match="Slices 8 to 9 "):
        check_apart(train, [Source(again, 8, 16)])
    check_apart(train, [Source(SliceStack(make_volume(seed=1)), 0, 16)])


@pytest.mark.parametrize("joined", [1, 2])
def test_a_stack_cut_along_another_axis_is_the_same_stack(joined):
    volume = np.random.default_rng(0).integers(0, 255, (64, 64, 64), np.uint8)

    def cut(axis: int, start: int, stop: int, window=None, seed=volume) -> Source:
        stack = SliceStack(Binned(SliceStack(seed.copy(), axis), joined))
        return Source(stack, start, stop, window=window)

    held = [Source(SliceStack(volume), 40, 64)]
    upper = slice(0, 40 // joined)  # axis 1 has the sections of axis 0 as rows
    check_apart([cut(1, 0, 64, (upper, slice(None)))], held)
    check_apart([cut(2, 0, 64, (upper, slice(None)))], held)
    check_apart([cut(1, 0, 64, seed=volume[::-1] + np.uint8(1))], held)
    for axis in (1, 2):
        with pytest.raises(BadInput, match=f"cut along axes {axis} and 0"):
            check_apart([cut(axis, 0, 64)], held)
    elsewhere = [Source(SliceStack(volume), 40, 64, window=(slice(0, 30), slice(None)))]
    check_apart([cut(1, 30, 64)], elsewhere)


def test_a_description_tells_sources_apart(source):
    volume = make_volume()
    assert source_record(source) == source_record(Source(SliceStack(volume.copy())))
    others = [
        Source(SliceStack(make_volume(seed=1))),
        Source(SliceStack(volume), 1),
        Source(SliceStack(volume), spacing=2),
        Source(SliceStack(volume), marks=Marks({3})),
        Source(SliceStack(volume), window=(slice(0, 48), slice(None))),
        Source(SliceStack(volume.astype(np.float32))),
    ]
    known = [str(source_record(each)) for each in (source, *others)]
    assert len(set(known)) == len(known)


def test_an_epoch_has_all_crops_of_all_good_triplets():
    source = Source(SliceStack(make_volume()), window=(slice(0, 40), slice(0, 64)))
    sampler = TripletSampler([source, source], 32, 0)
    triplets = [len(selection.triplets) for selection in sampler.selections]
    assert crops_of(sampler) == 2 * triplets[0] * (40 // 32) * (64 // 32)
