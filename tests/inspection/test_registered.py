from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.look import Sighting, look
from napari_ssan.inspection.registered import Registered


@pytest.fixture
def beside(broken):
    """Section 2 beside 1 and 3, of which the last lies 12 pixels farther to the right."""
    seen, *others = (look(z, broken.clean[z].astype(np.float32)) for z in (2, 1, 3))
    seen.shifts |= {1: (0.0, 0.0), 3: (0.0, -12.0)}
    return Registered(seen, tuple(others))


def test_others_are_moved_to_where_the_section_lies(beside):
    assert beside.shifts == ((0.0, 0.0), (0.0, -12.0))
    unmoved, moved = beside.theirs(lambda each: each.smooth)
    assert unmoved is beside.others[0].smooth
    np.testing.assert_array_equal(moved[:, :-12], beside.others[1].smooth[:, 12:])
    assert not moved[:, -12:].any()


def test_pictures_are_0_where_not_all_can_be_seen(beside):
    assert beside.valid[:, :-12].all()
    assert not beside.valid[:, -12:].any()
    for each in beside.pictures(lambda each: each.smooth):
        assert each.dtype == np.float32
        assert each[:, :-12].any()
        assert not each[:, -12:].any()


def test_what_is_smoothed_further_is_as_smooth_at_the_edge(beside):
    own, _, moved = beside.pictures(lambda each: each.means)
    np.testing.assert_array_equal(own[:, :-12], beside.seen.means[:, :-12])
    np.testing.assert_array_equal(moved[:, :-12], beside.others[1].means[:, 12:])


@pytest.mark.parametrize("which", [0, 1, 2])
def test_nothing_is_compared_where_one_section_has_a_constant_margin(broken, which):
    pixels = [broken.clean[z].astype(np.float32) for z in (2, 1, 3)]
    pixels[which][:40] = 7
    seen, *others = (look(z, each) for z, each in zip((2, 1, 3), pixels, strict=True))
    seen.shifts |= {1: (0.0, 0.0), 3: (0.0, 0.0)}
    beside = Registered(seen, tuple(others))
    assert not beside.valid[:40].any()
    assert beside.valid[44:].all()
    assert not any(each[:40].any() for each in beside.pictures(lambda each: each.smooth))


def test_a_prepared_section_has_all_that_a_comparison_asks_for(broken):
    sighting = look(2, broken.clean[2].astype(np.float32))
    assert "lines" not in vars(sighting)
    assert sighting.prepared() is sighting
    assert {"lines", "near_dark", "near_light", "details", "means"} <= set(vars(sighting))
    blank = Sighting(3, np.zeros((8, 8), np.float32), "is constant")
    assert "lines" not in vars(blank.prepared())
