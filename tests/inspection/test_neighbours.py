"""Comparing sections.

Covers: napari_ssan.inspection.shifts
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, rotate

from napari_ssan.inspection.look import Sighting, look
from napari_ssan.inspection.neighbours import compare


def pixels(broken, z):
    return broken.clean[z].astype(np.float32)


def test_both_sides_are_compared_and_the_ends_make_do(sightings):
    for z, expected in ((2, (1, 3)), (0, (1, 2)), (4, (2, 3))):
        traits, _ = compare(sightings[z], sightings)
        assert traits.neighbours == expected
        assert traits.end == (z != 2)
        assert traits.before > 0.4


def test_a_blank_neighbour_is_passed_over(sightings):
    blank = Sighting(1, np.zeros((4, 4), np.float32), "is constant")
    traits, _ = compare(sightings[2], {**sightings, 1: blank})
    assert traits.neighbours == (0, 3)


def moved(traits):
    return float(np.linalg.norm(traits.motion))


def test_a_shift_against_both_neighbours_is_seen(broken, sightings):
    traits, _ = compare(look(2, np.roll(pixels(broken, 2), 12, axis=1)), sightings)
    assert moved(traits) == pytest.approx(12 / 176, rel=0.3)
    assert moved(compare(sightings[2], sightings)[0]) < 0.01


def test_tissue_that_drifts_is_told_from_a_shift(broken):
    def drifting(z, more=0):
        return look(z, np.roll(pixels(broken, z), 4 * z + more, axis=1))

    window = {z: drifting(z) for z in range(5)}
    assert moved(compare(window[2], window)[0]) < 0.01
    assert moved(compare(drifting(2, 6), window)[0]) == pytest.approx(6 / 176, rel=0.3)


def test_dirt_on_a_neighbour_is_no_shift():
    random = np.random.default_rng(0)
    tissue = gaussian_filter(random.standard_normal((5, 200, 200)), (1.5, 3, 3))
    tissue /= tissue.std()
    tissue[:, 120:150, 110:150] -= 3  # a dark body in all sections
    tissue[1, 50:80, 60:100] = -8
    window = {z: look(z, each.astype(np.float32)) for z, each in enumerate(tissue)}
    traits, _ = compare(window[2], window, regions=False)
    assert moved(traits) < 0.02


def test_a_corner_that_changed_moves_no_section():
    random = np.random.default_rng(1)
    tissue = gaussian_filter(random.standard_normal((5, 250, 250)), (1.5, 4, 4))
    tissue /= tissue.std()
    # What lies in one quadrant of a neighbour lies twelve pixels farther there.
    tissue[1, 125:, 125:] = np.roll(tissue[2], (12, 12), (0, 1))[125:, 125:]
    window = {z: look(z, each.astype(np.float32)) for z, each in enumerate(tissue)}
    traits, _ = compare(window[2], window, regions=False)
    assert moved(traits) < 0.004


@pytest.mark.parametrize("angle", [3, -3, 6])
def test_a_turn_is_seen(broken, sightings, angle):
    turned = look(2, rotate(pixels(broken, 2), angle, reshape=False, order=1, mode="reflect"))
    traits, _ = compare(turned, sightings)
    assert traits.turned == pytest.approx(-angle, abs=2)
    assert traits.fit > 0.4
    assert moved(traits) == pytest.approx(np.radians(abs(angle)) * 0.41, rel=0.4)
    assert compare(sightings[2], sightings)[0].turned == 0


def test_a_weak_turn_is_seen_where_one_neighbour_hardly_resembles_the_section():
    random = np.random.default_rng(2)
    tissue = gaussian_filter(random.standard_normal((5, 250, 250)), (1.5, 6, 6))
    elsewhere = gaussian_filter(random.standard_normal((250, 250)), 4)
    tissue[3] += 1.5 * tissue[3].std() / elsewhere.std() * elsewhere
    window = {z: look(z, each.astype(np.float32)) for z, each in enumerate(tissue)}
    turned = rotate(tissue[2], 2.5, reshape=False, order=1, mode="reflect").astype(np.float32)
    for pixels, expected in ((tissue[2].astype(np.float32), 0), (turned, -2.5)):
        traits, _ = compare(look(2, pixels), window, regions=False)
        assert traits.turned == pytest.approx(expected, abs=0.5)
        assert moved(traits) == pytest.approx(np.radians(abs(expected)) * 0.41, rel=0.25, abs=2e-3)


def test_a_copy_is_a_twin(broken, sightings):
    assert compare(look(2, pixels(broken, 1)), sightings)[0].twin > 0.999
    assert compare(sightings[2], sightings)[0].twin < 0.5


def test_correlation_falls_with_distance(sightings):
    apart = compare(sightings[2], sightings)[0].apart
    assert apart[1] > apart[2] > apart[4]


def test_pixels_that_are_black_or_white_are_counted(broken, sightings):
    clipped = pixels(broken, 2).clip(120, 255)
    share = (clipped == 120).mean()
    assert 0.2 < share < 0.8
    assert compare(look(2, clipped), sightings)[0].clipped == pytest.approx(share)
    assert compare(sightings[2], sightings)[0].clipped < 0.05
