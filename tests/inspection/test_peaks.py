from __future__ import annotations

import numpy as np

from napari_ssan.inspection.peaks import is_long, peaks


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
