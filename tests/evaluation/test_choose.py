from __future__ import annotations

from threading import Event

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.evaluation.choose import Chooser
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """(60, 48, 56) uint8."""
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((60, 48, 56)), (1, 2, 2))
    grain = random.normal(0, 8, structure.shape)
    return (128 + 30 * structure / structure.std() + grain).clip(1, 254).astype(np.uint8)


def chooser(volume: np.ndarray, gap: int = 1, marks: Marks | None = None) -> Chooser:
    return Chooser(SliceStack(volume), gap, marks or Marks())


def test_sections_are_spread_evenly(clean):
    sections = chooser(clean).spread().sections
    assert len(sections) == 20
    assert sections[0] >= 1
    assert sections[-1] <= 58
    assert set(np.diff(sections)) <= {2, 3, 4}


def test_of_a_short_stack_all_that_have_neighbours_are_taken(clean):
    assert chooser(clean[20:29]).spread().sections == list(range(1, 8))
    assert chooser(clean[:3]).spread().sections == [1]


@pytest.mark.parametrize("gap", [2, 3])
@pytest.mark.parametrize("length", [60, 21, 8, 5])
def test_blocks_hide_no_section_twice(clean, gap, length):
    choice = chooser(clean[:length], gap).spread()
    assert all(len(block) == gap for block in choice.blocks)
    assert len(set(choice.sections)) == len(choice.sections) <= 20
    assert min(choice.sections) >= 1
    assert max(choice.sections) <= length - 2


def test_marked_sections_are_no_truth_and_no_neighbours(clean):
    region = Region.from_mask(np.eye(48, 56, dtype=bool))
    marks = Marks({5}, {20: [region]}, {40: 1})
    sections = set(chooser(clean, 1, marks).spread(58).sections)
    assert not sections & {4, 5, 6, 19, 20, 21, 40, 41}
    assert {3, 7, 18, 22, 39, 42} <= sections


def test_copies_and_constant_sections_are_passed_over(clean):
    clean = clean.copy()
    clean[10] = 7
    clean[40] = clean[41]
    sections = set(chooser(clean).spread(58).sections)
    assert not sections & {9, 10, 11, 40, 41}
    assert {8, 12} <= sections


def test_a_stack_that_is_dark_throughout_is_not_damaged(clean):
    assert len(chooser(clean // 4).spread().sections) == 20


def test_named_sections_are_taken_in_order_and_once(clean):
    assert chooser(clean).named([9, 4, 9]).blocks == ((4,), (9,))
    assert chooser(clean, 2).named(range(4, 9)).blocks == ((4, 5), (6, 7), (8, 9))


def test_named_sections_that_tell_nothing_are_left_out_with_the_reason(clean):
    clean = clean.astype(np.float32)
    clean[20, 3, 4] = np.nan
    clean[30] = 5
    clean[40] = clean[41]
    found = chooser(clean, 1, Marks({10})).named(range(60)).left_out
    assert found == {
        0: "has no slice on both sides",
        9: "lies beside slice 10, which is marked as broken or synthetic",
        10: "is marked as broken or synthetic",
        11: "lies beside slice 10, which is marked as broken or synthetic",
        19: "lies beside slice 20, which has pixels that are not finite (NaN or infinite)",
        20: "has pixels that are not finite (NaN or infinite)",
        21: "lies beside slice 20, which has pixels that are not finite (NaN or infinite)",
        29: "lies beside slice 30, which is constant",
        30: "is constant",
        31: "lies beside slice 30, which is constant",
        40: "is identical to slice 41",
        41: "is identical to slice 40",
        59: "has no slice on both sides",
    }


def test_incomplete_sections_are_left_out(clean):
    stack = SliceStack(clean)
    stack.incomplete = frozenset({30})
    found = Chooser(stack, 1, Marks()).named(range(28, 33)).left_out
    assert {z: reason.rpartition("which ")[2] for z, reason in found.items()} == dict.fromkeys(
        (29, 30, 31), "lacks pixels in its file"
    )


def test_a_missing_section_makes_a_gap_wider_than_it_seems(clean):
    choice = chooser(clean, 1, Marks(missing={10: 1})).named([9, 10, 11, 12])
    assert choice.sections == [9, 12]
    assert choice.left_out == dict.fromkeys((10, 11), "lies beside a missing section")


def test_the_nearest_are_on_both_sides(clean):
    assert chooser(clean, 1, Marks({30})).nearest(30, 3).sections == [27, 28, 32]
    assert chooser(clean).nearest(0, 3).sections == [1, 2, 3]
    assert chooser(clean).nearest(59, 2).sections == [57, 58]


def test_far_away_is_not_near(clean):
    with pytest.raises(BadInput, match="No good slice was found"):
        chooser(clean, 1, Marks(set(range(40)))).nearest(10, 3)


@pytest.mark.parametrize(
    ("shape", "gap", "said"),
    [
        ((2, 48, 48), 1, "at least 3"),
        ((4, 48, 48), 3, "at least 5"),
        ((9, 20, 48), 1, "20 x 48"),
        ((9, 48, 48), 4, "1, 2 or 3"),
    ],
)
def test_what_cannot_be_judged_is_refused(shape, gap, said):
    with pytest.raises(BadInput, match=said):
        chooser(np.zeros(shape, np.uint8), gap)


def test_nothing_good_is_refused(clean):
    with pytest.raises(BadInput, match="No good slice"):
        chooser(np.zeros((9, 48, 48), np.uint8)).spread()
    with pytest.raises(BadInput, match="slice 0 has no slice on both sides"):
        chooser(clean).named([0, 59])
    with pytest.raises(BadInput, match="Slice 60 is not in the stack"):
        chooser(clean).named([3, 60])
    with pytest.raises(BadInput, match="No slice is named"):
        chooser(clean).named([])


def test_it_says_how_far_it_is_and_stops(clean):
    seen: list[tuple[int, int]] = []
    chooser(clean).spread(5, lambda *step: seen.append(step))
    assert seen == [(n, 5) for n in range(6)]
    flag = Event()
    flag.set()
    with pytest.raises(Cancelled):
        Chooser(SliceStack(clean), 1, Marks(), flag).spread()
