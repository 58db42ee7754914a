from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.triplets import Source, TripletSampler


def sampler(volume: np.ndarray, seed: int = 0, spacing: int = 1, **options) -> TripletSampler:
    stack = SliceStack(volume)
    return TripletSampler([Source(stack, 0, len(stack), spacing)], 32, seed, **options)


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (9, 70, 80)).astype(np.uint8)


def test_triplets_are_normalized_crops(volume):
    for triplet in islice(sampler(volume), 20):
        for crop in (triplet.previous, triplet.target, triplet.following):
            assert crop.shape == (32, 32)
            assert crop.dtype == np.float32
        assert 0 < triplet.position < 1
        assert abs(triplet.target.mean() - 0.5) < 0.1


def test_the_stream_is_a_function_of_the_seed(volume):
    first, again, other = (list(islice(sampler(volume, seed), 3)) for seed in (5, 5, 6))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a.target, b.target)
        assert not np.array_equal(a.target, c.target)


def test_position_says_where_the_target_lies():
    # Section z holds a ramp of phase z: the target's phase tells its place.
    ramp = np.add.outer(10.0 * np.arange(9), np.random.default_rng(0).normal(0, 1, (64, 64)))
    stack = SliceStack(ramp)
    drawn = TripletSampler([Source(stack, 0, 9)], 64, 0, zoom=1.0, jitter=0.0)
    for triplet in islice(drawn, 30):
        assert triplet.position in {0.5, 1 / 3, 2 / 3, 0.25, 0.75}


def test_blank_sections_are_left_out(volume):
    volume[4] = 0
    for triplet in islice(sampler(volume), 50):
        assert np.isfinite(triplet.target).all()
        assert triplet.target.std() > 0.05


@pytest.mark.parametrize("spacing", [1, 4])
def test_too_few_good_sections_are_refused(volume, spacing):
    volume[1::2] = 3
    if spacing == 1:
        with pytest.raises(BadInput, match="three good sections"):
            sampler(volume)
    else:
        next(iter(sampler(volume, spacing=4)))


def test_small_sections_are_refused(volume):
    with pytest.raises(BadInput, match="smaller than a training crop"):
        sampler(volume[:, :30])
