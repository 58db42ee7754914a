import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_ssan.errors import BadInput
from napari_ssan.files import open_image, open_stack


def test_natural_order(make, volume):
    path = make("folder", "uint16")
    (path / "notes.txt").write_text("not a section")
    (path / ".hidden.tif").write_text("neither")
    file = open_stack(path)
    assert (file.flavour, file.axes) == ("folder", "zyx")
    np.testing.assert_array_equal(np.asarray(file.data), volume("uint16"))
    np.testing.assert_array_equal(file.data[1:5:2, 3, ::2], volume("uint16")[1:5:2, 3, ::2])
    np.testing.assert_array_equal(file.data[..., 4], volume("uint16")[..., 4])
    assert file.data[4:4].shape == (0, 70, 50)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png(tmp_path, volume, dtype):
    for z, section in enumerate(volume(dtype)):
        (tmp_path / f"{z:03}.png").write_bytes(imagecodecs.png_encode(section))
    np.testing.assert_array_equal(np.asarray(open_stack(tmp_path).data), volume(dtype))
    assert open_image(tmp_path / "000.png").data.shape == (70, 50)


def test_pixel_size_of_the_first(tmp_path, volume):
    for z, section in enumerate(volume()):
        tifffile.imwrite(
            tmp_path / f"{z}.tif", section, resolution=(2.5e6, 2.5e6), resolutionunit="CENTIMETER"
        )
    calibration = open_stack(tmp_path).calibration
    assert calibration.scale == (1, 0.004, 0.004)
    assert calibration.units == (None, "micrometer", "micrometer")


def test_the_file_that_cannot_be_read_is_named(tmp_path, volume):
    for z, section in enumerate(volume()):
        (tmp_path / f"s{z}.png").write_bytes(imagecodecs.png_encode(section))
    whole = (tmp_path / "s2.png").read_bytes()
    (tmp_path / "s2.png").write_bytes(whole[:200] + bytes(40) + whole[240:])
    data = open_stack(tmp_path).data
    np.testing.assert_array_equal(data[3], volume()[3])
    with pytest.raises(BadInput, match=r"^s2\.png cannot be read"):
        data[:4]
    (tmp_path / "s5.png").unlink()
    with pytest.raises(BadInput, match=r"^s5\.png cannot be read"):
        data[5]
    with pytest.raises(BadInput, match=r"^s2\.png cannot be read"):
        open_image(tmp_path / "s2.png")


def _refusal(path):
    with pytest.raises(BadInput) as caught:
        open_stack(path)
    return str(caught.value)


def test_no_images(tmp_path):
    assert "holds no TIFF or PNG" in _refusal(tmp_path)


def test_unlike_images(make):
    path = make("folder")
    tifffile.imwrite(path / "s7.tif", np.zeros((70, 51), np.uint8))
    assert "s7.tif is 70 by 51 uint8" in _refusal(path)
    tifffile.imwrite(path / "s7.tif", np.zeros((70, 50), np.uint16))
    assert "s7.tif is 70 by 50 uint16" in _refusal(path)


def test_one_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((70, 50), np.uint8))
    assert "single slice" in _refusal(tmp_path)


def test_colour_and_stacks_and_damage(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 70, 50), np.uint8), photometric="minisblack")
    assert "several images" in _refusal(tmp_path)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((70, 50, 3), np.uint8), photometric="rgb")
    assert "colour" in _refusal(tmp_path)
    (tmp_path / "a.tif").unlink()
    png = tmp_path / "a.png"
    png.write_bytes(imagecodecs.png_encode(np.zeros((70, 50, 3), np.uint8)))
    assert "colour" in _refusal(tmp_path)
    png.write_bytes(imagecodecs.png_encode(np.zeros((70, 50), np.uint8))[:-20])
    assert "truncated" in _refusal(tmp_path)
    png.write_text("hello")
    assert "not a PNG" in _refusal(tmp_path)
