"""Covers: napari_ssan.files.open, napari_ssan.files.tiff_calibration,
napari_ssan.files.tiff_integrity
"""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.files import open_image, open_stack, save_stack


@pytest.mark.parametrize("flavour", ["imagej", "ome-tiff", "tiff"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_pixels_and_axes(make, volume, flavour, dtype):
    file = open_stack(make(flavour, dtype))
    assert (file.flavour, file.data.dtype) == (flavour, np.dtype(dtype))
    assert file.axes == ("iyx" if flavour == "tiff" else "zyx")
    np.testing.assert_array_equal(np.asarray(file.data), volume(dtype))


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib", "predictor": 2},
        {"compression": "zlib", "tile": (32, 16)},
        {"rowsperstrip": 7},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"photometric": "miniswhite"},
    ],
)
def test_forms_of_storage(tmp_path, volume, options):
    data = volume("uint16")
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, data, metadata=None, **{"photometric": "minisblack", **options})
    stack = open_stack(path).stack()
    assert stack.dtype.isnative
    for z in range(len(stack)):
        np.testing.assert_array_equal(
            stack.read(z, (slice(3, 40), slice(5, 9))), data[z, 3:40, 5:9]
        )


def test_only_what_is_asked_for_is_read(make, monkeypatch):
    file = open_stack(make("ome-tiff", compression="zlib"))
    decoded = []
    read = tifffile.FileHandle.read_segments

    def spy(handle, offsets, *args, **kwargs):
        decoded.extend(offsets)
        return read(handle, offsets, *args, **kwargs)

    monkeypatch.setattr(tifffile.FileHandle, "read_segments", spy)
    seeks = []
    seek = tifffile.FileHandle.seek
    monkeypatch.setattr(
        tifffile.FileHandle, "seek", lambda h, *a: (seeks.append(a[0]), seek(h, *a))[1]
    )
    file.stack().read(3)
    assert len(set(seeks) | set(decoded)) == 1


def test_imagej_calibration(make):
    calibration = open_stack(make("imagej", metadata={"min": 5.0, "max": 90.0})).calibration
    assert calibration.scale == (40, 4, 4)
    assert calibration.units == ("nanometer",) * 3
    assert calibration.display_range == (5, 90)


@pytest.mark.parametrize(
    ("old", "new", "unit"),
    [
        ('XUnit="nm"', 'XUnit="um"', "micrometer"),
        ('ZUnit="nm"', 'ZUnit="furlong"', "nanometer"),
        ("<Pixels", '<Vendor a="1"/><Pixels', "nanometer"),
        ("<Pixels", "<AcquisitionDate>12.3.2020</AcquisitionDate><Pixels", "nanometer"),
        ('ID="Image:0"', "", "nanometer"),
    ],
)
def test_ome_that_keeps_no_schema_is_read(tmp_path, make, volume, old, new, unit):
    with tifffile.TiffFile(make("ome-tiff")) as tiff:
        xml = tiff.ome_metadata
    assert old in xml
    path = tmp_path / "odd.ome.tif"
    description = xml.replace(old, new).encode()
    tifffile.imwrite(path, volume(), description=description, metadata=None, photometric=1)
    file = open_stack(path)
    assert file.calibration.flavour == "ome-tiff"
    assert file.calibration.units[2] == unit
    np.testing.assert_array_equal(file.stack().read(2), volume()[2])


def test_ome_calibration(make):
    calibration = open_stack(make("ome-tiff")).calibration
    assert calibration.scale == (40, 4, 4)
    assert calibration.units == ("nanometer",) * 3
    assert calibration.name == "cortex"


def test_plain_resolution_is_a_pixel_size_only_where_it_can_be(make):
    assert open_stack(make("tiff")).calibration.scale == (1, 0.004, 0.004)
    printed = make("tiff", resolution=(72, 72), resolutionunit="INCH")
    assert open_stack(printed).calibration.units == (None,) * 3


@pytest.mark.parametrize("axes", ["TYX", "QYX"])
def test_time_counts_as_z_where_there_is_none(tmp_path, volume, axes):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, volume(), metadata={"axes": axes}, photometric="minisblack")
    file = open_stack(path)
    assert file.axes == axes.lower()
    assert len(file.stack()) == 6


def test_hyperstack_with_z_and_singletons(tmp_path, volume):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, volume()[None, :, None], metadata={"axes": "TZCYX"}, photometric=1)
    file = open_stack(path)
    assert (file.axes, file.data.shape, file.stack().shape) == (
        "tzcyx",
        (1, 6, 1, 70, 50),
        (6, 70, 50),
    )


