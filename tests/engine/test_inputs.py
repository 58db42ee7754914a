"""What a job needs, gathered: it crosses a process, and nothing else is read."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate

from napari_ssan.engine.inputs import gather
from napari_ssan.engine.methods import make_method
from napari_ssan.engine.plan import plan
from napari_ssan.engine.repair import repair
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.survey import Survey
from napari_ssan.engine.synthesis import synthesize
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.registration import find_placement
from napari_ssan.stack.sections import SliceStack

MARKS = {
    "whole": Marks({2}),
    "region": Marks(regions={2: [Region(40, 30, np.ones((20, 25), bool))]}),
    "inserted": Marks(missing={2: 1}),
    "copied": Marks({4}),
}


def turned(dtype: str) -> np.ndarray:
    """Sections that are turned against each other, (5, 130, 150)."""
    texture = 128 + 300 * gaussian_filter(np.random.default_rng(0).standard_normal((130, 150)), 4)
    angles = (-3, -1.5, 0, 1.5, 3)
    views = [rotate(texture, angle, reshape=False, mode="reflect") for angle in angles]
    return np.clip(views, 0, 255).astype(dtype)


def inputs_of(stack: SliceStack, marks: Marks, method):
    survey = Survey(stack, marks, method.tiling.reach)
    (job,), _ = plan(survey)
    shape = stack.shape[1:]
    return gather(survey, job, method.tiling.grid(shape, job.rimmed(shape)))


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("kind", MARKS)
def test_a_patch_can_be_made_elsewhere(kind, mapped, tiny_model, monkeypatch):
    if mapped:
        monkeypatch.setattr("napari_ssan.engine.stored.LARGEST_BUFFER", 0)
    method = make_method("ssan", tiny_model, "cpu")
    inputs = inputs_of(SliceStack(turned("uint8")), MARKS[kind], method)
    *_, here = synthesize(inputs, method, with_error=True)
    *_, there = synthesize(pickle.loads(pickle.dumps(inputs)), method, with_error=True)
    back = pickle.loads(pickle.dumps(there))
    assert isinstance(back, Patch)
    assert back.record == here.record
    assert (back.slot, back.top, back.left) == (here.slot, here.top, here.left)
    np.testing.assert_array_equal(back.pixels, here.pixels)
    if kind == "copied":
        assert back.error is None
    else:
        np.testing.assert_array_equal(back.error, here.error)


def test_what_was_not_interpolated_keeps_its_dtype():
    method = make_method("average", "", "auto")
    still = np.random.default_rng(0).integers(0, 2000, (5, 70, 80)).astype(np.uint16)
    for volume, dtype in ((still, np.uint16), (turned("uint16"), np.float32)):
        inputs = inputs_of(SliceStack(volume), Marks({2}), method)
        assert {tile.dtype for near in inputs.neighbours for row in near.tiles for tile in row} == {
            np.dtype(dtype)
        }
    tiles = inputs_of(SliceStack(still), Marks({2}), method).neighbours[0].tiles
    np.testing.assert_array_equal(tiles[0][0][:70, :80], still[1])


def test_of_a_region_its_own_good_pixels_are_taken_along():
    volume = turned("float32")
    volume[2, 39, 30] = np.nan
    method = make_method("average", "", "auto")
    inputs = inputs_of(SliceStack(volume), MARKS["region"], method)
    assert inputs.grid.window == (slice(39, 61), slice(29, 56))
    np.testing.assert_array_equal(inputs.own, volume[2][inputs.grid.window])
    good = np.ones((22, 27), bool)
    good[1:-1, 1:-1] = good[0, 1] = False
    np.testing.assert_array_equal(inputs.good, good)


def test_synthesis_reads_nothing():
    volume = turned("uint8")
    read = []

    class Watched:
        shape, dtype = volume.shape, volume.dtype

        def __getitem__(self, index):
            read.append(index)
            return volume[index]

    method = make_method("average", "", "auto")
    steps = synthesize(inputs_of(SliceStack(Watched()), MARKS["region"], method), method)
    before = len(read)
    assert before
    list(steps)
    assert len(read) == before


def test_a_pair_is_registered_once_for_all_sections_of_its_gap(monkeypatch):
    pairs = []

    def find(stack, before, after, *rest):
        pairs.append((before, after))
        return find_placement(stack, before, after, *rest)

    monkeypatch.setattr("napari_ssan.engine.survey.find_placement", find)
    repaired = repair(turned("uint8"), Marks({3}, missing={0: 4}), method="registered")
    assert len(repaired.slots) == 9
    assert pairs == [(0, 1), (2, 4)]
