"""Covers: napari_ssan.finetune.forecast"""

from __future__ import annotations

from dataclasses import replace
from threading import Event as Flag

import numpy as np
import pytest

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.finetune import division as module
from napari_ssan.finetune.config import FineTuneConfig
from napari_ssan.finetune.division import divide, narrow
from napari_ssan.finetune.forecast import forecast
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.training.events import Preparing


def test_held_out_slices_keep_apart_from_those_that_are_learned_from(stack, config):
    division = divide(stack, config)
    assert division.train == ((0, 18),)
    assert division.held == ((19, 24),)
    # two slices, 18 and 19, lie between; 19 is only looked at, and 23 has one neighbour
    assert division.held_out == (20, 21, 22)
    assert division.crop == 64
    assert division.note == ""


def test_what_is_used_and_left_out_is_told(stack, config):
    division = divide(stack, config)
    assert division.text == "13 triplets, 3 left out: 3 marked"
    assert dict(division.left_out) == {
        (3, 4, 5): "marked",
        (4, 5, 6): "marked",
        (5, 6, 7): "marked",
    }


def test_marks_are_never_judged_on(stack, config):
    mask = np.zeros((64, 72), bool)
    mask[:4, :4] = True  # a small one: the slice may be learned from, but it is no truth
    marks = Marks(regions={21: [Region.from_mask(mask)]})
    with pytest.raises(BadInput, match="Slices 20-23 are held out for judging, but none"):
        divide(replace(stack, marks=marks), config)
    assert divide(
        replace(stack, marks=marks), FineTuneConfig(**config.model_dump() | {"share": 0.3})
    ).held_out == (17, 18, 19)


def test_a_long_stack_is_judged_in_all_its_parts(config, volume):
    long = Source(SliceStack(np.concatenate([volume] * 9)))
    division = divide(long, config)
    assert len(division.train) == len(division.held) == 2
    assert len(division.held_out) == 8
    assert min(division.held_out) < 108 < max(division.held_out)


def test_progress_is_told_and_it_can_be_cancelled(stack, config):
    events = []
    divide(stack, config, events.append)
    inspecting, selecting = (
        [each for each in events if each.text == f"looking for {what}"]
        for what in ("broken slices", "triplets")
    )
    assert events == inspecting + selecting
    assert inspecting[-1] == Preparing("looking for broken slices", 24, 24)
    assert selecting[0] == Preparing("looking for triplets", 0, 24)
    assert events[-1] == Preparing("looking for triplets", 24, 24)
    cancel = Flag()
    cancel.set()
    with pytest.raises(Cancelled):
        divide(stack, config, cancel=cancel)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda v: np.full_like(v, 7), "a slice that is constant"),
        (lambda v: np.full(v.shape, np.nan, np.float32), "not numbers"),
        (lambda v: v[:6], "6 slices are too few"),
        (lambda v: v[:, :4], "at least 8 x 8 are needed"),
    ],
    ids=["constant", "nan", "short", "small"],
)
def test_what_cannot_be_learned_from_is_refused_in_a_sentence(volume, config, change, sentence):
    with pytest.raises(BadInput, match=sentence):
        divide(Source(SliceStack(change(volume))), config)


def test_too_few_good_triplets_are_refused_with_the_reasons(stack, config):
    with pytest.raises(BadInput, match="3 triplets, 13 left out: 13 marked; at least 4 triplets"):
        divide(replace(stack, marks=Marks(set(range(5, 18)))), config)


def test_some_slices_that_are_no_numbers_are_left_out(volume, config):
    broken = volume.astype(np.float32)
    broken[9, 3, 3] = np.nan
    assert divide(Source(SliceStack(broken)), config).learned.counts == {"damaged": 3}


class Huge:
    """An array that is too large to be read."""

    dtype = np.dtype(np.uint16)

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __getitem__(self, index):
        raise AssertionError("it is not read")


def test_a_small_stack_is_used_whole(stack):
    assert narrow(stack) == (stack, "")


def test_a_wide_stack_is_narrowed_to_a_field_with_all_slices():
    source, note = narrow(Source(SliceStack(Huge(100, 8000, 9000))))
    rows, columns = source.area
    side = rows.stop - rows.start
    assert len(source.sections) == 100
    assert side == columns.stop - columns.start > 2000
    assert 100 * side**2 * 2 <= module.LARGEST
    assert (rows.start + rows.stop) // 2 == 4000
    assert "The stack is large" in note
    assert "in the middle" in note


def test_a_long_stack_is_narrowed_to_slices_around_the_marks():
    mask = np.ones((10, 10), bool)
    marks = Marks({700}, {705: [Region(100, 3000, mask)], 710: [Region(100, 3000, mask)]})
    source, note = narrow(Source(SliceStack(Huge(9000, 4000, 4000)), marks=marks))
    rows, columns = source.area
    assert (rows, columns) == (slice(0, 1024), slice(3005 - 512, 3005 + 512))
    assert len(source.sections) == module.LARGEST // (1024 * 1024 * 2)
    assert (source.start + source.stop) // 2 == 705
    assert "around the marks" in note


def test_a_range_and_a_region_are_kept(volume, config):
    source = Source(SliceStack(volume), 2, 20, window=(slice(0, 64), slice(8, 72)))
    division = divide(source, config)
    assert division.train == ((2, 15),)
    assert division.held_out == (17, 18)


def test_the_outlook_tells_device_time_and_loss(stack, config, tmp_path):
    division = divide(stack, config)
    timed = config.model_copy(update={"steps": None, "minutes": 10.0})
    plan = forecast(division, timed, None, threads=2)
    assert plan.device == "CPU (2 threads)"
    assert plan.cost == "about 11 min on this CPU (2 threads), about 1100 steps"
    assert plan.loss == "L_1"
    assert forecast(division, config, None, 1).cost == "on this CPU (1 thread), about 20 steps"
    natural = timed.model_copy(update={"loss": "L_s"})
    assert forecast(division, natural, None).loss == "L_1: there are no VGG16 weights"


def test_the_outlook_names_what_vgg16_compares(stack, config, vgg):
    plan = forecast(divide(stack, config), config.model_copy(update={"loss": "L_s"}), vgg)
    assert plan.loss == "L_s, VGG16 compares relu1_2"
    with pytest.raises(BadInput, match="not available"):
        forecast(divide(stack, config), config.model_copy(update={"device": "cuda:7"}), None)
