from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from napari_ssan.stack.augmentation import Augmentation, fit
from napari_ssan.stack.intensity import SPAN

NONE = Augmentation(flip=False, swap=False, turn=False, zoom=1, intensity=0)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def crop() -> np.ndarray:
    return np.random.default_rng(1).normal(0.5, 1 / SPAN, (64, 64)).astype(np.float32)


def test_nothing_is_done_unless_asked(crop, random):
    assert NONE.magnification(random) == 1
    assert not NONE.swaps(random)
    assert all((out == crop).all() for out in NONE.turned([crop, crop], random))
    np.testing.assert_allclose(NONE.disturbed(crop, random), crop, atol=1e-6)


@pytest.mark.parametrize("zoom", [0.5, 0.9, 2.1])
def test_zoom_has_limits(zoom):
    with pytest.raises(ValidationError):
        Augmentation(zoom=zoom)
    with pytest.raises(ValidationError):
        Augmentation(noise=-1)
    with pytest.raises(ValidationError):
        Augmentation(grain=-1)


def test_half_of_the_triplets_are_zoomed_to_both_sides(random):
    drawn = np.array([Augmentation(zoom=2).magnification(random) for _ in range(2000)])
    assert 0.45 < np.mean(drawn == 1) < 0.55
    assert 0.5 <= drawn.min() < 0.55
    assert 1.9 < drawn.max() <= 2
    assert np.mean(np.log(drawn)) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(
    ("turn", "flip", "ways"), [(True, True, 8), (True, False, 4), (False, True, 4)]
)
def test_ways_to_lay_a_triplet(crop, random, turn, flip, ways):
    vary = NONE.model_copy(update={"turn": turn, "flip": flip})
    seen = set()
    for _ in range(200):
        crops = vary.turned([crop, 2 * crop], random)
        assert (crops[1] == 2 * crops[0]).all()
        seen.add(crops[0].tobytes())
    assert len(seen) == ways
    square = [np.rot90(each, k) for each in (crop, crop[::-1]) for k in range(4)]
    assert seen <= {np.ascontiguousarray(way).tobytes() for way in square}


def test_half_are_swapped(random):
    assert 0.45 < np.mean([Augmentation().swaps(random) for _ in range(2000)]) < 0.55


def test_gain_and_offset(crop, random):
    vary = NONE.model_copy(update={"intensity": 0.05})
    gains, offsets = [], []
    for _ in range(500):
        gain, offset = np.polyfit(crop.ravel() - 0.5, vary.disturbed(crop, random).ravel(), 1)
        gains.append(gain)
        offsets.append(offset)
    assert np.std(gains) == pytest.approx(0.05, rel=0.15)
    assert np.std(offsets) == pytest.approx(0.005, rel=0.15)


def test_noise_adds_up_to_its_share(crop, random):
    vary = NONE.model_copy(update={"noise": 0.5})
    added = [np.std(vary.disturbed(crop, random) - crop) * SPAN for _ in range(200)]
    assert 0.4 < max(added) <= 0.52
    assert np.mean(added) == pytest.approx(0.25, rel=0.2)


def test_grain_is_alike_in_all_three_and_not_the_same(crop, random):
    vary = NONE.model_copy(update={"grain": 1.0})
    strengths = []
    for _ in range(50):
        added = [made - crop for made in vary.grained([crop, crop, crop], random)]
        assert all(one.dtype == np.float32 for one in added)
        spread = np.array([one.std() for one in added]) * SPAN
        np.testing.assert_allclose(spread, spread[0], rtol=1e-3)
        assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.2
        rough = np.array([np.abs(np.diff(one)).mean() / one.std() for one in added])
        np.testing.assert_allclose(rough, rough[0], rtol=0.2)
        strengths.append(spread[0])
    assert max(strengths) <= 1.001
    assert np.mean(strengths) == pytest.approx(0.5, rel=0.2)


def test_blur_takes_detail(crop, random):
    vary = NONE.model_copy(update={"blur": 1.0})
    left = np.array([vary.disturbed(crop, random).std() / crop.std() for _ in range(100)])
    assert left.min() < 0.5
    assert left.max() > 0.9
    assert vary.disturbed(crop, random).mean() == pytest.approx(crop.mean(), abs=0.01)


@pytest.mark.parametrize("extent", [16, 27, 64, 100, 128])
def test_fit_keeps_what_is_there(extent):
    ramp = np.tile(np.linspace(0, 1, extent, dtype=np.float32), (extent, 1))
    fitted = fit(ramp, 64)
    assert fitted.shape == (64, 64)
    assert fitted.dtype == np.float32
    np.testing.assert_allclose(fitted[10], np.linspace(0, 1, 64), atol=0.03)


def test_nothing_moves_unless_asked(crop, random):
    first, target, last = NONE.moved([crop, crop + 1, crop + 2], 0.5, random)
    assert (first == crop).all()
    assert (target == crop + 1).all()
    assert (last == crop + 2).all()


@pytest.mark.parametrize("position", [0.5, 0.25])
def test_tissue_moves_to_opposite_sides_of_a_target_that_stays(position):
    vary = NONE.model_copy(update={"motion": 8.0})
    across = np.tile(np.arange(96, dtype=np.float32), (96, 1))
    size = 96 - 2 * vary.margin
    inner = across[8:-8, 8:-8]
    far, opposite, moving = [], 0, 0
    for seed in range(60):
        first, target, last = vary.moved([across] * 3, position, np.random.default_rng(seed))
        assert first.shape == target.shape == last.shape == (size, size)
        assert (target == inner).all()
        before, after = first - inner, last - inner
        moving += bool(before.any())
        far.append(np.abs([before, after]).max())
        opposite += (before * after).mean() < 0
    assert 20 < moving < 40
    assert opposite > 0.8 * moving
    assert 4 < max(far) < 8 * 1.8
