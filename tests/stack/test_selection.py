"""Covers: napari_ssan.stack.comparison"""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_ssan.errors import Cancelled
from napari_ssan.stack.comparison import is_blank
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.selection import SPANS, Selection, select
from napari_ssan.stack.source import Source


def chosen(volume: np.ndarray, marks: Marks | None = None, **options) -> Selection:
    size = options.pop("size", 32)
    return select(Source(SliceStack(volume), marks=marks, **options), size=size)


def targets(selection: Selection) -> list[int]:
    return [triplet.target for triplet in selection.triplets]


def left_out(selection: Selection, reason: str) -> list[int]:
    return [sections[1] for sections, why in selection.reasons.items() if why == reason]


def square(top: int, left: int, height: int, width: int) -> Region:
    return Region(top, left, np.ones((height, width), bool))


def test_a_good_stack_is_kept_whole(tissue):
    selection = chosen(tissue())
    assert targets(selection) == list(range(1, 11))
    assert str(selection) == "10 triplets, none left out"
    assert all(t.position == 0.5 for t in selection.triplets)
    assert all(shift == (0, 0) for t in selection.triplets for _, shift in t.shifted)
    assert sorted(selection.intensities) == list(range(12))


def test_wider_triplets_lie_across_good_neighbours(tissue):
    volume = tissue()
    volume[5] = 0
    selection = chosen(volume)
    assert list(selection.wider) == [span for span in SPANS if span > 2]
    for span, triplets in selection.wider.items():
        assert triplets
        for triplet in triplets:
            assert triplet.last - triplet.first == span
            assert triplet.position == (triplet.target - triplet.first) / span
            assert not triplet.first <= 5 <= triplet.last
    firsts = {t.first for t in selection.wider[4]}
    assert firsts == {0, 6, 7}


def test_marked_sections_are_left_out_and_not_read(tissue, counting):
    volume = counting(tissue())
    selection = chosen(volume, Marks({3}, missing={7: 1}))
    assert left_out(selection, "marked") == [2, 3, 4, 7, 8]
    assert volume.reads[3].sum() == 0
    assert str(selection) == "5 triplets, 5 left out: 5 marked"
    assert selection.counts == {"marked": 5}


def test_a_small_region_leaves_a_triplet_in_use_and_a_large_one_does_not(tissue):
    regions = {4: [square(0, 0, 20, 20)], 8: [square(0, 0, 90, 110)]}
    assert left_out(chosen(tissue(), Marks(regions=regions)), "marked") == [7, 8, 9]


def test_regions_that_together_leave_no_room(tissue):
    halves = {4: [square(0, 0, 96, 60)], 5: [square(0, 50, 96, 60)]}
    assert left_out(chosen(tissue(), Marks(regions=halves)), "marked") == [4, 5]


def test_marked_pixels_do_not_count(tissue):
    volume = tissue()
    volume[4, :40, :50] = 0
    marked = chosen(volume, Marks(regions={4: [square(0, 0, 40, 50)]}))
    assert str(marked) == "10 triplets, none left out"
    assert marked.intensities[4].mean == pytest.approx(marked.intensities[3].mean, abs=5)


@pytest.mark.parametrize("damage", ["blank", "not finite"])
def test_empty_sections_are_left_out(tissue, damage):
    volume = tissue().astype(np.float32)
    if damage == "blank":
        volume[5] = 200
    else:
        volume[5, 50, 50] = np.nan
    selection = chosen(volume)
    assert left_out(selection, "damaged") == [4, 5, 6]
    assert selection.counts == {"damaged": 3}


def test_incomplete_sections_are_left_out(tissue):
    stack = SliceStack(tissue())
    stack.incomplete = frozenset({5})
    assert left_out(select(Source(stack), size=32), "damaged") == [4, 5, 6]


