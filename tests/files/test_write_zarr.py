"""What is written as OME-Zarr, section by section and row by row.

Covers: napari_ssan.files.ome_metadata, napari_ssan.files.zarr_rows
"""

from itertools import pairwise

import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr

from napari_ssan.engine.repair import repair as repair_stack
from napari_ssan.errors import BadInput
from napari_ssan.files import Calibration, open_stack, save_stack, write_zarr
from napari_ssan.files.write_zarr import Pieces
from napari_ssan.files.zarr_rows import halved


def test_valid_ome_zarr_with_a_pyramid(tmp_path, make, repair, monkeypatch):
    monkeypatch.setattr(write_zarr, "SMALLEST_LEVEL", 20)
    monkeypatch.setattr(write_zarr, "CHUNK", 16)
    monkeypatch.setattr(write_zarr, "BAND_PIXELS", 50 * 16)
    file = open_stack(make("ome-zarr-0.4", "uint16"))
    repaired = repair(file.stack(), inserted=True)
    path = tmp_path / "out.ome.zarr"
    save_stack(path, repaired, file)
    yaozarrs.validate_zarr_store(str(path))
    group = zarr.open_group(path, mode="r")
    assert not list(group.group_keys())
    assert sorted(group.array_keys()) == ["0", "1", "2"]
    levels = [np.asarray(group[name]) for name in "012"]
    assert [level.shape for level in levels] == [(7, 70, 50), (7, 35, 25), (7, 18, 13)]
    assert group["0"].chunks == (1, 16, 16)
    np.testing.assert_array_equal(levels[0], np.asarray(repaired))
    for fine, coarse in pairwise(levels):
        np.testing.assert_array_equal(coarse, np.stack([halved(s) for s in fine]))
    again = open_stack(path)
    assert again.calibration.scale == (40, 4, 4)
    assert again.calibration.translate == (80, 8, 12)
    assert again.calibration.name == "cortex"


