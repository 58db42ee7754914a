"""Joining pixels: values, windows, dtypes, and how little is read."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.stack.binned import Binned
from napari_ssan.stack.sections import SliceStack


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 11, 14), dtype=np.uint8)


def test_pixels_are_means_of_blocks(volume):
    stack = SliceStack(Binned(SliceStack(volume), 3))
    assert stack.shape == (4, 3, 4)
    assert stack.dtype == np.uint8
    block = volume[2, 3:6, 6:9]
    assert stack.read(2)[1, 2] == round(float(block.mean()))


def test_windows_and_blocks_are_parts_of_the_whole(volume):
    stack = SliceStack(Binned(SliceStack(volume), 2))
    whole = np.stack([stack.read(z) for z in range(4)])
    window = slice(1, 4), slice(2, 7)
    np.testing.assert_array_equal(stack.read(1, window), whole[1][window])
    np.testing.assert_array_equal(stack.read_block(slice(1, 3), window), whole[1:3, 1:4, 2:7])


def test_floats_stay_floats_and_a_factor_of_one_changes_nothing(volume):
    floats = volume.astype(np.float32) / 3
    np.testing.assert_array_equal(SliceStack(Binned(SliceStack(floats), 1)).read(3), floats[3])
    joined = SliceStack(Binned(SliceStack(floats), 2)).read(0)
    assert joined.dtype == np.float32
    assert joined[0, 0] == pytest.approx(float(floats[0, :2, :2].mean()))


def test_only_the_window_is_read(volume):
    asked = []

    class Counting:
        shape, dtype = volume.shape, volume.dtype

        def __getitem__(self, index):
            asked.append(volume[index].size)
            return volume[index]

    SliceStack(Binned(SliceStack(Counting()), 2)).read(0, (slice(0, 2), slice(0, 3)))
    assert asked == [4 * 6]


@pytest.mark.parametrize("factor", [0, 12])
def test_a_factor_that_leaves_nothing_is_refused(volume, factor):
    with pytest.raises(BadInput, match="smaller whole number"):
        Binned(SliceStack(volume), factor)