def test_chunks_are_looked_for_where_sections_are_read(tissue, looked):
    stack = SliceStack(tissue())
    stack.incomplete = looked(5, 11)
    selection = select(Source(stack, 2, 9), size=32)
    assert left_out(selection, "damaged") == [4, 5, 6]
    assert stack.incomplete.asked <= set(range(2, 9))


def test_what_looks_broken_is_left_out(tissue):
    damage = Marks({3}, {7: [square(0, 0, 20, 20)], 9: [square(0, 0, 90, 110)]})
    selection = chosen(tissue(), Marks(missing={0: 1}), damage=damage)
    assert left_out(selection, "marked") == [1]
    assert left_out(selection, "damaged") == [2, 3, 4, 8, 9, 10]


def test_triplets_across_lost_sections_are_left_out(tissue):
    selection = chosen(tissue(), damage=Marks(missing={6: 2}))
    assert left_out(selection, "too different") == [6, 7]
    assert str(selection) == "8 triplets, 2 left out: 2 too different"


def test_sections_that_never_resemble_each_other_are_not_judged():
    volume = np.random.default_rng(0).integers(0, 255, (9, 70, 80)).astype(np.uint8)
    assert str(chosen(volume)) == "7 triplets, none left out"


@pytest.mark.parametrize("spacing", [1, 2])
def test_shifted_sections_are_aligned(tissue, spacing):
    volume = np.repeat(tissue((9, 160, 170)), spacing, axis=0)
    shifts = {3: (6, -9), 4: (6, -9), 7: (-4, 2)}
    for z, shift in shifts.items():
        part = slice(z * spacing, (z + 1) * spacing)
        volume[part] = np.roll(volume[part], shift, axis=(1, 2))
    selection = chosen(volume, spacing=spacing)
    assert not selection.reasons
    wide = [triplet for triplets in selection.wider.values() for triplet in triplets]
    for triplet in [*selection.triplets, *wide]:
        own = shifts.get(triplet.target // spacing, (0, 0))
        for z, found in triplet.shifted:
            back = shifts.get(z // spacing, (0, 0))
            assert found == (own[0] - back[0], own[1] - back[1])


def test_only_the_window_counts(tissue):
    volume = tissue((10, 200, 120))
    volume[4, :90] = 0
    volume[6, 90:] = 0
    selection = chosen(volume, window=(slice(0, 90), slice(None)))
    assert left_out(selection, "damaged") == [3, 4, 5]


def test_each_section_is_looked_at_once_in_a_field_of_bounded_size(counting):
    random = np.random.default_rng(0)
    volume = counting(random.integers(0, 255, (3, 1100, 1300)).astype(np.uint8))
    chosen(volume)
    assert volume.reads.max() == 1
    assert volume.reads.sum() == 3 * 1024 * 1024
    assert volume.most == 1024 * 1024


def test_without_a_close_look_nothing_is_aligned(tissue):
    volume = tissue()
    volume[6] = 0
    volume[9] = np.roll(volume[9], 5, axis=1)
    selection = select(Source(SliceStack(volume)), closely=False)
    assert left_out(selection, "damaged") == [5, 6, 7]
    assert selection.counts == {"damaged": 3}
    assert all(shift == (0, 0) for t in selection.triplets for _, shift in t.shifted)


def test_progress_and_cancelling(tissue):
    heard, stop = [], threading.Event()

    def report(done: int, total: int) -> None:
        heard.append((done, total))
        if done == 5:
            stop.set()

    source = Source(SliceStack(tissue()))
    with pytest.raises(Cancelled):
        select(source, report, stop)
    assert heard == [(n, 12) for n in range(6)]
    heard.clear()
    select(source, lambda *now: heard.append(now))
    assert heard == [(n, 12) for n in range(13)]


def test_tiles_without_contrast(tissue):
    unit = (tissue((3, 96, 96)).astype(np.float32) - 128) / 180 + 0.5
    assert not is_blank(unit)
    assert is_blank([unit[0], unit[1], np.full_like(unit[1], 0.4)])
