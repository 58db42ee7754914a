from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ssan.inspection.peaks import is_long, peaks, straightest


def test_a_region_is_all_that_is_connected_with_its_peak_however_far_it_goes():
    image = np.zeros((200, 240), np.float32)
    image[20:180, 100:103] = 0.5
    image[176:180, 100:230] = 0.5
    image[60, 101] = 1.0
    image[150:156, 20:26] = 0.3
    (high, line), (low, spot) = peaks(image)
    assert (high, low) == (1.0, np.float32(0.3))
    np.testing.assert_array_equal(line.mask, (image >= 0.4)[line.window])
    assert (line.window, line.pixels) == ((slice(20, 180), slice(100, 230)), (image >= 0.4).sum())
    assert (spot.window, spot.pixels) == ((slice(150, 156), slice(20, 26)), 36)


def test_a_line_is_long_and_a_spot_is_not():
    rows, columns = np.indices((80, 80))
    assert is_long(np.abs(rows - columns) < 3, 10)
    assert not is_long(np.hypot(rows - 40, columns - 40) < 15, 10)
    assert not is_long(np.abs(rows - columns) < 3, 100)


@pytest.mark.parametrize(("start", "stop"), [(0, 240), (60, 180)])
def test_a_faint_straight_line_is_told_though_it_is_broken_in_many_places(start, stop):
    random = np.random.default_rng(0)
    image = gaussian_filter(random.standard_normal((200, 240)), 2).astype(np.float32)
    image /= image.std()
    ((usual, _),) = straightest(image)
    rows, columns = np.indices(image.shape)
    line = np.abs(rows - 60 - 0.3 * columns) < 1.2
    line &= (columns >= start) & (columns < stop)
    image[line & (columns % 20 < 12)] += 2.5
    ((share, region),) = straightest(image)
    assert share > 1.3 * usual
    found = np.zeros(image.shape, bool)
    found[region.window] = region.mask
    assert (np.abs(rows - 60 - 0.3 * columns) < 2.5)[found].mean() > 0.9
    # To the edges if it comes near them.
    assert found.any(axis=0).nonzero()[0][[0, -1]] == pytest.approx((start, stop - 1), abs=12)
    assert found[:, [0, -1]].any(axis=0).all() == (start == 0)


def test_where_nothing_stands_out_there_is_no_straight_line():
    assert straightest(np.zeros((40, 40), np.float32)) == []
    assert straightest(np.ones((2, 2), np.float32)) == []


@pytest.mark.parametrize("most", [9, 60])
@pytest.mark.parametrize("sparse", [False, True])
def test_straight_lines_lie_in_their_section_however_small_or_empty_it_is(most, sparse):
    random = np.random.default_rng(0)
    for _ in range(300):
        shape = tuple(random.integers(3, most, 2))
        image = random.standard_normal(shape).astype(np.float32)
        if sparse:  # a few pixels are no line
            image = np.where(random.random(shape) < 3 / image.size, 1, 0).astype(np.float32)
        for share, region in straightest(image):
            assert 0 < share <= 3
            rows, columns = region.window
            assert 0 <= rows.start < rows.stop <= shape[0]
            assert 0 <= columns.start < columns.stop <= shape[1]
