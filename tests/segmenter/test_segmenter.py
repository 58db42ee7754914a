"""Covers: napari_ssan.segmenter.crops, napari_ssan.segmenter.training,
napari_ssan.segmenter.unet
"""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.segmentation import find_boundaries
from tifffile import imread

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.evaluation.use import dice, f1
from napari_ssan.metrics.fidelity import psnr
from napari_ssan.metrics.texture import hf_ratio
from napari_ssan.segmenter import segmenter as module
from napari_ssan.segmenter.crops import Jitter, crops, membranes_of
from napari_ssan.segmenter.segmenter import (
    Segmenter,
    bundled_segmenter,
    load_segmenter,
    save_segmenter,
)
from napari_ssan.segmenter.training import (
    GAP,
    SegmenterSettings,
    train_segmenter,
    two_fold,
)
from napari_ssan.segmenter.unet import UNet
from napari_ssan.stack.sections import SliceStack

QUICK = SegmenterSettings(steps=60, batch=4, crop=48, learning_rate=1e-2, channels=(8, 16))
#: Just long enough to be trained.
TOUCH = SegmenterSettings(steps=2, batch=1, crop=16, channels=(4, 8))


def cells(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A section with dark membranes, (96, 96) of uint8, and labels: 0 there, 255 in cells."""
    random = np.random.default_rng(seed)
    seeds = random.random((19, 2)) * 96
    places = np.moveaxis(np.indices((96, 96)), 0, -1)[:, :, None]
    nearest = np.square(places - seeds).sum(-1).argmin(-1)
    membranes = find_boundaries(nearest, mode="thick")
    grey = gaussian_filter(np.where(membranes, 60.0, 160.0), 0.7)
    grey += random.normal(0, 20, grey.shape)
    return grey.clip(0, 255).astype(np.uint8), np.where(membranes, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def stack() -> tuple[np.ndarray, np.ndarray]:
    """Six sections and their labels."""
    volume, labels = zip(*(cells(z) for z in range(6)), strict=True)
    return np.stack(volume), np.stack(labels)


@pytest.fixture(scope="module")
def trained(stack) -> Segmenter:
    """Has seen the first four sections."""
    volume, labels = stack
    return train_segmenter(volume[:4], labels[:4], QUICK)


@pytest.fixture
def untrained() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(UNet((4, 8, 8)).eval().requires_grad_(False), {"note": "ä"})


def test_it_learns_membranes_and_ignores_the_grey_scale(stack, trained):
    section, truth = stack[0][5], stack[1][5] == 0
    found = trained.membranes(section)
    assert dice(found, truth) > 0.8
    assert f1(found, truth) > 0.8
    wide = section.astype(np.uint16) * 200 + 9000
    assert dice(trained.membranes(wide), found) > 0.999


@pytest.mark.parametrize("z", [86, 92])
def test_blurring_is_caught_by_membranes_and_grain_though_psnr_rises(data_folder, z):
    """On mouse sections, whose membranes are thin, against those found in the real section."""
    volume = imread(data_folder / "data" / "kasthuri_z000-097.tif", key=range(z - 1, z + 2))
    before, real, after = volume[:, :320, :320]
    average = ((before.astype(float) + after) / 2).astype(np.uint8)
    blurred = gaussian_filter(average, 1)
    assert psnr(real, blurred) > psnr(real, average) + 0.3
    assert hf_ratio(real, blurred) < 0.5 * hf_ratio(real, average)
    segmenter = bundled_segmenter()
    found = [segmenter.membranes(image) for image in (real, average, blurred)]
    assert dice(found[0], found[2]) < dice(found[0], found[1]) - 0.05
    assert f1(found[0], found[2]) < f1(found[0], found[1]) - 0.1


def test_training_is_deterministic_and_says_how_far_it_is(stack):
    volume, labels = stack
    said: list[tuple[int, int]] = []
    first, second = (
        train_segmenter(volume, labels, TOUCH, lambda *step: said.append(step)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.probability(volume[0]), second.probability(volume[0]))
    assert said == [(1, 2), (2, 2)] * 2


def test_training_can_be_cancelled(stack):
    cancel = Event()

    def stop(done: int, total: int) -> None:
        cancel.set()

    with pytest.raises(Cancelled):
        train_segmenter(*stack, TOUCH, stop, cancel)


def test_tiles_leave_no_seams(untrained, monkeypatch):
    section = np.random.default_rng(0).integers(0, 255, (75, 98)).astype(np.uint8)
    whole = untrained.probability(section)
    assert whole.shape == section.shape
    monkeypatch.setattr(module, "TILE", 32)
    np.testing.assert_allclose(untrained.probability(section), whole, atol=1e-5)


def test_no_pixel_depends_on_what_is_out_of_reach(untrained):
    network = untrained.network
    for at in (40, 41, 43):
        image = torch.randn(1, 1, 80, 80, requires_grad=True)
        network(image)[0, 0, at, at].backward()
        rows = image.grad[0, 0].abs().sum(1).nonzero()
        assert max(at - rows.min(), rows.max() - at) <= network.reach


def test_the_file_comes_back_bit_by_bit(untrained, tmp_path):
    section = np.random.default_rng(0).random((40, 40))
    path = tmp_path / "mine.safetensors"
    save_segmenter(path, untrained)
    loaded = load_segmenter(path)
    assert loaded.card == untrained.card
    np.testing.assert_array_equal(loaded.probability(section), untrained.probability(section))
    assert [file.name for file in tmp_path.iterdir()] == ["mine.safetensors"]


def test_damaged_and_foreign_files_are_refused(untrained, tiny_model, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_segmenter(path, untrained)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match="altered"):
        load_segmenter(path)
    path.write_bytes(content[:-40])
    with pytest.raises(BadInput, match="not a complete"):
        load_segmenter(path)
    with pytest.raises(BadInput, match="not a complete"):
        load_segmenter(tmp_path / "absent.safetensors")
    with pytest.raises(BadInput, match="metadata"):
        load_segmenter(tiny_model)


def test_nothing_is_found_in_a_constant_section_and_nan_is_refused(untrained):
    assert not untrained.membranes(np.full((40, 50), 7, np.uint8)).any()
    with pytest.raises(BadInput, match="NaN or infinite"):
        untrained.membranes(np.full((40, 50), np.nan))


def test_membranes_are_the_rarer_value():
    rare = np.zeros((2, 10, 10), bool)
    rare[:, 4] = True
    for labels in (rare, ~rare, rare.astype(np.uint8), np.where(rare, 0, 255).astype(np.uint8)):
        np.testing.assert_array_equal(membranes_of(list(labels)), rare)


def test_labels_without_two_values_are_refused(stack):
    volume, labels = stack
    with pytest.raises(BadInput, match="more than two"):
        membranes_of([np.arange(9).reshape(3, 3)])
    with pytest.raises(BadInput, match="only one value"):
        membranes_of([np.ones((3, 3))])
    with pytest.raises(BadInput, match="same size"):
        train_segmenter(volume, labels[:, 1:], TOUCH)
    with pytest.raises(BadInput, match="every section"):
        two_fold(SliceStack(volume), labels[1:], TOUCH)
    with pytest.raises(BadInput, match="at least 6"):
        two_fold(SliceStack(volume[:5]), labels[:5], TOUCH)


def test_crops_keep_image_and_membranes_together():
    _, labels = cells(0)
    clean = np.where(labels == 0, -1.0, 1.0).astype(np.float32)
    still = Jitter(smaller=0.5, larger=2, contrast=0, noise=0)
    images, truths = next(crops([clean], [labels == 0], still, 16, 64, seed=0))
    assert images.shape == truths.shape == (16, 64, 64)
    assert set(np.unique(truths)) == {0, 1}
    np.testing.assert_array_equal(images < 0, truths > 0.5)


def test_crops_differ_and_depend_on_the_seed_alone():
    section, labels = cells(0)
    data = [section.astype(np.float32)], [labels == 0], Jitter(), 2, 32
    first, again, other = (next(crops(*data, seed=seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(first, other)


def test_no_half_is_judged_by_what_has_seen_it(stack, tmp_path, monkeypatch):
    volume, labels = stack
    seen = []

    def train(sections, membranes, settings, report, cancel):
        seen.append([int(np.flatnonzero((volume == s).all((1, 2)))[0]) for s in sections])
        return Segmenter(UNet((4, 8)).eval())

    monkeypatch.setattr("napari_ssan.segmenter.training._train", train)
    judge = two_fold(SliceStack(volume), labels, TOUCH, folder=tmp_path)
    assert not seen, "judges are trained when they are needed"
    for z in range(6):
        judge(z)
    assert seen == [[5], [0]]
    assert GAP == 2


def test_judges_are_kept_and_the_second_run_is_the_same(stack, tmp_path):
    volume, labels = stack
    said: list[int] = []

    def run(settings: SegmenterSettings = TOUCH) -> np.ndarray:
        said.clear()
        judge = two_fold(
            SliceStack(volume), labels, settings, lambda done, total: said.append(done),
            folder=tmp_path,
        )  # fmt: skip
        return judge(0).probability(volume[0])

    first = run()
    assert said == [1, 2]
    np.testing.assert_array_equal(run(), first)
    assert not said, "nothing is trained again"
    run(TOUCH.model_copy(update={"seed": 1}))
    assert said == [1, 2], "other settings, another judge"
    for path in tmp_path.iterdir():
        path.write_bytes(b"damaged")
    np.testing.assert_array_equal(run(), first)
    assert said == [1, 2], "a damaged one is made anew"
