from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.evaluation.metrics import data_range, interpolation_error, psnr, ssim


def test_by_hand():
    real = np.zeros((16, 16), np.uint8)
    made = np.full((16, 16), 51, np.uint8)
    assert interpolation_error(real, made) == 51
    assert psnr(real, made) == pytest.approx(20 * np.log10(5))


@pytest.mark.parametrize("metric", [psnr, ssim, interpolation_error])
def test_16_bit_is_judged_on_its_own_scale(metric):
    random = np.random.default_rng(0)
    real, made = random.integers(0, 256, (2, 40, 50)).astype(np.uint8)
    wide = [image.astype(np.uint16) * 257 for image in (real, made)]
    assert metric(*wide) == pytest.approx(metric(real, made))


def test_the_real_section_is_perfect():
    real = np.random.default_rng(0).random((40, 50))
    assert ssim(real, real) == pytest.approx(1)
    assert interpolation_error(real, real) == 0
    assert data_range(real) == np.ptp(real)


def test_worse_is_worse():
    random = np.random.default_rng(0)
    real = random.normal(128, 30, (60, 60)).clip(0, 255).astype(np.uint8)
    near, far = (
        (real + random.normal(0, sigma, real.shape)).clip(0, 255).astype(np.uint8)
        for sigma in (5, 20)
    )
    assert psnr(real, near) > psnr(real, far)
    assert ssim(real, near) > ssim(real, far)
    assert interpolation_error(real, near) < interpolation_error(real, far)
