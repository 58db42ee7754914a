"""The whole inspection.

Covers: napari_ssan.inspection.reasons
"""

from __future__ import annotations

import threading

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ssan.errors import Cancelled
from napari_ssan.events import Progress
from napari_ssan.inspection.find import Inspection
from napari_ssan.inspection.inspect import inspect
from napari_ssan.inspection.view import View
from napari_ssan.stack.sections import SliceStack


class Counting:
    """Array that counts how often each section is read."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.reads: list[int] = []

    def __getitem__(self, index):
        self.reads.append(index[0])
        return self.data[index]


def test_what_is_broken_is_found_and_the_rest_is_not(broken, inspection):
    found = {find.z: find for find in inspection.at_least(0.5).finds}
    assert found.keys() == {6, 11, 16}
    assert found[6].kind == "blank"
    assert found[11].region is None
    assert found[16].kind == "contamination"
    (dirt,) = broken.marks.regions[16]
    true = broken.marks.mask(16, (slice(0, 176), slice(0, 192)))
    seen = np.zeros((176, 192), bool)
    seen[found[16].region.window] = found[16].region.mask
    assert (seen & true).sum() > 0.6 * (seen | true).sum()
    assert (seen & true).sum() > 0.8 * dirt.pixels
    assert inspection.correlation > 0.5
    assert inspection.cannot_tell == ()


def with_margins(sections, *, wide=16, by=5, value=0):
    """Sections within black margins, which end elsewhere in each."""
    random = np.random.default_rng(0)
    framed = np.pad(sections, ((0, 0), (wide, wide), (wide, wide)), "reflect")
    for each in framed:
        (top, left), (bottom, right) = (wide + random.integers(-by, by + 1, 2) for _ in "ab")
        within = np.zeros(each.shape, bool)
        within[top:-bottom, left:-right] = True
        each[~within] = value
    return framed


def test_margins_that_differ_from_section_to_section_are_not_compared(broken, inspection):
    """As in aligned stacks: the tissue is as alike as without them, and its damage is found."""
    *_, found = inspect(View(SliceStack(with_margins(broken.broken))))
    odd = {find.z: find.kind for find in found.at_least(0.5).finds if find.kind != "missing"}
    assert odd == {find.z: find.kind for find in inspection.at_least(0.5).finds}
    assert found.correlation == pytest.approx(inspection.correlation, abs=0.01)


def test_the_most_certain_come_first(inspection):
    ps = [find.p for find in inspection.finds]
    assert ps == sorted(ps, reverse=True)
    assert all(find.reason.endswith(".") for find in inspection.finds)


def test_each_section_is_read_once_and_progress_is_reported(broken):
    data = Counting(broken.clean[:7])
    *steps, found = inspect(View(SliceStack(data)), workers=3)
    assert data.reads == list(range(7))
    assert [(step.done, step.total, step.section) for step in steps] == [
        (z + 1, 7, z) for z in range(7)
    ]
    assert isinstance(found, Inspection)
    assert all(isinstance(step, Progress) for step in steps)


def test_the_result_does_not_depend_on_the_number_of_workers(broken):
    stack = SliceStack(broken.broken[:6])
    one, more = (list(inspect(View(stack), workers=n))[-1].to_json() for n in (1, 3))
    assert one == more


def test_it_stops_at_the_next_section(broken):
    cancel = threading.Event()
    run = inspect(View(SliceStack(broken.clean)), cancel=cancel)
    next(run)
    cancel.set()
    with pytest.raises(Cancelled):
        list(run)


def test_it_says_when_sections_do_not_resemble_each_other():
    random = np.random.default_rng(0)
    stack = random.integers(0, 255, (8, 64, 64), np.uint8)
    stack[3] = 7
    *_, found = inspect(View(SliceStack(stack)))
    assert "Cannot tell regions" in found.cannot_tell[0]
    assert {find.z for find in found.finds if find.p > 0.5} == {3}
    assert all(find.region is None for find in found.finds)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("bright", [1e35, 1e200])
def test_values_that_are_too_large_count_as_none(broken, bright):
    stack = broken.clean[:8].astype(np.float64)
    stack[3, 30:60, 40:90] = bright
    stack[5] *= bright
    *_, found = inspect(View(SliceStack(stack)))
    certain = {find.z: find for find in found.finds if find.p == 1}
    assert (certain[3].kind, certain[5].kind) == ("missing", "blank")
    assert "beyond 1e30" in certain[5].reason


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_large_values_are_judged_as_others_are(broken):
    plain = broken.broken[4:14].astype(np.float64)
    plain[np.random.default_rng(0).random(plain.shape) < 0.6] = 0  # so that their MAD is 0
    *_, found = inspect(View(SliceStack(plain)))
    *_, large = inspect(View(SliceStack(plain * 1e27)))
    assert [(f.z, f.kind) for f in found.finds] == [(f.z, f.kind) for f in large.finds]


def test_a_negative_is_told_from_a_slice_that_is_turned(broken):
    stack = broken.clean.copy()
    stack[9] = 255 - stack[9]
    *_, found = inspect(View(SliceStack(stack)))
    (find,) = found.at_least(0.5).finds
    assert (find.z, find.kind, find.region, find.suggest) == (9, "brightness", None, "synthesize")
    assert find.reason.startswith("It is a negative of both neighbours: correlation -0.")


def test_a_short_stack_is_told_to_be_short(broken):
    *_, found = inspect(View(SliceStack(broken.broken[5:8])))
    assert found.cannot_tell[0].startswith("Only 2 slices show an image; at least 5")
    assert [find.z for find in found.finds if find.p > 0.5] == [1]


def test_a_stack_without_an_image_is_told_to_have_none():
    *_, found = inspect(View(SliceStack(np.zeros((6, 64, 64), np.uint8))))
    assert found.cannot_tell[0].startswith("No slice shows an image;")


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_pixels_without_a_value_are_a_region_and_the_rest_of_the_section_is_kept(broken):
    stack = broken.clean.astype(np.float32)
    stack[9, 30:60, 40:90] = np.nan
    stack[9, 100, 100] = np.inf
    stack[13] = np.nan
    stack[15, 1:] = np.nan
    *_, found = inspect(View(SliceStack(stack)))
    certain = {find.z: find for find in found.finds if find.p == 1}
    assert certain.keys() == {9, 13, 15}
    find = certain[9]
    assert (find.kind, find.gap) == ("missing", 0)
    assert find.reason == "4.4 % of its pixels have no value (NaN, infinite or beyond 1e30)."
    mask = np.zeros(stack.shape[1:], bool)
    mask[find.region.window] = find.region.mask
    bad = ~np.isfinite(stack[9])
    assert mask[bad].all()
    assert mask.sum() < 1.2 * bad.sum()
    assert all(certain[z].kind == "blank" and certain[z].region is None for z in (13, 15))
    assert sum(find.z == 9 and find.p > 0.5 for find in found.finds) == 1


def test_lost_and_foreign_slices_are_found_where_neighbours_are_nearly_equal():
    random = np.random.default_rng(2)
    tissue = gaussian_filter(random.standard_normal((34, 160, 160)), (5, 3, 3))
    stack = (128 + 35 * tissue / tissue.std() + random.normal(0, 2, tissue.shape)).clip(0, 255)
    stack = np.delete(stack.astype(np.uint8), [20, 21], axis=0)
    stack[8] = stack[13]
    *_, found = inspect(View(SliceStack(stack)))
    assert found.correlation > 0.95
    finds = {find.z: find for find in found.finds if find.p >= 0.5}
    assert finds.keys() == {8, 19}
    assert (finds[8].kind, finds[19].kind) == ("discontinuity", "discontinuity")
    assert (finds[8].gap, finds[19].gap) == (0, 2)


@pytest.mark.parametrize("z", [0, 19])
def test_a_dark_spot_in_an_end_slice_is_found_for_sure(broken, z):
    stack = broken.clean.copy()
    stack[z, 60:100, 60:100] = np.quantile(stack[z], 0.1)
    *_, found = inspect(View(SliceStack(stack)))
    finds = [find for find in found.finds if find.p > 0.95]
    assert [(find.z, find.kind) for find in finds] == [(z, "contamination")]


def test_a_stain_gradient_is_to_be_corrected_and_dirt_in_it_is_found(broken):
    stack = broken.clean.astype(np.float32)
    stack[9] *= np.linspace(0.45, 1.25, stack.shape[2])
    stack[9, 120:145, 60:90] = 5
    *_, found = inspect(View(SliceStack(stack.clip(0, 255).astype(np.uint8))))
    finds = [find for find in found.finds if find.p >= 0.5]
    assert {find.z for find in finds} == {9}
    whole, spot = sorted(finds, key=lambda find: find.region is not None)
    assert (whole.kind, whole.suggest, whole.region) == ("brightness", "correct", None)
    assert "shaded" in whole.reason
    assert (spot.kind, spot.suggest) == ("contamination", "synthesize")
    mask = np.zeros(stack.shape[1:], bool)
    mask[spot.region.window] = spot.region.mask
    assert mask[120:145, 60:90].mean() > 0.8


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("side", [4, 8])
def test_the_smallest_sections_are_looked_at(side):
    random = np.random.default_rng(0)
    stack = random.integers(0, 255, (8, side, side), np.uint8)
    *_, found = inspect(View(SliceStack(stack)))
    assert found.slices == 8


def hair(pixels):
    """A dark line, three pixels wide, that bends through most of a section."""
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    middle = 60 + 35 * np.sin(rows / 35)
    on = (np.abs(columns - middle) < 1.6) & (rows > 20) & (rows < 155)
    return np.where(on, np.quantile(pixels, 0.005), pixels), on


@pytest.fixture(scope="session")
def other_laboratories(broken):
    """What is found of damage unlike all that is planted: (stack, finds by section)."""
    stack, random = broken.clean.astype(np.float64), np.random.default_rng(5)
    height, width = stack.shape[1:]
    rows = np.arange(height)[:, None]
    spread = stack[0].std()
    stack[2] += 0.6 * spread * np.sin(2 * np.pi * (rows + 0.5 * np.arange(width)) / 11)
    stack[5, ::2] += 0.7 * spread * random.standard_normal((height // 2, 1))
    specks = random.random((height, width)) < 0.004
    stack[8][specks | np.roll(specks, 1, axis=1)] = 0
    stack[11, :, width // 2 :] = 0
    stack[14], _ = hair(stack[14])
    stack[17, 90:96] = 0
    *_, found = inspect(View(SliceStack(stack.clip(0, 255).astype(np.uint8))))
    by_section = {}
    for find in found.at_least(0.5).finds:
        by_section.setdefault(find.z, []).append(find)
    return stack, by_section


def test_damage_of_other_kinds_is_found_and_nothing_else(other_laboratories):
    _, found = other_laboratories
    assert found.keys() == {2, 5, 8, 11, 14, 17}


@pytest.mark.parametrize(
    ("z", "reason"),
    [(2, "Stripes run across all of it."), (8, "Specks are strewn all over it.")],
)
def test_stripes_and_specks_all_over_a_slice_are_noise(other_laboratories, z, reason):
    _, found = other_laboratories
    assert [(each.kind, each.region, each.reason) for each in found[z]] == [("noise", None, reason)]


def test_noise_by_lines_is_noise(other_laboratories):
    _, found = other_laboratories
    assert [(each.kind, each.region) for each in found[5]] == [("noise", None)]


def test_half_a_slice_is_missing_and_the_other_half_is_kept(other_laboratories):
    stack, found = other_laboratories
    first = found[11][0]
    assert first.kind == "missing"
    mask = np.zeros(stack.shape[1:], bool)
    mask[first.region.window] = first.region.mask
    assert mask[:, 96:].all()
    assert mask[:, :90].mean() < 0.01


def test_a_hair_that_bends_is_found_from_end_to_end(other_laboratories):
    stack, found = other_laboratories
    first = found[14][0]
    assert (first.kind, first.suggest) == ("fold", "synthesize")
    _, true = hair(stack[14])
    mask = np.zeros(true.shape, bool)
    mask[first.region.window] = first.region.mask
    assert (mask & true).sum() > 0.8 * true.sum()


def test_rows_that_are_gone_are_synthesized_and_not_corrected(other_laboratories):
    _, found = other_laboratories
    first = found[17][0]
    assert (first.kind, first.suggest) == ("missing", "synthesize")
    assert first.region.window[0].start <= 90
    assert first.region.window[0].stop >= 96
