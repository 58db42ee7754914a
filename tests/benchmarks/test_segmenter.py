from __future__ import annotations

import numpy as np
import segmenter
import tifffile
from lines import SPECK, find_lines
from scipy.ndimage import gaussian_filter
from skimage.measure import label
from typer.testing import CliRunner

from napari_ssan.evaluation.use import dice
from napari_ssan.segmenter.segmenter import load_segmenter
from napari_ssan.segmenter.training import SegmenterSettings


def cells(seed: int = 0, size: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """A section with cells whose borders are dark, and the borders."""
    random = np.random.default_rng(seed)
    places = random.uniform(0, size, (2, 24))
    y, x = np.mgrid[:size, :size][..., None]
    distances = np.sort(np.hypot(y - places[0], x - places[1]), axis=-1)
    borders = distances[..., 1] - distances[..., 0] < 6
    image = (
        160 - 80 * gaussian_filter(borders.astype(float), 1) + random.normal(0, 25, (size, size))
    )
    return image.clip(0, 255).astype(np.uint8), borders


def test_borders_of_cells_are_found_and_specks_are_not():
    image, borders = cells()
    found = find_lines(image, (2, 3))
    assert dice(found, borders) > 0.6
    pieces = np.bincount(label(found).ravel())[1:]
    assert pieces.min() > SPECK * 3**2
    assert not find_lines(np.full((96, 96), 160, np.uint8), (2,)).any()


def test_the_grey_scale_makes_no_difference():
    image, _ = cells()
    other = (3.0 * image.astype(np.float32) + 1000).astype(np.uint16)
    assert dice(find_lines(image, (2,)), find_lines(other, (2,))) > 0.99


def test_a_segmenter_without_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(segmenter, "UNLABELLED", SegmenterSettings(steps=60, batch=4, crop=64))
    volume = np.stack([cells(seed)[0] for seed in range(6)])
    tifffile.imwrite(tmp_path / "cells.tif", volume, photometric="minisblack")
    output = tmp_path / "lines.safetensors"
    stack = f"{tmp_path / 'cells.tif'}[0:5]:2,3"
    outcome = CliRunner().invoke(segmenter.app, ["unlabelled", str(output), stack])
    assert outcome.exit_code == 0, outcome.output
    found = load_segmenter(output)
    assert found.card["lines of"] == [stack]
    image, borders = cells(9)
    assert dice(found.membranes(image), borders) > 0.6
