from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_ssan.metrics.fidelity import HIGHEST_PSNR, data_range, interpolation_error, psnr, ssim


@pytest.fixture
def pair() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 40, 50)).astype(np.uint8)


def test_by_hand():
    real = np.zeros((16, 16), np.uint8)
    made = np.full((16, 16), 51, np.uint8)
    assert interpolation_error(real, made) == 51
    assert psnr(real, made) == pytest.approx(20 * np.log10(5))


def test_one_pixel_by_hand():
    real = np.zeros((10, 10), np.uint8)
    made = real.copy()
    made[3, 4] = 255
    assert interpolation_error(real, made) == pytest.approx(2.55)
    assert psnr(real, made) == pytest.approx(20)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_scikit_image_says_the_same(pair, dtype):
    real, made = (image.astype(dtype) * (1 if dtype == "uint8" else 100) for image in pair)
    span = data_range(real)
    assert psnr(real, made) == pytest.approx(
        peak_signal_noise_ratio(real, made, data_range=span), abs=1e-4
    )
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    wanted = structural_similarity(
        real.astype(float), made.astype(float), data_range=span, **window
    )
    assert ssim(real, made) == pytest.approx(wanted, abs=1e-6)


def test_the_range_is_that_of_the_dtype(pair):
    assert data_range(pair[0]) == 255
    assert data_range(pair[0].astype(np.uint16)) == 65535
    assert data_range(pair[0].astype(np.int16)) == 65535
    assert data_range(np.array([[-2.0, 5.0]])) == 7


@pytest.mark.parametrize("metric", [psnr, ssim, interpolation_error])
def test_16_bit_is_judged_on_its_own_scale(metric, pair):
    wide = [image.astype(np.uint16) * 257 for image in pair]
    assert metric(*wide) == pytest.approx(metric(*pair))


@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
@pytest.mark.parametrize("metric", [psnr, ssim, interpolation_error])
def test_floats_are_judged_on_the_real_section_s_scale(metric, pair, scale):
    real, made = pair / 255
    figure = metric(real * scale, made * scale)
    assert np.isfinite(figure)
    assert figure == pytest.approx(metric(real, made))


def test_the_real_section_is_perfect():
    real = np.random.default_rng(0).random((40, 50))
    assert ssim(real, real) == pytest.approx(1)
    assert interpolation_error(real, real) == 0
    assert psnr(real, real) == HIGHEST_PSNR
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