def test_imagej_beyond_4_gb_has_one_page(tmp_path, volume):
    path = tmp_path / "in.tif"
    with tifffile.TiffWriter(path, imagej=True) as tiff:
        tiff.write(volume(), truncate=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 1
    np.testing.assert_array_equal(np.asarray(open_stack(path).data), volume())


def _refusal(path):
    with pytest.raises(BadInput) as caught:
        open_stack(path)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_missing(tmp_path):
    assert "does not exist" in _refusal(tmp_path / "none.tif")


@pytest.mark.parametrize("content", [b"", b"II", b"not an image at all"])
def test_text_renamed(tmp_path, content):
    path = tmp_path / "in.tif"
    path.write_bytes(content)
    assert "not a TIFF" in _refusal(path)


def test_unknown_format(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert "cannot be opened; give a TIFF" in _refusal(path)


@pytest.mark.parametrize(
    "flavour", ["imagej", "ome-tiff", "tiff", "interleaved", "one page", "lzw"]
)
@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.98])
def test_truncated(tmp_path, make, volume, flavour, share, caplog):
    path = tmp_path / "in.tif"
    if flavour == "interleaved":
        with tifffile.TiffWriter(path) as tiff:
            for section in volume():
                tiff.write(section, metadata=None, contiguous=False)
    elif flavour == "one page":
        with tifffile.TiffWriter(path, imagej=True) as tiff:
            tiff.write(volume(), truncate=True, metadata={"axes": "ZYX"})
    elif flavour == "lzw":
        path = make("tiff", compression="lzw")
    else:
        path = make(flavour)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(max(int(size * share), 10))
    assert "truncated" in _refusal(path) or share == 0.001
    assert not caplog.records


def test_ome_that_names_more_sections_than_there_are(tmp_path, make, volume):
    with tifffile.TiffFile(make("ome-tiff")) as tiff:
        description = tiff.ome_metadata.encode()
    path = tmp_path / "short.ome.tif"
    tifffile.imwrite(path, volume()[:4], description=description, metadata=None, photometric=1)
    assert "lacks slices" in _refusal(path)


def test_pyramid_of_an_ome_tiff(tmp_path, volume):
    path = tmp_path / "in.ome.tif"
    with tifffile.TiffWriter(path) as tiff:
        options = {"photometric": "minisblack", "tile": (16, 16), "compression": "zlib"}
        tiff.write(volume(), subifds=1, metadata={"axes": "ZYX"}, **options)
        tiff.write(volume()[:, ::2, ::2].copy(), subfiletype=1, **options)
    np.testing.assert_array_equal(np.asarray(open_stack(path).data), volume())


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0), (1, 1)])
def test_ome_in_several_files(ome_set, volume, numbers):
    paths = ome_set(*numbers)
    file = open_stack(paths[0])
    np.testing.assert_array_equal(np.asarray(file.data), volume())
    assert file.files == tuple(paths)
    paths[1].unlink()
    assert ("lacks slices" if 0 in numbers else "single slice") in _refusal(paths[0])


def test_further_images_are_noted(tmp_path, volume):
    path = tmp_path / "in.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(volume(), photometric="minisblack")
        for width in (20, 30):
            tiff.write(np.zeros((9, width), np.uint8), photometric="minisblack")
    file = open_stack(path)
    assert file.notes == ("in.tif holds 3 images; the first is used.",)
    np.testing.assert_array_equal(np.asarray(file.data), volume())


@pytest.mark.parametrize("flavour", ["imagej", "ome-tiff", "tiff", "ome-zarr-0.5", "folder"])
def test_nothing_to_note(make, flavour):
    path = make(flavour)
    file = open_stack(path)
    assert (file.files, file.notes) == ((path,), ())


def test_rgb(tmp_path):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.zeros((5, 40, 40, 3), np.uint8), photometric="rgb")
    assert "colour" in _refusal(path)


def test_single_section(tmp_path):
    for number, shape in enumerate([(40, 40), (1, 40, 40)]):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, np.zeros(shape, np.uint8))
        assert "single slice" in _refusal(path)


def test_channels(tmp_path):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.zeros((3, 40, 40), np.uint8), imagej=True, metadata={"axes": "CYX"})
    assert "3 channels" in _refusal(path)
    tifffile.imwrite(
        path, np.zeros((5, 2, 40, 40), np.uint8), imagej=True, metadata={"axes": "ZCYX"}
    )
    assert "pick one channel" in _refusal(path)


def test_complex_pixels(tmp_path):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.zeros((5, 40, 40), np.complex64), photometric="minisblack")
    assert "complex64" in _refusal(path)


def test_damage_within_is_told_when_it_is_read(tmp_path, make):
    path = make("tiff", compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[3].dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(60))
    stack = open_stack(path).stack()
    stack.read(2)
    with pytest.raises(BadInput, match="damaged"):
        stack.read(3)


