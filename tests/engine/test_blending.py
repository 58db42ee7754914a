from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.engine import blending
from napari_ssan.engine.blending import fit_to_rim, membrane


def disc(shape: tuple[int, int], radius: float) -> np.ndarray:
    rows, columns = np.indices(shape) - np.array(shape).reshape(2, 1, 1) / 2
    return np.hypot(rows, columns) < radius


@pytest.mark.parametrize("direct", [10**6, 500])
def test_a_plane_is_its_own_membrane(direct, monkeypatch):
    monkeypatch.setattr(blending, "DIRECT", direct)
    plane = np.add.outer(0.3 * np.arange(90), -0.2 * np.arange(100.0)) + 5
    hole = disc(plane.shape, 30)
    np.testing.assert_allclose(membrane(np.where(hole, 0, plane), hole), plane, atol=0.05)


def test_an_offset_patch_comes_to_the_level_around_it():
    truth = 100 + 10 * np.sin(np.arange(80) / 5)[:, None] * np.ones(90)
    marked = disc(truth.shape, 20)
    fitted = fit_to_rim(truth + 37, truth, ~marked)
    np.testing.assert_allclose(fitted, truth, atol=1e-6)


def test_grain_at_the_rim_fades_within_a_few_pixels():
    random = np.random.default_rng(0)
    surroundings = random.normal(0, 1, (120, 120))
    marked = disc(surroundings.shape, 45)
    fitted = fit_to_rim(np.zeros((120, 120)), surroundings, ~marked)
    assert np.abs(fitted[disc((120, 120), 35)]).max() < 0.35


def test_values_of_marked_pixels_do_not_matter():
    marked = disc((50, 50), 12)
    patch = np.random.default_rng(0).random((50, 50))
    results = [
        fit_to_rim(patch, np.where(marked, value, 1.0), ~marked) for value in (0, 1e9, np.nan)
    ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_without_good_pixels_the_patch_stays():
    patch = np.random.default_rng(0).random((20, 20))
    np.testing.assert_array_equal(fit_to_rim(patch, patch + 9, np.zeros((20, 20), bool)), patch)


def test_a_patch_that_ends_at_the_border_of_the_section():
    truth = np.full((40, 40), 50.0)
    good = np.zeros((40, 40), bool)
    good[:, 30:] = True
    np.testing.assert_allclose(fit_to_rim(truth - 8, truth, good), truth, atol=1e-6)
