from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.ndimage import gaussian_filter

from napari_ssan.errors import BadInput
from napari_ssan.evaluation import gram
from napari_ssan.evaluation.gram import gram_distance
from napari_ssan.losses.perceptual import style_loss
from napari_ssan.losses.vgg import VGG16


@pytest.fixture
def vgg(tmp_path) -> Path:
    """Two blocks with few channels."""
    torch.manual_seed(0)
    weights = {}
    for number, (before, after) in {0: (3, 6), 2: (6, 6), 5: (6, 8), 7: (8, 8)}.items():
        weights[f"features.{number}.weight"] = torch.randn(after, before, 3, 3) / before**0.5 / 3
        weights[f"features.{number}.bias"] = 0.1 * torch.randn(after)
    save_file(weights, tmp_path / "vgg.safetensors")
    return tmp_path / "vgg.safetensors"


def section(seed: int = 0, shape: tuple[int, int] = (90, 70)) -> np.ndarray:
    random = np.random.default_rng(seed)
    texture = gaussian_filter(random.standard_normal(shape), 1)
    return np.clip(128 + 40 * texture / texture.std(), 0, 255).astype(np.uint8)


def test_of_one_tile_it_is_the_style_loss(vgg):
    real, made = section(0), section(1)
    unit = [(x.astype(np.float64) - real.mean()) / (6 * real.std()) + 0.5 for x in (real, made)]
    taps = [VGG16(vgg)(torch.from_numpy(x).float()[None, None]) for x in unit]
    assert gram_distance(real, made, vgg) == pytest.approx(style_loss(*taps).item(), rel=1e-4)


def test_tiles_look_at_all_of_a_section(vgg, monkeypatch):
    real = section(0, (201, 130))
    made = real.copy()
    made[:, 60:] = gaussian_filter(made[:, 60:], 2)
    whole = gram_distance(real, made, vgg)
    monkeypatch.setattr(gram, "TILE", 64)
    assert gram_distance(real, made, vgg) == pytest.approx(whole, rel=0.2)
    assert gram_distance(real, real, vgg) == 0


@pytest.mark.parametrize("length", [1, 255, 256, 257, 600, 1024])
def test_tiles_cover_a_section_once_and_none_is_a_sliver(length):
    parts = gram._parts(length)
    covered = [index for part in parts for index in range(length)[part]]
    assert covered == list(range(length))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) <= 256
    assert max(sizes) - min(sizes) <= 1


def test_blur_is_farther_than_another_section_of_the_same_tissue(vgg):
    real = section(0)
    blurred = gaussian_filter(real, 1.5)
    assert gram_distance(real, blurred, vgg) > 5 * gram_distance(real, section(1), vgg)


@pytest.mark.parametrize(
    ("dtype", "factor", "offset"),
    [(np.uint16, 200, 1000), (np.int16, 10, -2000), (np.float32, 0.01, 3), (np.float64, 1e6, 0)],
)
def test_the_grey_scale_does_not_matter(vgg, dtype, factor, offset):
    real, made = section(0), section(1)
    scaled = [(x.astype(np.float64) * factor + offset).astype(dtype) for x in (real, made)]
    expected = gram_distance(real, made, vgg)
    assert gram_distance(*scaled, vgg) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_sections_without_texture_are_refused(vgg, value):
    with pytest.raises(BadInput, match="constant or not finite"):
        gram_distance(np.full((32, 32), value, np.float32), section(1, (32, 32)), vgg)


def test_weights_that_overflow_are_refused(vgg):
    weights = load_file(vgg)
    save_file({name: weight * 1e30 for name, weight in weights.items()}, vgg)
    with pytest.raises(BadInput, match=r"vgg\.safetensors gives distances that are not finite"):
        gram_distance(section(0), section(1), vgg)


def test_real_sections(data_folder):
    import tifffile

    weights = data_folder / "weights" / "vgg16_ssd300_features_to_conv3_3_fp32.safetensors"
    stack = tifffile.imread(data_folder / "data" / "isbi2012_test_volume.tif")[2:5, :300, :300]
    before, real, after = stack
    average = ((before.astype(np.float64) + after) / 2).astype(np.uint8)
    copy, mean, blur = (
        gram_distance(real, x, weights) for x in (before, average, gaussian_filter(real, 2.0))
    )
    assert copy < mean < blur
