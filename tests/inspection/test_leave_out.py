from __future__ import annotations

import threading

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_ssan.errors import Cancelled
from napari_ssan.evaluation.choose import Chooser
from napari_ssan.inspection.leave_out import leave_out
from napari_ssan.stack.lazy import LazySections
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.phantom import BLANK, DIRTY, SMEARED
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.selection import Selection, select
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


def test_incomplete_sections_are_not_read_and_others_not_asked_about(broken, looked):
    stack = SliceStack(broken.broken)
    stack.incomplete = looked(BLANK)
    found, said = leave_out(Source(stack, 4, 20))
    assert "blank" not in said
    assert BLANK not in found.avoided.whole
    assert stack.incomplete.asked <= set(range(4, 20))


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


def learned(volume, *part) -> Selection:
    """Triplets that are left after an inspection."""
    return select(leave_out(Source(SliceStack(volume), *part))[0], size=32)


def around(selection: Selection, reason: str) -> list[int]:
    return [sections[1] for sections, why in selection.reasons.items() if why == reason]


@pytest.mark.parametrize("damage", ["dark", "faint", "blurred", "margin"])
def test_damaged_sections_are_not_learned_from(tissue, damage):
    volume = tissue().astype(np.float32)
    if damage == "dark":
        volume[5] -= 60
    elif damage == "faint":
        volume[5] = 128 + (volume[5] - 128) * 0.3
    elif damage == "blurred":
        volume[5] = gaussian_filter(volume[5], 1.5)
    else:
        volume[5, :80] = 0
    selection = learned(volume)
    assert around(selection, "damaged") == [4, 5, 6]
    assert selection.counts == {"damaged": 3}


def test_brightness_that_always_jumps_is_no_damage(tissue):
    jumps = np.random.default_rng(1).uniform(-40, 40, (12, 1, 1))
    assert str(learned(tissue() + jumps)) == "10 triplets, none left out"


def test_triplets_across_a_discontinuity_are_not_learned_from(tissue):
    selection = learned(np.concatenate([tissue(seed=0), tissue(seed=1)]))
    assert around(selection, "too different") == [11, 12]
    assert selection.counts == {"too different": 2}


def test_damaged_sections_are_not_judged_on(tissue):
    volume = tissue((24, 96, 110))
    volume[5] = 7
    volume[10] = gaussian_filter(volume[10].astype(float), 3)
    volume[15, :60] = 0
    volume[20] = volume[21]
    source, _ = leave_out(Source(SliceStack(volume)))
    sections = set(Chooser(source.stack, 1, source.avoided).spread(22).sections)
    assert not sections & {4, 5, 6, 9, 10, 11, 14, 15, 16, 20, 21}
    assert {7, 8, 12, 13, 17, 18} <= sections


def test_what_is_learned_of_a_generated_stack(broken):
    assert not learned(broken.clean).reasons
    selection = learned(broken.broken)
    beside = {z + step for z in (BLANK, SMEARED) for step in (-1, 0, 1)}
    # the dirt is a region: tiles beside it may be drawn
    assert {sections[1] for sections in selection.reasons} - {15, 16, 17} == beside


@pytest.mark.parametrize(
    ("part", "needed"),
    [
        (("vnc_stack2_raw", 5, 13), set()),
        # 60 has a large contamination, but tiles beside it can be drawn
        (("kasthuri_z000-097", 56, 64), set()),
        (("neuroproof_fib_sample1", 90, 135, 4), set()),
        (("isbi2012_train_volume", 0, 30), set()),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_learned_of_real_stacks(data_folder, part, needed):
    name, *bounds = part
    selection = learned(tifffile.imread(data_folder / "data" / f"{name}.tif"), *bounds)
    assert {sections[1] for sections in selection.reasons} == needed
