"""Volumes that are read on demand: any basic index as from numpy, no more than is asked for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.stack import lazy
from napari_ssan.stack.binned import Binned
from napari_ssan.stack.lazy import Guarded, LazySections, LazyVolume
from napari_ssan.stack.sections import SliceStack

DATA = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)


class Turned(LazyVolume):
    """DATA with its sections along another axis, and axes of length 1."""

    def __init__(self, zyx: tuple[int, int, int], ndim: int) -> None:
        self.expected = np.moveaxis(DATA.reshape(*DATA.shape, *(1,) * (ndim - 3)), (0, 1, 2), zyx)
        super().__init__(self.expected.shape, DATA.dtype)
        self.zyx = zyx
        self.read = 0

    def _read(self, sections, window):
        rows, columns = window
        for part in window:
            assert 0 <= part.start < part.stop
            assert part.step > 0
        assert len(sections)
        pixels = DATA[sections.start : sections.stop : sections.step, rows, columns]
        self.read += pixels.size
        return pixels


def made(z, window):
    assert all(part.step is None for part in window)
    return DATA[z][window]


VOLUMES = {
    "as it lies": (Turned((0, 1, 2), 3), None),
    "from the side": (Turned((2, 0, 1), 3), None),
    "rows and columns changed": (Turned((1, 2, 0), 3), None),
    "with a time and a channel": (Turned((1, 3, 4), 5), None),
    "made by a function": (LazySections(DATA.shape, DATA.dtype, made), DATA),
    "binned": (
        Binned(SliceStack(DATA.repeat(2, axis=1).repeat(2, axis=2)), 2),
        DATA,
    ),
    "guarded": (Guarded(Turned((0, 1, 2), 3), lambda: True), DATA),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_any_basic_index_reads_as_from_an_array(name):
    volume, expected = VOLUMES[name]
    expected = volume.expected if expected is None else expected
    assert (volume.shape, volume.dtype, volume.ndim) == (
        *(expected.shape, expected.dtype, expected.ndim),
    )
    assert (volume.size, volume.nbytes, len(volume)) == (
        *(expected.size, expected.nbytes, len(expected)),
    )
    for axis, length in enumerate(expected.shape):
        ends = [None, *range(-length - 1, length + 2)]
        cuts = [slice(*cut) for cut in itertools.product(ends, ends, [None, 2, 3, -1, -2])]
        for part in [*range(-length, length), np.int64(0), *cuts]:
            before, after = (slice(None),) * axis, (slice(None),) * (expected.ndim - axis - 1)
            for where in ((*before, part), (..., part, *after)):
                np.testing.assert_array_equal(volume[where], expected[where])
    few = [0, -1, slice(None), slice(1, None, 2), slice(None, None, -1), slice(2, 2)]
    for length in range(expected.ndim + 1):
        for where in itertools.product(few, repeat=length) if length < 4 else [(0,) * length]:
            got = volume[where]
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got, expected[where])
    np.testing.assert_array_equal(np.asarray(volume), expected)
    np.testing.assert_array_equal(np.asarray(volume, np.float32), expected.astype(np.float32))


@pytest.mark.parametrize(
    "index", [3, -4, (0, 4), (0, 0, 0, 0), [0, 1], np.zeros(3, bool), None, 1.0, (..., 0, 0, 0, 0)]
)
def test_other_indices_are_refused(index):
    with pytest.raises(IndexError):
        VOLUMES["as it lies"][0][index]


def test_only_what_is_asked_for_is_read():
    for index, pixels in ((0, 20), ((0, 1), 5), ((..., 2), 12), ((slice(0, 3, 2), 1, 1), 2)):
        volume = Turned((0, 1, 2), 3)
        volume[index]
        assert volume.read == pixels
    volume[1:1]
    assert volume.read == 2


class Huge(LazyVolume):
    def __init__(self) -> None:
        super().__init__((5000, 1000, 1000), np.dtype(np.uint8))

    def _read(self, sections, window):
        return np.zeros(lazy.extent(sections, window), self.dtype)


def test_no_array_is_made_of_what_is_too_large():
    with pytest.raises(BadInput, match=r"This volume takes 4\.7 GiB as an array, more than 1 GiB"):
        np.asarray(Huge())
    assert Huge()[0].shape == (1000, 1000)


def test_a_3d_view_is_shown_a_single_voxel_of_what_is_too_large():
    three = [False]
    guarded = Guarded(Huge(), lambda: three[0])
    assert guarded[::1000, ::500].shape == (5, 2, 1000)
    three[0] = True
    assert guarded[:, :, :].shape == (1, 1, 1)
    assert guarded[::1000, ::500].shape == (5, 2, 1000)
    assert guarded[7, 3].shape == (1000,)
    assert guarded.volume.shape == guarded.shape
