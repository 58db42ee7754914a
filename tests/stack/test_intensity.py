from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.stack.intensity import QUANTILES, measure, specify, to_dtype
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(1000, 50, (2, 80, 90)).astype(np.float32)


def test_measured_moments_are_numpys(noise, monkeypatch):
    monkeypatch.setattr("napari_ssan.stack.sections.BAND_PIXELS", 1000)
    found = measure(SliceStack(noise), 1)
    assert found.mean == pytest.approx(noise[1].mean(), rel=1e-6)
    assert found.std == pytest.approx(noise[1].std(), rel=1e-5)
    assert (found.minimum, found.maximum) == (noise[1].min(), noise[1].max())
    np.testing.assert_allclose(found.quantiles, np.quantile(noise[1], QUANTILES), rtol=1e-6)


def test_marked_pixels_do_not_count(noise):
    marked = np.zeros(noise.shape[1:], bool)
    marked[:, :40] = True
    noise[0][marked] = 1e9
    marks = Marks(regions={0: [Region.from_mask(marked)]})
    assert measure(SliceStack(noise), 0, marks).maximum < 2000


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_section_that_is_not_finite_is_not_usable(noise, value):
    noise[0, 3, 3] = value
    assert not measure(SliceStack(noise), 0).usable


def test_a_constant_section_is_not_usable():
    assert not measure(SliceStack(np.full((2, 8, 8), 7, np.uint8)), 0).usable


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_a_spread_beyond_float64_is_not_usable(noise, scale):
    assert not measure(SliceStack(noise.astype(float) * scale), 0).usable


def test_normalization_is_inverted_and_centres_the_section(noise):
    found = measure(SliceStack(noise), 0)
    unit = found.normalize(noise[0])
    assert unit.mean() == pytest.approx(0.5, abs=1e-5)
    assert unit.std() == pytest.approx(1 / 6, rel=1e-4)
    np.testing.assert_allclose(found.denormalize(unit), noise[0], rtol=1e-5)


def test_blend_lies_between():
    ramp = np.arange(64, dtype=np.int16).reshape(8, 8)
    stack = SliceStack(np.stack([ramp, 100 + ramp]))
    a, b = measure(stack, 0), measure(stack, 1)
    assert a.blend(b, 0.25).mean == pytest.approx(a.mean + 25)
    assert a.blend(b, 0.25).maximum == 163


def test_specification_gives_the_wanted_distribution(noise):
    own, wanted = np.quantile(noise[0], QUANTILES), np.quantile(noise[1] * 2 + 5, QUANTILES)
    matched = specify(noise[0].astype(float), own, wanted)
    np.testing.assert_allclose(np.quantile(matched, QUANTILES), wanted, atol=1)
    order = np.argsort(noise[0], axis=None)
    assert (np.diff(matched.ravel()[order]) >= 0).all()


def test_specification_of_a_distribution_with_ties():
    own = np.repeat([0.0, 1.0], [500, 525])
    wanted = np.linspace(10, 20, 1025)
    matched = specify(np.array([0.0, 1.0]), own, wanted)
    assert np.isfinite(matched).all()
    assert matched[0] < matched[1]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_integers_are_rounded_and_stay_in_range(dtype):
    info = np.iinfo(dtype)
    values = np.array([info.min - 10.0, 1.5, 2.5, info.max + 10.0])
    np.testing.assert_array_equal(to_dtype(values, np.dtype(dtype)), [info.min, 2, 2, info.max])


def test_16_bit_is_not_squeezed_through_8():
    values = np.linspace(1000, 1100, 1000)
    assert len(np.unique(to_dtype(values, np.dtype("uint16")))) == 101
