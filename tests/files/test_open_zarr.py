import numpy as np
import pytest
import zarr

from napari_ssan.errors import BadInput
from napari_ssan.files import open_stack


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64"])
def test_bare_array(make, volume, zarr_format, dtype):
    file = open_stack(make("zarr", dtype, zarr_format=zarr_format))
    assert (file.flavour, file.axes) == ("zarr", "zyx")
    assert file.calibration.scale == (40, 4, 4)
    assert file.calibration.units == ("nanometer",) * 3
    np.testing.assert_array_equal(np.asarray(file.data), volume(dtype))


@pytest.mark.parametrize("flavour", ["ome-zarr-0.4", "ome-zarr-0.5"])
def test_ome_zarr(make, volume, flavour):
    file = open_stack(make(flavour, "uint16"))
    assert (file.flavour, file.axes, file.calibration.name) == (flavour, "zyx", "cortex")
    assert file.calibration.scale == (40, 4, 4)
    assert file.calibration.units == ("nanometer",) * 3
    assert file.calibration.translate == (80, 8, 12)
    assert [level.shape for level in file.levels] == [(6, 70, 50), (6, 35, 25)]
    np.testing.assert_array_equal(np.asarray(file.data), volume("uint16"))


def test_names_of_axes_tell_where_z_is(tmp_path, volume):
    path = tmp_path / "in.zarr"
    data = volume().transpose(1, 2, 0)
    zarr.create_array(path, data=data, dimension_names=["y", "x", "z"])
    stack = open_stack(path).stack()
    assert stack.shape == (6, 70, 50)
    np.testing.assert_array_equal(stack.read(2), volume()[2])


def test_first_image_of_a_collection(make, tmp_path):
    inner = make("ome-zarr-0.5")
    outer = tmp_path / "outer.zarr"
    zarr.create_group(outer).attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    inner.rename(outer / "0")
    assert len(open_stack(outer).stack()) == 6


def test_both_transformations_count(make):
    path = make("ome-zarr-0.5")
    group = zarr.open_group(path)
    ome = dict(group.attrs["ome"])
    ome["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [1, 2, 2]}]
    group.attrs["ome"] = ome
    calibration = open_stack(path).calibration
    assert (calibration.scale, calibration.translate) == ((40, 8, 8), (80, 16, 24))


@pytest.mark.parametrize(
    ("steps", "scale", "translate"),
    [
        ([{"type": "scale", "scale": ["50", "4", "4"]}], (50, 4, 4), (0, 0, 0)),
        ([{"type": "scale", "scale": [None, 0, -4]}], (1, 1, -4), (0, 0, 0)),
        ([{"type": "translation", "translation": ["-5", None, {}]}], (1, 1, 1), (-5, 0, 0)),
        ([{"type": "scale", "scale": "444"}, "scale", None], (1, 1, 1), (0, 0, 0)),
        ([{"type": ["scale"]}, {"type": "scale", "scale": [9, 9]}], (1, 1, 1), (0, 0, 0)),
        ({"type": "scale", "scale": [50, 4, 4]}, (1, 1, 1), (0, 0, 0)),
        (7, (1, 1, 1), (0, 0, 0)),
    ],
)
def test_transformations_that_make_no_sense_do_not_count(make, steps, scale, translate):
    path = make("ome-zarr-0.4")
    group = zarr.open_group(path)
    multiscales = list(group.attrs["multiscales"])
    multiscales[0]["datasets"][0]["coordinateTransformations"] = steps
    multiscales[0]["axes"][0]["unit"] = 5
    group.attrs["multiscales"] = multiscales
    calibration = open_stack(path).calibration
    assert (calibration.scale, calibration.translate) == (scale, translate)
    assert calibration.units == (None, "nanometer", "nanometer")


def test_voxel_size_that_makes_no_sense(make):
    path = make("zarr")
    zarr.open_array(path).attrs.update(voxel_size=["40", -4, None], units=["nm", 5, None])
    calibration = open_stack(path).calibration
    assert calibration.scale == (40, -4, 1)
    assert calibration.units == ("nanometer", None, None)


def test_big_endian_comes_out_native(tmp_path, volume):
    path = tmp_path / "in.zarr"
    zarr.create_array(path, data=volume("uint16").astype(">u2"), zarr_format=2)
    assert open_stack(path).stack().read(0).dtype.isnative


def _refusal(path):
    with pytest.raises(BadInput) as caught:
        open_stack(path)
    return str(caught.value)


def test_no_metadata(tmp_path):
    path = tmp_path / "in.zarr"
    path.mkdir()
    (path / "0.0.0").write_bytes(b"1234")
    assert "no usable zarr metadata" in _refusal(path)


def test_broken_metadata(make):
    path = make("zarr")
    (path / "zarr.json").write_text("{]")
    assert "no usable zarr metadata" in _refusal(path)


def test_group_without_image(tmp_path):
    path = tmp_path / "in.zarr"
    zarr.create_group(path)
    assert "without an OME-Zarr image" in _refusal(path)


def test_level_that_is_missing(make):
    path = make("ome-zarr-0.5")
    (path / "full" / "zarr.json").unlink()
    assert "without an OME-Zarr image" in _refusal(path)


def test_axes_that_do_not_fit(make):
    path = make("ome-zarr-0.5")
    group = zarr.open_group(path)
    ome = dict(group.attrs["ome"])
    ome["multiscales"][0]["axes"].pop()
    group.attrs["ome"] = ome
    assert "2 axes for an array of 3" in _refusal(path)


def test_channels_and_single_section(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=np.zeros((2, 5, 40, 40), np.uint8))
    assert "pick one channel" in _refusal(tmp_path / "a.zarr")
    zarr.create_array(tmp_path / "b.zarr", data=np.zeros((40, 40), np.uint8))
    assert "single slice" in _refusal(tmp_path / "b.zarr")
    zarr.create_array(tmp_path / "c.zarr", data=np.zeros((5, 40, 40, 3), np.uint8))
    assert _refusal(tmp_path / "c.zarr")
