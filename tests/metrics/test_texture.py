from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ssan.metrics.fidelity import psnr, ssim
from napari_ssan.metrics.texture import (
    band_ratios,
    grain,
    hf_ratio,
    mean_distance,
    psnr_lowpass,
    ssim_lowpass,
    std_distance,
)


@pytest.fixture
def real() -> np.ndarray:
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((200, 220)), 4)
    return 128 + 30 * structure / structure.std() + random.normal(0, 12, structure.shape)


def test_the_real_section_is_its_own_like(real):
    assert hf_ratio(real, real) == pytest.approx(1)
    assert band_ratios(real, real) == pytest.approx([1] * 4)


def test_blurring_is_caught_though_psnr_rises(real):
    random = np.random.default_rng(1)
    guess = real + random.normal(0, 25, real.shape)
    blurred = gaussian_filter(guess, 2)
    assert psnr(real, blurred) > psnr(real, guess)
    assert hf_ratio(real, blurred) < 0.3
    assert max(band_ratios(real, blurred)[1:]) < 0.1


def test_noise_on_top_is_caught_by_the_bands(real):
    smooth = gaussian_filter(real, 2)
    grain = np.random.default_rng(2).standard_normal(real.shape)
    low = gaussian_filter(grain, 1.2)
    noisy = smooth + low / (low - gaussian_filter(low, 2)).std() * (real - smooth).std()
    assert hf_ratio(real, noisy) == pytest.approx(1, abs=0.1)
    assert band_ratios(real, noisy)[3] < 0.2


def test_grain_does_not_count_in_the_structure(real):
    random = np.random.default_rng(3)
    grainy = gaussian_filter(real, 2) + random.normal(0, 12, real.shape)
    assert psnr_lowpass(real, grainy) > psnr(real, grainy) + 8
    assert ssim_lowpass(real, grainy) > ssim(real, grainy) + 0.1
    assert ssim_lowpass(real, real) == pytest.approx(1)
    assert ssim_lowpass(real, gaussian_filter(real, 8)) < ssim_lowpass(real, grainy)


def test_bands_are_equally_wide_and_white_noise_fills_them_alike():
    random = np.random.default_rng(4)
    a, b = random.standard_normal((2, 256, 256))
    assert band_ratios(a, 2 * b) == pytest.approx([4] * 4, rel=0.1)


def test_grain_by_hand():
    checkers = np.indices((40, 40)).sum(axis=0) % 2 * 2.0 - 1
    assert grain(checkers) == pytest.approx(1, abs=0.02)
    assert hf_ratio(checkers, 0.5 * checkers) == pytest.approx(0.5)


def test_where_there_is_no_grain_there_is_no_ratio():
    slope = np.tile(np.linspace(0, 1, 64), (64, 1))
    assert hf_ratio(np.full((64, 64), 3.0), slope) is None
    assert band_ratios(np.full((64, 64), 3.0), slope) == [None] * 4


def test_mean_and_deviation_by_hand(real):
    unit = (real - real.min()) / np.ptp(real)
    assert mean_distance(unit, unit + 0.1) == pytest.approx(25.5)
    assert std_distance(unit, unit + 0.1) == pytest.approx(0)
    assert std_distance(unit, 2 * unit) == pytest.approx(255 * unit.std())
    assert mean_distance(np.full((4, 4), 9, np.uint8), np.full((4, 4), 5, np.uint8)) == 4
