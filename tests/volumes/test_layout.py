"""Levels of a volume, and the objects that they are stored in.

Covers: napari_ssan.volumes.layout, napari_ssan.volumes.objects, napari_ssan.volumes.originals
"""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.volumes.layout import Layout, Level, coarser, find_layout, mean
from napari_ssan.volumes.objects import Objects, OriginalStore, StagedStore

from .conftest import KINDS, content, levels_of, pyramid


@pytest.mark.parametrize("kind", KINDS)
def test_every_object_is_encoded_as_it_was(make, kind, tmp_path):
    path = make(kind)
    before = content(path)
    layout, _ = find_layout(path)
    along = 2 if KINDS[kind][3] else 1
    assert layout.factors == ((1, 1), (along, 2), (along, 2))
    assert layout.spans(2) == along**2
    objects, seen = Objects(path, tmp_path / "kept"), set()
    for number in range(3):
        level = Level(StagedStore(objects), layout, number)
        for row in range(-(-level.shape[0] // level.object[0])):
            for place, box in level.boxes(row):
                name = level.name(place)
                assert level.encode(place, box, level.read(box)) == objects.read(name)
                seen.add(name)
    assert seen == {name for name in before if name[0] in "012" and "z" not in name}
    assert content(path) == before


@pytest.mark.parametrize("kind", ["0.5", "0.5 halved along z"])
def test_means_are_those_of_our_writer(make, kind, tmp_path, volume):
    path = make(kind)
    layout, _ = find_layout(path)
    levels = [Level(StagedStore(Objects(path, tmp_path)), layout, n) for n in range(3)]
    for fine, coarse, factors, wanted in zip(
        levels, levels[1:], layout.factors[1:], pyramid(volume, KINDS[kind][3])[1:], strict=False
    ):
        for z in range(coarse.shape[0]):
            window = slice(3, coarse.shape[1]), slice(2, coarse.shape[2] - 1)
            np.testing.assert_array_equal(mean(fine, factors, z, window), wanted[z][window])


@pytest.mark.parametrize("shape", [(7, 50, 65), (6, 49, 64)])  # rounded up and down
def test_marks_of_a_coarser_level(shape):
    random = np.random.default_rng(1)
    marked = np.zeros((13, 99, 129), bool)
    marked[5] = True
    marks = Marks({5})
    for z in (2, 3, 12):
        mask = random.random((9, 14)) > 0.9
        top, left = (int(n) for n in random.integers(0, (90, 115)))
        marked[z, top : top + 9, left : left + 14] = mask
        marks.add_region(z, Region(top, left, mask))
    found = coarser(marks, (2, 2), shape)
    padded = np.pad(marked, [(0, 1)] * 3)
    wanted = padded.reshape(7, 2, 50, 2, 65, 2).any(axis=(1, 3, 5))[
        : shape[0], : shape[1], : shape[2]
    ]
    for z in range(shape[0]):
        mask = found.mask(z, (slice(0, shape[1]), slice(0, shape[2])))
        np.testing.assert_array_equal(wanted[z] if mask is None else mask, wanted[z])
        assert mask is not None or not wanted[z].any()


@pytest.mark.parametrize("kind", ["0.5", "0.5 sharded"])
def test_originals_are_seen_whatever_is_changed(make, kind, tmp_path, volume):
    path = make(kind)
    before = content(path)
    layout, _ = find_layout(path)
    objects = Objects(path, tmp_path / "kept")
    level = Level(StagedStore(objects), layout, 0)
    original = Level(OriginalStore(objects), layout, 0)
    for row in range(2):
        for place, box in level.boxes(row):
            assert objects.replace(
                level.name(place), level.encode(place, box, level.read(box) // 2)
            )
            assert objects.replace(level.name(place), level.encode(place, box, level.read(box) * 0))
            assert not objects.replace(level.name(place), None)
    everything = tuple(slice(0, n) for n in volume.shape)
    assert (levels_of(path)[0] != volume).any()
    np.testing.assert_array_equal(original.read(everything), volume)
    for name in objects.names():
        objects.put_back(name)
    assert content(path) == before


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
def test_means_of_pairs_of_sections_in_other_dtypes(tmp_path, dtype):
    values = np.random.default_rng(0).integers(0, 30000, (5, 6, 8))
    values = values - 15000 if dtype != "uint16" else values
    group = zarr.create_group(tmp_path / "image.zarr")
    group.create_array("0", data=values.astype(dtype), chunks=(2, 6, 8))
    layout = Layout("", ("0",), (0, 1, 2), ((1, 1),))
    fine = Level(StagedStore(Objects(tmp_path / "image.zarr", tmp_path / "kept")), layout, 0)
    window = slice(0, 3), slice(0, 4)
    for z in range(3):
        found = mean(fine, (2, 2), z, window)
        pair = values[2 * z : 2 * z + 2].reshape(-1, 3, 2, 4, 2).mean(axis=(0, 2, 4))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, pair, atol=1 if dtype != "float32" else 1e-2)
