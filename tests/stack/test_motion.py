from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from napari_ssan.engine.repair import repair
from napari_ssan.engine.survey import Survey
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.motion import PASSES, Motion, find_motion, read_moved
from napari_ssan.stack.registration import HERE
from napari_ssan.stack.sections import SliceStack

SHAPE = (256, 288)
FARTHEST = 8.0


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    random = np.random.default_rng(0)
    image = gaussian_filter(random.standard_normal(SHAPE), 4)
    return (128 + 40 * image / image.std()).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    coarse = np.random.default_rng(1).uniform(-1, 1, (2, 4, 4))
    smooth = np.stack([zoom(part, [n / 4 for n in SHAPE], order=3) for part in coarse])
    return FARTHEST * smooth / np.abs(smooth).max()


def moved(image: np.ndarray, by: np.ndarray) -> np.ndarray:
    pixels = map_coordinates(image.astype(float), np.indices(SHAPE) + by, order=3, mode="reflect")
    return pixels.round().clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def stack(tissue, field) -> SliceStack:
    """Tissue that moves one way and then the other; the section between is the tissue."""
    return SliceStack(np.stack([moved(tissue, field), tissue, moved(tissue, -field)]))


def everywhere(z, window):
    return np.ones([part.stop - part.start for part in window], bool)


def inner(image):
    return image[..., 24:-24, 24:-24].astype(float)


def test_motion_is_found_and_taken_back(stack, tissue, field):
    motion = find_motion(stack, 0, 2, HERE, everywhere)
    window = slice(0, SHAPE[0]), slice(0, SHAPE[1])
    assert np.abs(inner(motion.at(window)) - inner(2 * field)).mean() < 2
    before = np.abs(inner(stack.read(0)) - inner(tissue)).mean()
    for z, share in ((0, -0.5), (2, 0.5)):
        placed = read_moved(stack, z, window, HERE, motion, share)
        assert np.abs(inner(placed) - inner(tissue)).mean() < 0.3 * before


def test_large_motion_takes_several_passes(tissue, field, monkeypatch):
    wide = 1.8 * zoom(field, (1, 2, 2), order=1)
    big = zoom(tissue, 2, order=1)[: wide.shape[1], : wide.shape[2]]
    grid = np.indices(big.shape)
    stack = SliceStack(np.stack([
        map_coordinates(big, grid + share * wide, order=1, mode="reflect") for share in (1, 0, -1)
    ]))  # fmt: skip
    window = slice(0, big.shape[0]), slice(0, big.shape[1])
    assert np.abs(wide).max() > 14
    errors = []
    for passes in (1, PASSES):
        monkeypatch.setattr("napari_ssan.stack.motion.PASSES", passes)
        motion = find_motion(stack, 0, 2, HERE, everywhere)
        errors.append(np.abs(inner(motion.at(window)) - inner(2 * wide)).mean())
    assert errors[1] < min(1, 0.7 * errors[0]), errors


def test_a_part_is_read_as_it_is_in_the_whole(stack, monkeypatch):
    motion = find_motion(stack, 0, 2, HERE, everywhere)
    whole = read_moved(stack, 0, (slice(0, 256), slice(0, 288)), HERE, motion, -0.5)
    part = read_moved(stack, 0, (slice(40, 90), slice(100, 200)), HERE, motion, -0.5)
    np.testing.assert_allclose(part, whole[40:90, 100:200], atol=0.5)
    monkeypatch.setattr("napari_ssan.stack.motion.BLOCK", 64)
    blocks = read_moved(stack, 0, (slice(0, 256), slice(0, 288)), HERE, motion, -0.5)
    np.testing.assert_allclose(blocks, whole, atol=0.5)


def test_nothing_moves_where_sections_are_alike_or_strangers(tissue, stack):
    strange = np.random.default_rng(2).permutation(tissue.reshape(-1)).reshape(SHAPE)
    blank = np.full(SHAPE, 9, np.uint8)
    for other in (tissue, tissue[::-1], strange, blank):
        assert find_motion(SliceStack(np.stack([tissue, other])), 0, 1, HERE, everywhere) is None
    small = SliceStack(np.asarray(stack.read(0))[None, :64, :64].repeat(3, 0))
    assert find_motion(small, 0, 2, HERE, everywhere) is None


def test_marked_pixels_have_no_say(stack):
    spoilt = np.stack([stack.read(z) for z in range(3)])
    spoilt[2, 100:140, 100:150] = 255
    marks = Marks()
    marked = np.zeros(SHAPE, bool)
    marked[100:140, 100:150] = True

    def valid(z, window):
        return ~marked[window] if z == 2 else everywhere(z, window)

    first = find_motion(SliceStack(spoilt), 0, 2, HERE, valid)
    spoilt[2, 100:140, 100:150] = 3
    second = find_motion(SliceStack(spoilt), 0, 2, HERE, valid)
    np.testing.assert_array_equal(first.field, second.field)
    assert not marks


def test_a_repair_follows_it_and_a_pair_is_looked_at_once(stack, tissue, monkeypatch):
    marks = Marks({1})
    made = repair(stack, marks, method="average")[1]
    monkeypatch.setattr("napari_ssan.engine.survey.find_motion", lambda *_: None)
    without = repair(stack, marks, method="average")[1]
    error, before = (np.abs(inner(each) - inner(tissue)).mean() for each in (made, without))
    assert error < 0.4 * before
    monkeypatch.undo()
    survey = Survey(stack, marks, 16)
    assert isinstance(survey.motion(0, 2), Motion)
    assert survey.motion(0, 2) is survey.motion(0, 2)
