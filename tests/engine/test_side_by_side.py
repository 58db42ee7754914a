from __future__ import annotations

import numpy as np
import pytest

import napari_ssan
from napari_ssan import Marks
from napari_ssan.engine.side_by_side import across, beside


@pytest.mark.parametrize("axis", [0, 2])
def test_a_section_beside_what_it_was_made_from(volume, axis):
    data = np.moveaxis(volume, 0, axis)
    repaired = napari_ssan.repair(data, Marks({2, 3}), method="average", z_axis=axis)
    window = slice(4, 40, 3), slice(10, 50, 2)
    seen = beside(repaired.stack, repaired.patches((3, 0)), window)
    assert seen.sources == (1, 4)
    np.testing.assert_array_equal(seen.neighbours[0], volume[1][window])
    np.testing.assert_array_equal(seen.before, volume[3][window])
    made = np.moveaxis(np.asarray(repaired), axis, 0)
    np.testing.assert_array_equal(seen.after, made[3][window])
    assert (seen.error > 0).all()
    assert seen.limits[0] < seen.limits[1]


def test_an_inserted_section_and_a_copy(volume):
    repaired = napari_ssan.repair(volume, Marks({8}, {}, {4: 1}), method="average")
    window = slice(0, 20, 1), slice(0, 20, 1)
    inserted = beside(repaired.stack, repaired.patches((4, 1)), window)
    assert inserted.before is None
    assert inserted.sources == (4, 5)
    copied = beside(repaired.stack, repaired.patches((8, 0)), window)
    assert copied.sources == (7,)
    assert np.isnan(copied.error).all()


@pytest.mark.parametrize("axis", [0, 2])
def test_a_cut_goes_through_the_repaired_stack(volume, axis):
    data = np.moveaxis(volume, 0, axis)
    repaired = napari_ssan.repair(data, Marks({2}, {}, {4: 1}), method="average", z_axis=axis)
    made = np.moveaxis(np.asarray(repaired), axis, 0)
    xz = across(repaired, (2, 0), (slice(7, 8, 1), slice(0, 40, 2)))
    np.testing.assert_array_equal(xz, made[:, 7, 0:40:2])
    yz = across(repaired, (4, 1), (slice(0, 40, 2), slice(5, 6, 1)))
    np.testing.assert_array_equal(yz, made[:, 0:40:2, 5])
