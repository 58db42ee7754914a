"""Covers: napari_ssan.stack.comparison"""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_ssan.errors import Cancelled
from napari_ssan.stack.comparison import flaw
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.phantom import BLANK, SMEARED, phantom
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
    assert 4 in left_out(chosen(volume), "damaged")
    marked = chosen(volume, Marks(regions={4: [square(0, 0, 40, 50)]}))
    assert str(marked) == "10 triplets, none left out"
    assert marked.intensities[4].mean == pytest.approx(marked.intensities[3].mean, abs=5)


@pytest.mark.parametrize("damage", ["blank", "not finite", "dark", "faint"])
def test_damaged_sections_are_left_out(tissue, damage):
    volume = tissue().astype(np.float32)
    if damage == "blank":
        volume[5] = 200
    elif damage == "not finite":
        volume[5, 50, 50] = np.nan
    elif damage == "dark":
        volume[5] -= 60
    else:
        volume[5] = 128 + (volume[5] - 128) * 0.3
    selection = chosen(volume)
    assert left_out(selection, "damaged") == [4, 5, 6]
    assert selection.counts == {"damaged": 3}


def test_incomplete_sections_are_left_out(tissue):
    stack = SliceStack(tissue())
    stack.incomplete = frozenset({5})
    assert left_out(select(Source(stack), size=32), "damaged") == [4, 5, 6]


def test_brightness_that_always_jumps_is_no_damage(tissue):
    jumps = np.random.default_rng(1).uniform(-40, 40, (12, 1, 1))
    assert str(chosen(tissue() + jumps)) == "10 triplets, none left out"


def test_discontinuity_is_found(tissue):
    volume = np.concatenate([tissue(seed=0), tissue(seed=1)])
    selection = chosen(volume)
    assert left_out(selection, "too different") == [11, 12]
    assert selection.counts == {"too different": 2}


def test_sections_that_never_resemble_each_other_are_not_judged():
    volume = np.random.default_rng(0).integers(0, 255, (9, 70, 80)).astype(np.uint8)
    assert str(chosen(volume)) == "7 triplets, none left out"


def test_blur_is_found(tissue):
    volume = tissue()
    volume[6] = gaussian_filter(volume[6].astype(float), 1.5)
    selection = chosen(volume)
    assert left_out(selection, "unlike in blur") == [5, 6, 7]
    assert str(selection) == "7 triplets, 3 left out: 3 blurred"


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


def test_without_a_close_look_only_empty_sections_are_left_out(tissue):
    volume = tissue()
    volume[3] = volume[3] // 3
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


def test_flaws_of_tiles(tissue):
    unit = (tissue((3, 96, 96)).astype(np.float32) - 128) / 180 + 0.5
    level = 0.5
    assert flaw(unit, level) is None
    assert flaw([unit[0], unit[1], np.full_like(unit[1], 0.4)], level) == "damaged"
    assert flaw([unit[0], unit[1], unit[2].T], level) == "too different"
    assert flaw([unit[0], unit[1], unit[2].T], 0.05) is None
    assert flaw([unit[0], gaussian_filter(unit[1], 1.5), unit[2]], level) == "unlike in blur"


def test_phantom():
    sample = phantom((18, 192, 192))
    assert not select(Source(SliceStack(sample.clean))).reasons
    selection = select(Source(SliceStack(sample.broken)))
    around = {z + step for z in (BLANK, SMEARED) for step in (-1, 0, 1)}
    # the dirt is marked by its outline: whether it stands out depends on the section's size
    assert {sections[1] for sections in selection.reasons} - {15, 16} == around
    marked = select(Source(SliceStack(sample.broken), marks=sample.marks))
    assert set(left_out(marked, "marked")) >= around
    assert set(marked.counts) == {"marked"}


@pytest.mark.parametrize(
    ("part", "spacing", "needed"),
    [
        (("vnc_stack2_raw", 5, 13), 1, set()),
        (("kasthuri_z000-097", 56, 64), 1, set()),
        (("neuroproof_fib_sample1", 90, 135), 4, set()),
        # 8 is too dark; 9-10, 10-11 and 19-20 do not go together, aligned or not
        (("isbi2012_train_volume", 0, 30), 1, {7, 8, 9, 10, 11, 19, 20}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_real_stacks(data_folder, part, spacing, needed):
    name, start, stop = part
    stack = SliceStack(tifffile.imread(data_folder / "data" / f"{name}.tif"))
    selection = select(Source(stack, start, stop, spacing))
    assert {sections[1] for sections in selection.reasons} == needed