def test_a_mask_may_be_a_single_section(tmp_path):
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, np.ones((70, 50), np.uint8))
    assert open_image(path).data.shape == (70, 50)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("goal", [0, 3, 5])
def test_pages_in_a_circle(tmp_path, volume, bigtiff, goal):
    path = tmp_path / "in.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as file:
        for section in volume():
            file.write(section, contiguous=False, metadata=None)
    with tifffile.TiffFile(path) as tif:
        places = [page.offset for page in tif.pages]
    data = bytearray(path.read_bytes())
    size, number, entry = (8, 8, 20) if bigtiff else (4, 2, 12)
    count = int.from_bytes(data[places[-1] : places[-1] + number], "little")
    end = places[-1] + number + count * entry
    assert data[end : end + size] == bytes(size)
    data[end : end + size] = places[goal].to_bytes(size, "little")
    path.write_bytes(data)
    with pytest.raises(BadInput, match="leads back to an earlier one"):
        open_stack(path)


def test_numbers_that_divide_by_zero_or_lead_out_of_all_files(tmp_path, volume):
    path = tmp_path / "in.tif"
    for tag, value in ((322, 0), (323, 0), (256, 0), (257, 0), (277, 0), (258, 0)):
        tifffile.imwrite(path, volume(), tile=(16, 16), compression="zlib", metadata=None)
        with tifffile.TiffFile(path, mode="r+b") as tif:
            for page in tif.pages:
                page.tags[tag].overwrite(value)
        with pytest.raises(BadInput, match=r"in\.tif|stack is empty"):
            open_stack(path).stack().read(0)
    tifffile.imwrite(path, volume(), bigtiff=True)
    data = bytearray(path.read_bytes())
    data[8:16] = (2**63).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"in\.tif"):
        open_stack(path)


@pytest.mark.parametrize("number", ["9" * 400, "1e400", "nan", "-1"])
def test_numbers_of_imagej_that_make_no_sense(tmp_path, volume, number):
    path = tmp_path / "in.tif"
    text = f"ImageJ=1.54\nimages=6\nslices={number}\nspacing={number}\nmin=0\nmax={number}\n"
    tifffile.imwrite(path, volume(), metadata=None, description=text, photometric="minisblack")
    try:
        assert all(np.isfinite(open_stack(path).calibration.scale))
    except BadInput as error:
        assert "in.tif" in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_pixels_in_a_row_are_read_and_not_mapped(make, volume, options):
    path = make("tiff", "uint16", metadata={"axes": "ZYX"}, description=None, **options)
    data = open_stack(path).data
    whole = volume("uint16")
    maps = Path("/proc/self/maps")
    assert not maps.exists() or "in.tif" not in maps.read_text()
    for index in (
        np.s_[3],
        np.s_[:],
        np.s_[1:4, 5:20, :],
        np.s_[::2, 60:3:-7, 4:40:3],
        np.s_[2, 69, 49],
        np.s_[2, 5:9, 20:23],
        np.s_[-1, :, 3],
    ):
        np.testing.assert_array_equal(data[index], whole[index])
    assert data[3].flags.writeable


def test_a_few_pixels_of_wide_sections_are_read_without_the_rest(tmp_path, monkeypatch):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.ones((2, 300, 20_000), np.uint8), photometric="minisblack")
    data = open_stack(path).data
    read: list[int] = []
    plain = tifffile.FileHandle.read
    monkeypatch.setattr(
        tifffile.FileHandle, "read", lambda self, n=-1: read.append(n) or plain(self, n)
    )
    assert data[1, 50:60, 100:400].all()
    assert sum(read) == 10 * 300


@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 16}, {"compression": "zlib"}])
def test_a_tiff_that_is_cut_off_while_it_is_read(make, volume, options):
    path = make("tiff", **options)
    stack = open_stack(path).stack()
    os.truncate(path, path.stat().st_size // 2)
    np.testing.assert_array_equal(stack.read(1), volume()[1])
    with pytest.raises(BadInput, match=r"in\.tif cannot be read at slice 5"):
        stack.read(5)


@pytest.mark.parametrize("flavour", ["tiff", "ome-tiff"])
@pytest.mark.parametrize("unit", [7, 65535])
def test_a_unit_that_there_is_not_is_left_out_with_a_word(make, tmp_path, flavour, unit):
    path = make(flavour)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tif.pages[0].tags[296].overwrite(unit)
    file = open_stack(path)
    assert file.notes == (f"The resolution of {path.name} has an unknown unit, which is left out.",)
    save_stack(tmp_path / f"out{''.join(path.suffixes)}", RepairedStack(file.stack()), file)


def test_known_units_need_no_word(make):
    for unit in ("NONE", "INCH", "CENTIMETER"):
        assert not open_stack(make("tiff", resolutionunit=unit)).notes
