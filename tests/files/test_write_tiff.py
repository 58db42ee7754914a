"""Covers: napari_ssan.files.calibration"""

from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from napari_ssan.errors import BadInput
from napari_ssan.files import Calibration, open_stack, save_stack, write_tiff
from napari_ssan.files.calibration import TiffTraits

INFO = "from the microscope"


def _save(path, source, repair, **options):
    file = open_stack(source)
    repaired = repair(file.stack(), inserted=options.pop("inserted", False))
    save_stack(path, repaired, file, **options)
    return file, np.asarray(repaired)


@pytest.mark.parametrize("flavour", ["imagej", "ome-tiff", "tiff"])
@pytest.mark.parametrize("inserted", [False, True])
def test_flavour_pages_and_voxel_size_stay(tmp_path, make, repair, flavour, inserted):
    source, path = make(flavour), tmp_path / "out.tif"
    file, expected = _save(path, source, repair, inserted=inserted)
    again = open_stack(path)
    assert (again.flavour, again.axes) == (flavour, file.axes)
    assert again.calibration.scale == file.calibration.scale
    assert again.calibration.units == file.calibration.units
    np.testing.assert_array_equal(np.asarray(again.data), expected)
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(path) as after:
        assert len(after.pages) == len(before.pages) + inserted
        assert len(after.series) == 1
        for tag in ("XResolution", "YResolution", "ResolutionUnit"):
            assert after.pages[0].tags[tag].value == before.pages[0].tags[tag].value


@pytest.mark.parametrize("axes", ["TZCYX", "ZYX", "TYX"])
def test_imagej_stays_imagej(tmp_path, volume, repair, axes):
    source, path = tmp_path / "in.tif", tmp_path / "out.tif"
    data = volume("uint16")
    metadata = {"axes": axes, "unit": "micron", "spacing": 0.04, "min": 3.0, "max": 80.0}
    metadata |= {"Info": INFO, "Labels": [f"s{z}" for z in range(6)]}
    shape = (1, 6, 1, 70, 50) if axes == "TZCYX" else data.shape
    tifffile.imwrite(source, data.reshape(shape), imagej=True, metadata=metadata)
    _save(path, source, repair, inserted=True)
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(path) as after:
        old, new = before.imagej_metadata, after.imagej_metadata
        assert after.series[0].axes == before.series[0].axes
    count = "frames" if axes == "TYX" else "slices"
    assert (new["images"], new[count]) == (7, 7)
    for key in ("unit", "spacing", "min", "max", "hyperstack"):
        assert new[key] == old[key]
    assert new["Info"].startswith(f"{INFO}\nnapari_ssan=")
    assert new["Labels"] == ["s0", "s1", "s2", "s3", "inserted, synthetic", "s4", "s5"]


def test_imagej_says_where_it_comes_from_once(tmp_path, make, repair):
    _save(tmp_path / "a.tif", make("imagej"), repair)
    _save(tmp_path / "b.tif", tmp_path / "a.tif", repair)
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.imagej_metadata["Info"].count("napari_ssan=") == 1


def test_imagej_says_the_voxel_size_of_what_was_no_imagej(tmp_path, volume):
    path = tmp_path / "a.tif"
    calibration = Calibration.of("zyx", (40, 4, 4), "nm", z_axis=0, flavour="imagej")
    save_stack(path, volume(), calibration)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.imagej_metadata["unit"] == "nm"
    assert open_stack(path).calibration.scale == (40, 4, 4)
    assert open_stack(path).calibration.units == ("nanometer",) * 3


def test_imagej_colour_table_and_inverted_grey(tmp_path, volume, repair):
    table = np.repeat(np.arange(256, dtype=np.uint16)[None, ::-1], 3, 0) * 257
    for name, options in {"lut": {"colormap": table}, "white": {"photometric": 0}}.items():
        source, path = tmp_path / f"{name}.tif", tmp_path / f"{name} out.tif"
        tifffile.imwrite(source, volume(), imagej=True, metadata={"axes": "ZYX"}, **options)
        _, expected = _save(path, source, repair)
        with tifffile.TiffFile(source) as before, tifffile.TiffFile(path) as after:
            assert after.pages[0].photometric == before.pages[0].photometric
            np.testing.assert_array_equal(after.pages[0].colormap, before.pages[0].colormap)
            np.testing.assert_array_equal(after.asarray(), expected)


def test_ome_keeps_what_it_says_of_the_image(tmp_path, make, repair):
    path = tmp_path / "out.ome.tif"
    _save(path, make("ome-tiff"), repair, inserted=True)
    with tifffile.TiffFile(path) as tiff:
        root = ElementTree.fromstring(tiff.ome_metadata)
    space = {"o": root.tag[1:].partition("}")[0]}
    pixels = root.find("o:Image/o:Pixels", space).attrib
    assert (pixels["SizeZ"], pixels["SizeC"], pixels["SizeT"]) == ("7", "1", "1")
    assert (pixels["PhysicalSizeZ"], pixels["PhysicalSizeZUnit"]) == ("40.0", "nm")
    assert root.find("o:Image", space).attrib["Name"] == "cortex"
    assert root.find("o:Image/o:Pixels/o:Channel", space).attrib["Name"] == "SEM"
    note = root.find("o:StructuredAnnotations/o:MapAnnotation", space)
    assert note.attrib["Namespace"] == "napari-ssan/provenance"
    assert "synthetic or corrected" in note.find("o:Description", space).text
    reference = root.find("o:Image/o:AnnotationRef", space)
    assert reference.attrib["ID"] == note.attrib["ID"]


