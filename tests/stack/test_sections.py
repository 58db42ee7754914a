from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import SliceStack


@pytest.fixture
def volume() -> np.ndarray:
    return np.arange(4 * 6 * 5, dtype=np.uint16).reshape(4, 6, 5)


@pytest.mark.parametrize("wrap", [np.asarray, da.from_array, zarr.array])
def test_numpy_dask_and_zarr_read_alike(volume, wrap):
    stack = SliceStack(wrap(volume))
    assert stack.shape == volume.shape
    np.testing.assert_array_equal(stack.read(2), volume[2])
    np.testing.assert_array_equal(stack.read(1, (slice(2, 4), slice(1, 3))), volume[1, 2:4, 1:3])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_z_may_lie_on_any_axis(volume, axis):
    stack = SliceStack(np.moveaxis(volume, 0, axis), z_axis=axis)
    assert stack.shape == volume.shape
    np.testing.assert_array_equal(stack.read(3), volume[3])
    block = stack.read_block(slice(0, 4, 2), (slice(1, 5), slice(0, 3)))
    np.testing.assert_array_equal(block, volume[::2, 1:5, :3])


def test_multiscale_means_level_0(volume):
    assert SliceStack([volume, volume[:, ::2, ::2]]).shape == volume.shape


def test_singleton_axes_are_fine_and_others_are_refused(volume):
    np.testing.assert_array_equal(SliceStack(volume[None, :, None], z_axis=1).read(1), volume[1])
    with pytest.raises(BadInput, match="pick one channel"):
        SliceStack(np.stack([volume, volume]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (np.zeros((5, 5), np.uint8), "2-D image"),
        (np.zeros((64, 64, 3), np.uint8), "RGB"),
        (np.zeros((3, 8, 8), complex), "complex128"),
        (np.zeros((3, 8, 8), bool), "bool"),
        (np.zeros((0, 8, 8), np.uint8), "empty"),
    ],
)
def test_what_is_no_grey_stack_is_refused(data, reason):
    with pytest.raises(BadInput, match=reason):
        SliceStack(data)


def test_only_the_asked_for_section_is_read(volume):
    class Counting:
        shape, dtype = volume.shape, volume.dtype
        read = 0

        def __getitem__(self, index):
            part = volume[index]
            self.read += part.size
            return part

    data = Counting()
    SliceStack(data).read(2, (slice(0, 2), slice(0, 5)))
    assert data.read == 10


def test_bands_cover_a_section_once(volume, monkeypatch):
    monkeypatch.setattr("napari_ssan.stack.sections.BAND_PIXELS", 10)
    bands = list(SliceStack(volume).bands(1))
    assert len(bands) == 3
    np.testing.assert_array_equal(np.vstack([pixels for _, pixels in bands]), volume[1])


@pytest.mark.parametrize("axis", [3, 9, -4])
def test_an_axis_that_is_not_there_is_refused(volume, axis):
    with pytest.raises(BadInput, match="no axis"):
        SliceStack(volume, axis)


def test_a_section_beyond_the_stack_is_an_index_error(volume):
    with pytest.raises(IndexError):
        SliceStack(volume).read(4)