@pytest.mark.parametrize("ending", [".zarr", ".ome.zarr"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_round_trip(tmp_path, make, repair, ending, dtype):
    file = open_stack(make("zarr", dtype))
    repaired = repair(file.stack())
    path = tmp_path / f"out{ending}"
    save_stack(path, repaired, file)
    again = open_stack(path)
    assert (again.flavour, again.axes, again.data.dtype) == ("ome-zarr-0.5", "zyx", dtype)
    assert again.calibration.scale == (40, 4, 4)
    assert again.calibration.units == ("nanometer",) * 3
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(repaired))


def test_singletons_go_where_ome_zarr_wants_them(tmp_path, volume, repair):
    source = tmp_path / "in.tif"
    tifffile.imwrite(source, volume()[None, :, None], metadata={"axes": "TZCYX"}, photometric=1)
    file = open_stack(source)
    save_stack(tmp_path / "out.zarr", repair(file.stack()), file)
    yaozarrs.validate_zarr_store(str(tmp_path / "out.zarr"))
    again = open_stack(tmp_path / "out.zarr")
    assert (again.axes, again.data.shape) == ("tczyx", (1, 1, 6, 70, 50))


def test_sections_along_time_are_along_z(tmp_path, volume, repair):
    source = tmp_path / "in.tif"
    tifffile.imwrite(source, volume()[:, None], metadata={"axes": "TZYX"}, photometric=1)
    file = open_stack(source)
    save_stack(tmp_path / "out.zarr", repair(file.stack()), file)
    again = open_stack(tmp_path / "out.zarr")
    assert (again.axes, again.data.shape) == ("tzyx", (1, 6, 70, 50))
    np.testing.assert_array_equal(again.stack().read(0), volume()[0])


@pytest.mark.parametrize(
    ("size", "along_z"),
    [({"PhysicalSizeZ": 50.0, "PhysicalSizeZUnit": "nm"}, (50, "nanometer")), ({}, (1, None))],
)
def test_time_between_sections_is_no_distance(tmp_path, volume, repair, size, along_z):
    source = tmp_path / "in.ome.tif"
    time = {"TimeIncrement": 1.5, "TimeIncrementUnit": "s"}
    tifffile.imwrite(source, volume(), metadata={"axes": "TYX", **time, **size})
    file = open_stack(source)
    save_stack(tmp_path / "out.zarr", repair(file.stack()), file)
    again = open_stack(tmp_path / "out.zarr")
    assert again.axes == "zyx"
    assert again.calibration.along("z") == along_z


def test_sections_along_time_have_the_distance_of_the_z_axis(tmp_path, volume):
    calibration = Calibration.of(
        "tzyx", (1.5, 50, 4, 4), ("s", "nm", "nm", "nm"), z_axis=0, flavour="tiff"
    )
    save_stack(tmp_path / "out.zarr", volume()[:, None], calibration)
    again = open_stack(tmp_path / "out.zarr").calibration
    assert again.along("z") == (50, "nanometer")
    assert again.along("t") == (1.5, "second")


def test_z_stays_last(tmp_path, volume, repair):
    source = tmp_path / "in.zarr"
    zarr.create_array(source, data=volume().transpose(2, 1, 0), dimension_names=["x", "y", "z"])
    file = open_stack(source)
    repaired = repair(file.stack())
    save_stack(tmp_path / "out.zarr", repaired, file)
    again = open_stack(tmp_path / "out.zarr")
    assert again.axes == "xyz"
    np.testing.assert_array_equal(np.asarray(again.data), np.asarray(repaired))


def test_rendering_settings_stay(tmp_path, make, repair):
    source = make("ome-zarr-0.4")
    window = {"start": 3, "end": 90, "min": 0, "max": 255}
    omero = {"channels": [{"color": "FFFFFF", "window": window, "label": "SEM", "active": True}]}
    zarr.open_group(source).attrs["omero"] = omero
    file = open_stack(source)
    save_stack(tmp_path / "out.zarr", repair(file.stack()), file)
    assert open_stack(tmp_path / "out.zarr").calibration.display_range == (3, 90)


def test_axes_that_ome_zarr_has_not(tmp_path, volume):
    data = volume()[None, None, None]
    with pytest.raises(BadInput, match="cannot hold the axes"):
        save_stack(tmp_path / "a.zarr", data, Calibration.of("uvtzyx", z_axis=3))
    with pytest.raises(BadInput, match="cannot hold the axes"):
        save_stack(tmp_path / "a.zarr", volume(), Calibration.of("zab", z_axis=0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "int32", "float32"])
def test_local_mean(dtype):
    kind = np.dtype(dtype)
    high = np.finfo(kind).max if kind.kind == "f" else np.iinfo(kind).max
    low = np.finfo(kind).min if kind.kind == "f" else np.iinfo(kind).min
    section = np.array([[1, 2, high], [3, 5, high], [low, low, 7]], kind)
    result = halved(section)
    assert result.dtype == kind
    assert result[0, 0] == (2.75 if kind.kind == "f" else 3)
    assert (result[0, 1], result[1, 0], result[1, 1]) == (high, low, 7)


@pytest.mark.parametrize("z_last", [False, True])
@pytest.mark.parametrize(
    "pieces", [Pieces((3, 16, 32)), Pieces((1, 16, 16), (4, 32, 32)), Pieces((64, 512, 512))]
)
def test_pieces_of_any_size_hold_the_same_pixels(tmp_path, volume, monkeypatch, pieces, z_last):
    monkeypatch.setattr(write_zarr, "SMALLEST_LEVEL", 20)
    data, axes = (volume().transpose(1, 2, 0), "yxz") if z_last else (volume(), "zyx")
    calibration = Calibration.of(axes, flavour="zarr", name="image")
    calls = []
    for name, cut in (("plain.zarr", None), ("cut.zarr", pieces)):
        save_stack(
            tmp_path / name,
            data,
            calibration,
            pieces=cut,
            progress=lambda done, total: calls.append((done, total)),
        )
    assert calls == 2 * calls[: len(data[0, 0]) if z_last else len(data)]
    yaozarrs.validate_zarr_store(str(tmp_path / "cut.zarr"))
    plain, cut = (zarr.open_group(tmp_path / name, mode="r") for name in ("plain.zarr", "cut.zarr"))
    for number in "012":
        assert cut[number].chunks == tuple(pieces.chunks["zyx".index(axis)] for axis in axes)
        shards = pieces.shards and tuple(pieces.shards["zyx".index(axis)] for axis in axes)
        assert cut[number].shards == shards
    for number in "012":
        np.testing.assert_array_equal(np.asarray(plain[number]), np.asarray(cut[number]))


def test_what_was_written_lacks_nothing_however_blank_it_is(tmp_path):
    """A blank section is no lost one, and a mask of one section in thousands is whole."""
    pixels = np.random.default_rng(0).integers(1, 255, (1200, 32, 32), np.uint8)
    pixels[7] = 0
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="minisblack")
    file = open_stack(tmp_path / "in.tif")
    repaired = repair_stack(file.stack(), [20], method="average")
    for path in save_stack(tmp_path / "out.ome.zarr", repaired, file, mask=True):
        again = open_stack(path)
        assert again.notes == ()
        assert again.chunks.missing == 0
    assert np.asarray(again.data).any((1, 2)).nonzero()[0].tolist() == [20]
