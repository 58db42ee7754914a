from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.look import coarse, look


@pytest.mark.parametrize("kind", ["constant", "no values", "most"])
def test_a_section_without_an_image_has_a_flaw(volume, kind):
    pixels = volume[0].astype(np.float32)
    if kind == "constant":
        pixels[:] = 9
    elif kind == "no values":
        pixels[4:] = np.nan
    else:
        pixels[:, : int(0.9 * pixels.shape[1])] = 255
    assert kind in look(0, pixels).flaw
    assert look(0, volume[0].astype(np.float32)).flaw == ""


def test_level_and_contrast_do_not_change_the_picture(volume):
    pixels = volume[0].astype(np.float32)
    one, other = look(0, pixels), look(0, 3 * pixels - 50)
    np.testing.assert_allclose(one.smooth, other.smooth, atol=1e-4)
    np.testing.assert_allclose(one.sharpness, other.sharpness, atol=1e-4)
    assert other.level == pytest.approx(3 * one.level - 50)
    assert other.contrast == pytest.approx(3 * one.contrast)


@pytest.mark.parametrize("spread", [1.5, 4.0, 12.0])
def test_few_grey_values_tell_level_and_contrast_as_well(spread):
    fine = np.random.default_rng(3).normal(100.3, spread, (200, 200)).astype(np.float32)
    true, rounded = look(0, fine), look(0, fine.round())
    assert rounded.level == pytest.approx(true.level, abs=0.02 * spread)
    assert rounded.contrast == pytest.approx(true.contrast, rel=0.04)


def test_a_grey_value_that_most_pixels_share_is_the_level():
    pixels = np.random.default_rng(4).normal(90, 9, (100, 100)).astype(np.float32)
    pixels[:, ::3] = pixels[:, 1::3] = 90
    assert look(0, pixels).level == 90


def test_only_large_sections_are_halved():
    assert coarse(np.zeros((100, 120), np.float32)).shape == (100, 120)
    assert coarse(np.zeros((500, 421), np.float32)).shape == (250, 210)
