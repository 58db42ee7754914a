from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.plant import (
    REGION_KINDS,
    SLICE_KINDS,
    STRENGTHS,
    plant_region,
    plant_slice,
)


@pytest.mark.parametrize("kind", SLICE_KINDS)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_sections_are_damaged(broken, kind, strength):
    pixels, other = (broken.clean[z].astype(np.float32) for z in (3, 2))
    before = pixels.copy()
    damaged = plant_slice(kind, pixels, other, strength, np.random.default_rng(0))
    assert damaged.shape == pixels.shape
    assert (damaged != pixels).mean() > 0.5
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("kind", REGION_KINDS)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_regions_are_damaged_where_the_mask_says(broken, kind, strength):
    pixels = broken.clean[3].astype(np.float32)
    damaged, mask = plant_region(kind, pixels, strength, np.random.default_rng(0))
    change = np.abs(damaged - pixels)
    assert 0.0005 < mask.mean() < 0.3
    assert change[mask].mean() > 20 * change[~mask].mean()


def test_the_same_seed_plants_the_same(broken):
    pixels = broken.clean[3].astype(np.float32)
    one, two = (plant_region("fold", pixels, 1, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
