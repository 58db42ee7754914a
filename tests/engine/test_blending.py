from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.engine import blending
from napari_ssan.engine.blending import membrane, rim_of


def disc(shape: tuple[int, int], radius: float) -> np.ndarray:
    rows, columns = np.indices(shape) - np.array(shape).reshape(2, 1, 1) / 2
    return np.hypot(rows, columns) < radius


def fit_to_rim(patch: np.ndarray, surroundings: np.ndarray, good: np.ndarray) -> np.ndarray:
    """A patch, fitted where pixels are not good, and the surroundings where they are."""
    rim, fitted = rim_of(~good, good), np.where(good, surroundings, patch)
    fitted[~good] += membrane(~good, rim, (surroundings - patch).ravel()[rim])
    return fitted


@pytest.mark.parametrize("direct", [10**6, 500, 20])
@pytest.mark.parametrize("shape", [(90, 100), (91, 101)])
def test_a_plane_is_its_own_membrane(direct, shape, monkeypatch):
    monkeypatch.setattr(blending, "DIRECT", direct)
    plane = np.add.outer(0.3 * np.arange(shape[0]), -0.2 * np.arange(1.0 * shape[1])) + 5
    hole = disc(plane.shape, 30)
    found = membrane(hole, rim_of(hole, ~hole), plane.ravel()[rim_of(hole, ~hole)])
    np.testing.assert_allclose(found, plane[hole], atol=0.05)


def test_the_rim_is_what_touches_at_a_side():
    unknown = np.zeros((5, 6), bool)
    unknown[2, 3], unknown[4, 0] = True, True
    assert [divmod(int(at), 6) for at in rim_of(unknown, ~unknown)] == [
        (1, 3), (2, 2), (2, 4), (3, 0), (3, 3), (4, 1)
    ]  # fmt: skip


@pytest.mark.parametrize("direct", [10**6, 20])
def test_a_membrane_ends_free_where_nothing_is_known(direct, monkeypatch):
    monkeypatch.setattr(blending, "DIRECT", direct)
    unknown = np.zeros((60, 80), bool)
    unknown[10:50, 10:70], unknown[55:58, 3:6] = True, True
    known = np.zeros(unknown.shape, bool)
    known[:, :10] = True
    known[54:59, 2:7] = False  # nothing says where these pixels lie
    rim = rim_of(unknown, known)
    assert set(rim % 80) == {9}
    found = np.full(unknown.shape, np.nan)
    found[unknown] = membrane(unknown, rim, np.full(len(rim), 7.0))
    np.testing.assert_allclose(found[10:50, 10:70], 7, atol=1e-3)
    np.testing.assert_array_equal(found[55:58, 3:6], 0)


def test_scattered_pixels_are_solved_from_a_coarser_membrane(monkeypatch):
    plane = np.add.outer(0.3 * np.arange(203), -0.2 * np.arange(301.0)) + 5
    hole = np.random.default_rng(0).random(plane.shape) < 0.5
    rim = rim_of(hole, ~hole)
    exact = membrane(hole, rim, plane.ravel()[rim])
    monkeypatch.setattr(blending, "DIRECT", 100)
    np.testing.assert_allclose(membrane(hole, rim, plane.ravel()[rim]), exact, atol=0.05)


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
