from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from napari_ssan.stack.alignment import NOWHERE, find_shift, read_shifted
from napari_ssan.stack.sections import SliceStack


@pytest.fixture
def texture() -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal((200, 220))
    return 100 + 400 * gaussian_filter(noise, 5)


@pytest.mark.parametrize("offset", [(7, -12), (3.4, 5.2)])
def test_a_shift_is_found_through_grain(texture, offset):
    random = np.random.default_rng(2)
    moving = shift(texture, np.negative(offset), order=3, mode="reflect")
    noisy = [image + random.normal(0, 10, image.shape) for image in (texture, moving)]
    assert find_shift(*noisy) == pytest.approx(offset, abs=0.3)


def test_marked_pixels_play_no_part(texture):
    moving = shift(texture, (-6, 4), order=3, mode="reflect")
    valid = np.ones(texture.shape, bool)
    valid[60:120, 50:150] = False
    dirty = np.where(valid, texture, np.random.default_rng(3).normal(0, 1e4, texture.shape))
    clean = find_shift(np.where(valid, texture, 0), moving, valid)
    assert find_shift(dirty, moving, valid) == clean == pytest.approx((6, -4), abs=0.6)
    swapped = find_shift(moving, dirty, None, valid)
    assert swapped == pytest.approx((-6, 4), abs=0.6)


def test_unrelated_sections_stay_where_they_are(texture):
    other = 400 * gaussian_filter(np.random.default_rng(9).standard_normal(texture.shape), 5)
    assert find_shift(texture, other) == NOWHERE
    assert find_shift(texture, np.zeros_like(texture)) == NOWHERE


def test_sections_in_register_stay_where_they_are(texture):
    assert find_shift(texture, texture * 1.1 + 3) == NOWHERE


def test_whole_shifts_move_pixels_as_they_are(texture):
    stack = SliceStack(np.stack([texture] * 3))
    moved = read_shifted(stack, 1, (slice(50, 90), slice(60, 100)), (3.0, -4.0))
    np.testing.assert_array_equal(moved, texture[47:87, 64:104])


def test_fractions_are_interpolated(texture):
    stack = SliceStack(np.stack([texture] * 3))
    moved = read_shifted(stack, 1, (slice(50, 90), slice(60, 100)), (2.5, -1.3))
    whole = shift(texture, (2.5, -1.3), order=3)[50:90, 60:100]
    np.testing.assert_allclose(moved, whole, atol=0.5)


@pytest.mark.parametrize("offset", [(30.0, -30.0), (-30.0, 30.0), (10.5, 8.5)])
def test_beyond_the_border_there_is_a_reflection(texture, offset):
    stack = SliceStack(np.stack([texture] * 3))
    window = (slice(0, 200), slice(0, 220))
    moved = read_shifted(stack, 0, window, offset)
    assert moved.shape == texture.shape
    assert np.isfinite(moved).all()
    assert texture.min() - 20 < moved.min() < moved.max() < texture.max() + 20
