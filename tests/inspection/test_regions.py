"""Regions that are unlike the neighbours, and the maps in which they stand out.

Covers: napari_ssan.inspection.signs
"""

from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.look import look
from napari_ssan.inspection.neighbours import compare
from napari_ssan.inspection.plant import plant_region
from napari_ssan.stack.phantom import phantom


def highest(candidates, sign):
    return max((each for each in candidates if each.sign == sign), key=lambda each: each.peak)


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        ("contamination", "dark"),
        ("contamination", "dark wide"),
        ("hole", "light"),
        ("fold", "dark long"),
        ("crack", "light long"),
        ("blur", "soft"),
    ],
)
def test_planted_damage_stands_out(broken, sightings, kind, sign):
    random = np.random.default_rng(1)
    pixels, mask = plant_region(kind, broken.clean[2].astype(np.float32), 2, random)
    found = standing_out(sightings, pixels, mask, sign)
    assert found.long == (kind in ("fold", "crack"))


@pytest.mark.parametrize("end", [np.min, np.max])
@pytest.mark.parametrize("turned", [False, True])
def test_a_black_or_white_margin_stands_out(broken, sightings, end, turned):
    pixels = broken.clean[2].astype(np.float32)
    height, width = pixels.shape
    edge = height * (0.15 + 0.04 * np.sin(np.arange(width) / width * 9))
    mask = np.arange(height)[:, None] < edge
    mask = mask[::-1] if turned else mask
    pixels[mask] = end(pixels)
    standing_out(sightings, pixels, mask, "flat")


@pytest.mark.parametrize(("way", "sign"), [(-1, "dark broad"), (1, "light broad")])
def test_a_cloud_through_which_structure_shows_stands_out(broken, sightings, way, sign):
    pixels = broken.clean[2].astype(np.float32)
    rows, columns = np.indices(pixels.shape)
    away = np.hypot(rows - 90, (columns - 100) / 1.4)
    pixels += way * 0.7 * pixels.std() * np.exp(-((away / 45) ** 2))
    found = standing_out(sightings, pixels, away < 45, sign)
    assert found.structured
    assert not found.long


def standing_out(sightings, pixels, mask, sign):
    """The highest candidate, which is higher than those of the good section, and at the damage."""
    _, candidates = compare(look(2, pixels), sightings)
    found = highest(candidates, sign)
    _, good = compare(sightings[2], sightings)
    before = max((each.peak for each in good if each.sign == sign), default=0.0)
    assert found.peak > 1.4 * before
    seen = np.zeros(mask.shape, bool)
    seen[found.region.window] = found.region.mask
    assert (seen & mask).sum() > 0.3 * (seen | mask).sum()
    return found


@pytest.mark.parametrize(("kind", "sign"), [("fold", "dark long"), ("crack", "light long")])
def test_the_mask_of_a_line_covers_it(broken, sightings, kind, sign):
    overlaps = []
    for seed in range(4):
        random = np.random.default_rng(seed)
        pixels, mask = plant_region(kind, broken.clean[2].astype(np.float32), 2, random)
        found = highest(compare(look(2, pixels), sightings)[1], sign)
        seen = np.zeros(mask.shape, bool)
        seen[found.region.window] = found.region.mask
        overlaps.append((seen & mask).sum() / (seen | mask).sum())
        assert found.long
    assert np.mean(overlaps) > 0.65


def test_beside_a_dark_spot_nothing_is_a_crack(broken, sightings):
    pixels = broken.clean[2].astype(np.float32)
    rows, columns = np.indices(pixels.shape)
    pixels[np.hypot(rows - 80, columns - 90) < 22] -= 90
    _, candidates = compare(look(2, pixels.clip(0, 255)), sightings)
    assert not any(each.long for each in candidates if each.sign == "light long")


@pytest.mark.parametrize(("value", "sign"), [(0, "dark wide"), (255, "light wide")])
def test_a_constant_spot_is_seen(broken, sightings, value, sign):
    pixels = broken.clean[2].astype(np.float32)
    pixels[60:84, 70:100] = value
    _, candidates = compare(look(2, pixels), sightings)
    found = highest(candidates, sign)
    assert found.region.window[0].start in range(50, 64)
    assert found.peak > 1.2


@pytest.mark.parametrize(
    ("kind", "signs", "structured"),
    [
        ("charging", ("light", "like hole"), True),
        ("hole", ("light", "like hole"), False),
        ("contamination", ("dark", "like contamination"), False),
    ],
)
def test_structure_is_looked_for_where_a_region_departs_most(kind, signs, structured):
    """Around it lies good tissue, which shows what the neighbours show."""
    tissue = phantom((20, 320, 320), seed=3).clean[:5].astype(np.float32)
    window = {z: look(z, each) for z, each in enumerate(tissue)}
    for seed in (0, 1, 3, 4, 5):
        pixels, mask = plant_region(kind, tissue[2], 1, np.random.default_rng(seed))
        _, found = compare(look(2, pixels), window)
        touching = [
            each
            for each in found
            if each.sign in signs and (mask[each.region.window] & each.region.mask).any()
        ]
        assert max(touching, key=lambda each: each.peak).structured == structured