def _pixels(path):
    with tifffile.TiffFile(path) as tiff:
        root = ElementTree.fromstring(tiff.ome_metadata)
    return next(e for e in root.iter() if e.tag.endswith("Pixels")).attrib


def test_sections_along_time_are_along_z_in_ome(tmp_path, volume, repair):
    source, path = tmp_path / "in.tif", tmp_path / "out.ome.tif"
    metadata = {"axes": "TYX", "unit": "micron", "spacing": 0.05, "finterval": 2.0}
    tifffile.imwrite(source, volume(), imagej=True, metadata=metadata, resolution=(250, 250))
    _save(path, source, repair, inserted=True)
    pixels = _pixels(path)
    assert (pixels["SizeZ"], pixels["SizeT"]) == ("7", "1")
    assert (pixels["PhysicalSizeZ"], pixels["PhysicalSizeZUnit"]) == ("0.05", "µm")
    assert "TimeIncrement" not in pixels


def test_ome_keeps_its_sections_along_time(tmp_path, volume, repair):
    source, path = tmp_path / "in.ome.tif", tmp_path / "out.tif"
    metadata = {"axes": "TYX", "PhysicalSizeZ": 50.0, "PhysicalSizeZUnit": "nm"}
    metadata |= {"TimeIncrement": 1.5, "TimeIncrementUnit": "s"}
    tifffile.imwrite(source, volume(), metadata=metadata)
    file, _ = _save(path, source, repair)
    again = open_stack(path)
    assert file.axes == again.axes == "tyx"
    assert file.calibration.along("t") == again.calibration.along("t") == (50, "nanometer")
    for key in ("SizeZ", "SizeT", *metadata.keys() - {"axes"}):
        assert _pixels(path)[key] == _pixels(source)[key]


def test_ome_annotations_of_others_stay(tmp_path, make, repair):
    source = tmp_path / "in.ome.tif"
    note = {"Namespace": "lab", "Value": {"operator": "Ann & Bob"}}
    tifffile.imwrite(
        source, np.zeros((6, 70, 50), np.uint8), metadata={"axes": "ZYX", "MapAnnotation": note}
    )
    for number in range(2):
        path = tmp_path / f"{number}.ome.tif"
        _save(path, source, repair)
        with tifffile.TiffFile(path) as tiff:
            assert tiff.ome_metadata.count("Ann &amp; Bob") == 1
            assert tiff.ome_metadata.count("napari-ssan/provenance") == 1
        source = path


def test_plain_keeps_its_words(tmp_path, make, repair):
    path = tmp_path / "out.tif"
    _save(path, make("tiff"), repair)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].description == "my words"
        assert len(tiff.pages[0].tags.getall(270)) == 1


def test_plain_keeps_letters_that_are_not_ascii(tmp_path, make, repair):
    path, words = tmp_path / "out.tif", "pixel 4 nm, 0.04 µm apart, 脳"
    _save(path, make("tiff", description=words.encode()), repair)
    assert open_stack(path).calibration.tiff.description == words
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].description == words


def test_plain_keeps_its_words_and_its_voxel_size(tmp_path, make, repair):
    path = tmp_path / "out.tif"
    options = {"resolution": (0.25, 0.25), "resolutionunit": "NONE"}
    metadata = {"axes": "ZYX", "spacing": 40.0, "unit": "nm"}
    file, _ = _save(path, make("tiff", metadata=metadata, **options), repair)
    again = open_stack(path)
    assert again.calibration.scale == file.calibration.scale == (40, 4, 4)
    assert again.calibration.units == file.calibration.units
    assert again.calibration.tiff.description == "my words"


def test_imagej_does_without_letters_that_it_has_not(tmp_path, volume):
    path = tmp_path / "out.tif"
    traits = TiffTraits(metadata={"title": "0.04 µm, 脳", "Info": "0.04 µm, 脳"})
    calibration = Calibration.of("zyx", z_axis=0, flavour="imagej", tiff=traits)
    save_stack(path, volume(), calibration)
    metadata = open_stack(path).calibration.tiff.metadata
    assert metadata["title"] == "0.04 um, ?"
    assert metadata["Info"] == "0.04 µm, 脳"


def test_plain_says_voxel_size_of_other_flavours(tmp_path, make, repair):
    path = tmp_path / "out.tif"
    _save(path, make("ome-zarr-0.5"), repair)
    calibration = open_stack(path).calibration
    assert calibration.scale == (40, 4, 4)
    assert calibration.units == ("nanometer",) * 3
    assert calibration.translate == (80, 8, 12)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].resolution == (2.5e6, 2.5e6)
        assert tiff.pages[0].resolutionunit == tifffile.RESUNIT.CENTIMETER


