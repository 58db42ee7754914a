from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.figures import (
    clipped,
    level_and_contrast,
    sharpness,
    specks,
    stripes,
)
from napari_ssan.inspection.look import look


@pytest.fixture
def grain():
    return np.random.default_rng(5).standard_normal((160, 160)).astype(np.float32)


@pytest.mark.parametrize("spread", [1.5, 4.0, 12.0])
def test_few_grey_values_tell_level_and_contrast_as_well(spread):
    fine = np.random.default_rng(3).normal(100.3, spread, (200, 200)).astype(np.float32)
    true, rounded = look(0, fine), look(0, fine.round())
    assert rounded.level == pytest.approx(true.level, abs=0.02 * spread)
    assert rounded.contrast == pytest.approx(true.contrast, rel=0.04)


def test_a_grey_value_that_most_pixels_share_is_the_level():
    pixels = np.random.default_rng(4).normal(90, 9, (100, 100)).astype(np.float32)
    pixels[:, ::3] = pixels[:, 1::3] = 90
    assert level_and_contrast(pixels.ravel()) == (90, 0)
    seen = look(0, pixels)
    assert seen.level == 90
    assert seen.contrast == seen.scale.contrast > 0


def test_clipped_is_the_share_of_black_or_of_white():
    pixels = np.array([0, 0, 3, 4, 5, 9, 9, 9])
    assert clipped(pixels) == 3 / 8


def test_sharpness_falls_along_the_direction_that_is_blurred(grain):
    down = (grain + np.roll(grain, 1, axis=0)) / 2
    less = sharpness(grain) - sharpness(down)
    assert less[0] > less[1] + 0.2  # down the rows, and along them


def test_stripes_vary_in_one_direction(grain):
    wave = 2 * np.sin(np.arange(160) / 2).astype(np.float32)
    assert stripes(grain + wave) > stripes(grain) + 1
    assert stripes(grain[:40]) == 0  # quadrants are too small


def test_specks_are_told_where_most_parts_have_some(grain):
    detail = np.square(grain)
    dotted, corner = detail.copy(), detail.copy()
    dotted[::20, ::20] = 300
    corner[:20, :20] = 300
    assert specks(dotted) > specks(detail) + 1
    assert specks(corner) == pytest.approx(specks(detail), abs=0.2)
