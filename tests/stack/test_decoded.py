from __future__ import annotations

import pickle

import numpy as np
import pytest

from napari_ssan.stack import decoded as module
from napari_ssan.stack.binned import Binned
from napari_ssan.stack.decoded import Decoded, decoded, in_memory
from napari_ssan.stack.lazy import LazySections
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source

VOLUME = np.random.default_rng(0).integers(0, 255, (20, 60, 70), np.uint8)


class Counting(LazySections):
    """A volume in a file that counts how often its sections are read."""

    def __init__(self) -> None:
        self.read: list[int] = []
        super().__init__(VOLUME.shape, VOLUME.dtype, self._of)

    def _of(self, z, window):
        self.read.append(z)
        return VOLUME[z][window]

    def lacking(self, axis):
        return frozenset({7}) if axis == 0 else frozenset()


def test_each_volume_is_read_once_however_many_sources_it_has():
    file = Counting()
    along, across = SliceStack(file), SliceStack(file, 1)
    sources = [Source(along, 0, 9), Source(along, 4, 12, 2), Source(across)]
    held = decoded(sources)
    assert sorted(file.read) == list(range(20))
    assert in_memory(held)
    assert not in_memory(sources)
    assert [(s.start, s.stop, s.spacing) for s in held] == [(0, 9, 1), (4, 12, 2), (0, 60, 1)]
    for before, after in zip(sources, held, strict=True):
        assert after.stack.shape == before.stack.shape
        np.testing.assert_array_equal(
            after.stack.read(3, (slice(2, 9), slice(5, 11))),
            before.stack.read(3, (slice(2, 9), slice(5, 11))),
        )
    assert held[0].stack.data is held[1].stack.data is held[2].stack.data
    assert held[0].stack.incomplete == {7}


def test_only_what_is_used_is_read(monkeypatch):
    monkeypatch.setattr(module, "MARGIN", 5)
    file = Counting()
    window = (slice(20, 40), slice(30, 50))
    (source,) = decoded([Source(SliceStack(file), 3, 8, window=window)])
    assert isinstance(source.stack.data, Decoded)
    assert source.stack.data.pixels.shape == (5, 30, 30)
    file.read.clear()
    wide = (slice(15, 45), slice(25, 55))
    np.testing.assert_array_equal(source.stack.read(3, wide), VOLUME[3][wide])
    assert not file.read
    np.testing.assert_array_equal(source.stack.read(12), VOLUME[12])
    assert file.read == [12]


def test_what_does_not_fit_stays_in_its_file(monkeypatch):
    memory = type("Memory", (), {"available": 2 * VOLUME.size - 1})
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: memory)
    whole, part = Counting(), Counting()
    sources = [Source(SliceStack(whole)), Source(SliceStack(part), 0, 10)]
    held = decoded(sources)
    assert held[0] is sources[0]
    assert isinstance(held[1].stack.data, Decoded)
    assert not in_memory(held)


def test_arrays_stay_as_they_are():
    sources = [Source(SliceStack(VOLUME))]
    assert decoded(sources)[0] is sources[0]
    assert in_memory(sources)


@pytest.mark.parametrize("dtype", [">u2", "<f4", "u1"])
def test_pixels_are_those_of_the_file_also_in_another_process(dtype):
    pixels = VOLUME.astype(dtype)
    file = LazySections(pixels.shape, pixels.dtype, lambda z, window: pixels[z][window])
    (source,) = decoded([Source(SliceStack(Binned(SliceStack(file), 2)))])
    assert source.stack.data.pixels.dtype.isnative
    copy = pickle.loads(pickle.dumps(source))
    for held in (source, copy):
        np.testing.assert_array_equal(
            held.stack.read(2), Binned(SliceStack(pixels), 2)[2].astype(held.stack.dtype)
        )