@pytest.mark.parametrize(
    "options", [{"compression": "zlib", "predictor": 2}, {"compression": "lzw"}]
)
def test_lossless_compression_stays(tmp_path, make, repair, options):
    source, path = make("tiff", "uint16", **options), tmp_path / "out.tif"
    _, expected = _save(path, source, repair)
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(path) as after:
        assert after.pages[0].compression == before.pages[0].compression
        assert after.pages[0].predictor == before.pages[0].predictor
        np.testing.assert_array_equal(after.asarray(), expected)


@pytest.mark.parametrize(("dtype", "predictor"), [("float32", 2), ("int32", 3)])
@pytest.mark.parametrize("name", ["out.tif", "out.ome.tif"])
def test_predictors_that_do_not_fit_the_pixels_go(tmp_path, volume, name, dtype, predictor):
    path = tmp_path / name
    traits = TiffTraits(compression=8, predictor=predictor)
    save_stack(path, volume(dtype), Calibration.of("zyx", z_axis=0, flavour="tiff", tiff=traits))
    with tifffile.TiffFile(path) as tiff:
        assert (tiff.pages[0].compression, tiff.pages[0].predictor) == (8, 1)
        np.testing.assert_array_equal(tiff.asarray(), volume(dtype))


def test_integer_predictor_of_float_pixels(tmp_path, volume, repair):
    source, path = tmp_path / "in.tif", tmp_path / "out.tif"
    options = {"compression": "zlib", "predictor": 2, "metadata": None}
    tifffile.imwrite(source, volume("float32").view("int32"), **options)
    with tifffile.TiffFile(source, mode="r+b") as tiff:
        for page in tiff.pages:
            page.tags["SampleFormat"].overwrite(3)
    _, expected = _save(path, source, repair)
    np.testing.assert_array_equal(tifffile.imread(path), expected)


def test_predictor_of_float_pixels_stays(tmp_path, make, repair):
    path = tmp_path / "out.tif"
    _save(path, make("tiff", "float32", compression="zlib", predictor=3), repair)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages[0].predictor == 3


@pytest.mark.parametrize("flavour", ["ome-tiff", "tiff"])
def test_bigtiff(tmp_path, make, repair, monkeypatch, flavour):
    source = make(flavour)
    _, expected = _save(tmp_path / "a.tif", source, repair)
    _save(tmp_path / "b.tif", source, repair, bigtiff=True)
    monkeypatch.setattr(write_tiff, "LARGEST_CLASSIC", 1000)
    _save(tmp_path / "c.tif", source, repair)
    _save(tmp_path / "d.tif", make(flavour, bigtiff=True), repair)
    for name, big in zip("abcd", (False, True, True, True), strict=True):
        with tifffile.TiffFile(tmp_path / f"{name}.tif") as tiff:
            assert tiff.is_bigtiff == big
            np.testing.assert_array_equal(tiff.asarray(), expected)


def test_imagej_beyond_4_gb(tmp_path, make, repair, monkeypatch):
    monkeypatch.setattr(write_tiff, "LARGEST_CLASSIC", 1000)
    path = tmp_path / "out.tif"
    _, expected = _save(path, make("imagej"), repair)
    with tifffile.TiffFile(path) as tiff:
        assert (tiff.is_bigtiff, len(tiff.pages), tiff.is_imagej) == (False, 1, True)
    np.testing.assert_array_equal(np.asarray(open_stack(path).data), expected)
    assert open_stack(path).provenance is not None


def test_sections_larger_than_a_band_go_in_strips(tmp_path, make, repair, monkeypatch):
    monkeypatch.setattr(write_tiff, "BAND_PIXELS", 400)
    for flavour in ("imagej", "ome-tiff", "tiff"):
        path = tmp_path / "out.tif"
        _, expected = _save(path, make(flavour, "uint16"), repair, overwrite=True)
        with tifffile.TiffFile(path) as tiff:
            assert tiff.pages[0].rowsperstrip == 8
            np.testing.assert_array_equal(tiff.asarray(), expected)


def test_pixels_that_a_flavour_has_not(tmp_path, volume):
    for dtype, flavour in (("float64", "ome-tiff"), ("int16", "imagej"), ("float16", "tiff")):
        path = tmp_path / f"{dtype}.tif"
        save_stack(path, volume(dtype), Calibration.of("zyx", flavour="imagej", z_axis=0))
        assert open_stack(path).flavour == flavour
        np.testing.assert_array_equal(np.asarray(open_stack(path).data), volume(dtype))


def test_axes_that_ome_has_not(tmp_path, volume):
    with pytest.raises(BadInput, match="cannot hold the axes"):
        save_stack(tmp_path / "a.ome.tif", volume(), Calibration.of("yxz", z_axis=2))
    save_stack(tmp_path / "a.tif", volume(), Calibration.of("yxz", z_axis=2))
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    assert open_stack(tmp_path / "a.tif").axes == "yxz"
