"""Covers: napari_ssan.files.layer_calibration, napari_ssan.plugin.readers"""

import numpy as np
import pytest
import tifffile

from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repaired import Patch, RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.files import open_stack, read_provenance
from napari_ssan.plugin.readers import get_reader
from napari_ssan.plugin.writers import write
from napari_ssan.stack.sections import SliceStack

SCALE = (40.0, 4.0, 4.0)
ENDINGS = [".tif", ".ome.tif", ".ome.zarr", ".zarr"]


@pytest.fixture
def repaired() -> RepairedStack:
    data = np.random.default_rng(0).integers(0, 4000, (6, 600, 50)).astype(np.uint16)
    stack = RepairedStack(SliceStack(data))
    record = SyntheticSection(
        section=2, kind="whole", share=1, neighbours=(1, 3), position=0.5, method="average"
    )
    stack.add(Patch((2, 0), 0, 0, data[1], None, record))
    return stack


@pytest.fixture
def layer(repaired):
    layers = pytest.importorskip("napari.layers")
    return layers.Image(
        repaired,
        name="cortex [repaired]",
        scale=SCALE,
        units=("nm",) * 3,
        axis_labels="zyx",
        contrast_limits=(0, 4000),
        multiscale=False,
    )


def _read(path):
    layer_data, *synthetic = get_reader(str(path))(str(path))
    assert len(synthetic) == bool(layer_data[1]["metadata"]["napari_ssan"]["provenance"])
    return layer_data


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_saved_layer_comes_back_the_same(tmp_path, layer, repaired, ending):
    from napari.layers import Image

    path = tmp_path / f"out{ending}"
    data, meta, _ = layer.as_layer_data_tuple()
    assert write(str(path), data, meta) == [str(path)]
    data, meta, kind = _read(path)
    assert kind == "image"
    again = Image(data, **meta)
    np.testing.assert_array_equal(again.scale, layer.scale)
    assert again.units == layer.units
    assert again.axis_labels == layer.axis_labels
    assert again.multiscale == ending.endswith("zarr")
    full = again.data[0] if again.multiscale else again.data
    np.testing.assert_array_equal(np.asarray(full), np.asarray(repaired))
    assert read_provenance(path) == repaired.provenance
    note = again.metadata["napari_ssan"]
    assert note["path"] == str(path)
    assert note["provenance"]["sections"][0]["section"] == 2


@pytest.mark.parametrize("ending", ENDINGS)
def test_saved_again_it_keeps_its_provenance(tmp_path, layer, ending):
    from napari.layers import Image

    first, second = tmp_path / f"first{ending}", tmp_path / f"second{ending}"
    write(str(first), *layer.as_layer_data_tuple()[:2])
    data, meta, _ = _read(first)
    write(str(second), *Image(data, **meta).as_layer_data_tuple()[:2])
    assert read_provenance(second) == read_provenance(first)
    with pytest.raises(BadInput, match="is the input itself"):
        write(str(first), *Image(data, **meta).as_layer_data_tuple()[:2])


def test_napari_reads_the_pixels_with_its_own_reader(tmp_path, layer, repaired):
    builtin = pytest.importorskip("napari_builtins.io._read")
    for ending in ENDINGS:
        path = tmp_path / f"out{ending}"
        write(str(path), *layer.as_layer_data_tuple()[:2])
        image = builtin.magic_imread([str(path)])
        image = image[0] if isinstance(image, list) else image
        np.testing.assert_array_equal(np.asarray(image), np.asarray(repaired))


def test_napari_ome_zarr_reads_the_scale(tmp_path, layer, repaired):
    plugin = pytest.importorskip("napari_ome_zarr")
    path = str(tmp_path / "out.ome.zarr")
    write(path, *layer.as_layer_data_tuple()[:2])
    ((data, meta, _),) = plugin.napari_get_reader(path)(path)
    assert tuple(meta["scale"]) == SCALE
    assert meta["units"] == ("nanometer",) * 3
    np.testing.assert_array_equal(np.asarray(data[0]), np.asarray(repaired))


def test_unlabelled_axes_and_pyramids(tmp_path):
    data = np.random.default_rng(0).integers(0, 99, (1, 5, 40, 30)).astype(np.uint8)
    meta = {"axis_labels": ("-4", "-3", "-2", "-1"), "scale": (1, 2, 3, 4), "multiscale": True}
    write(str(tmp_path / "out.zarr"), [data, data[..., ::2, ::2]], meta)
    file = open_stack(tmp_path / "out.zarr")
    assert (file.axes, file.calibration.scale) == ("tzyx", (1, 2, 3, 4))
    np.testing.assert_array_equal(np.asarray(file.data), data)


def test_z_of_a_repaired_stack_is_known(tmp_path):
    data = np.random.default_rng(0).integers(0, 99, (40, 30, 5)).astype(np.uint8)
    write(str(tmp_path / "out.zarr"), RepairedStack(SliceStack(data, 2)), {})
    file = open_stack(tmp_path / "out.zarr")
    assert (file.axes, len(file.stack())) == ("yxz", 5)


def test_what_is_no_stack_is_saved_where_it_can_be(tmp_path):
    write(str(tmp_path / "a.tif"), np.ones((40, 30), np.uint8), {})
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), 1)
    write(str(tmp_path / "b.ome.tif"), np.ones((2, 5, 40, 30), np.uint8), {})
    assert tifffile.imread(tmp_path / "b.ome.tif").shape == (2, 5, 40, 30)
    with pytest.raises(BadInput, match="colour"):
        write(str(tmp_path / "c.tif"), np.ones((40, 30, 3), np.uint8), {"rgb": True})


def test_the_reader_leaves_to_others_what_it_cannot_read(tmp_path):
    tifffile.imwrite(tmp_path / "2d.tif", np.zeros((40, 30), np.uint8))
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((5, 40, 30, 3), np.uint8), photometric="rgb")
    (tmp_path / "text.tif").write_text("hello")
    (tmp_path / "empty.zarr").mkdir()
    for name in ("2d.tif", "rgb.tif", "text.tif", "empty.zarr", "none.tif", "a.png"):
        assert get_reader(str(tmp_path / name)) is None
    assert get_reader([str(tmp_path / "2d.tif")] * 2) is None


def test_hdf5_is_read_at_its_voxel_size(tmp_path):
    h5py = pytest.importorskip("h5py")
    data = np.random.default_rng(0).integers(0, 99, (5, 40, 30)).astype(np.uint8)
    with h5py.File(tmp_path / "sample.hdf", "w") as file:
        file["volumes/raw"] = data
        file["volumes/raw"].attrs["resolution"] = (40.0, 4.0, 4.0)
    read, meta, kind = _read(tmp_path / "sample.hdf")
    np.testing.assert_array_equal(np.asarray(read), data)
    assert (tuple(meta["scale"]), kind) == ((40, 4, 4), "image")


def test_contrast_limits_of_the_odd(tmp_path):
    constant = np.full((5, 40, 30), 3, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", constant, photometric="minisblack")
    assert _read(tmp_path / "a.tif")[1]["contrast_limits"] == (0, 255)
    lost = np.full((5, 40, 30), np.nan, np.float32)
    lost[2, 3, 4:6] = 1, 2
    tifffile.imwrite(tmp_path / "b.tif", lost, photometric="minisblack")
    assert _read(tmp_path / "b.tif")[1]["contrast_limits"] == pytest.approx((1, 2), abs=0.01)


@pytest.mark.parametrize("blank", [{10}, {5, 10, 15}, set(range(0, 20, 2))])
def test_contrast_limits_are_those_of_sections_that_are_not_blank(tmp_path, blank):
    volume = np.random.default_rng(0).integers(60, 180, (20, 64, 64)).astype(np.uint8)
    volume[list(blank)] = 0
    volume[3, 5, 5] = 255  # a speck
    tifffile.imwrite(tmp_path / "a.tif", volume, photometric="minisblack")
    low, high = _read(tmp_path / "a.tif")[1]["contrast_limits"]
    assert 55 <= low <= 65
    assert 175 <= high <= 185


def test_neither_reader_nor_writer_loads_napari_or_qt():
    import subprocess
    import sys

    code = (
        "import sys, napari_ssan.plugin.readers, napari_ssan.plugin.writers, napari_ssan.files;"
        "print([m for m in ('napari', 'qtpy', 'PyQt6', 'torch') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_layer_is_saved_as_its_file_was_stored(tmp_path):
    from napari.layers import Image

    path = tmp_path / "in.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (6, 40, 50)).astype(np.uint8)
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        compression="zlib",
        resolution=(250, 250),
        metadata={"axes": "ZYX", "spacing": 0.04, "unit": "um", "Info": "grid 7, knife 2"},
    )
    data, meta, _ = _read(path)
    stack = RepairedStack(SliceStack(data))
    record = SyntheticSection(
        section=2, kind="whole", share=1, neighbours=(1, 3), position=0.5, method="average"
    )
    stack.add(Patch((2, 0), 0, 0, pixels[1], None, record))
    layer = Image(stack, **meta)
    whole, moved = tmp_path / "whole.tif", tmp_path / "moved.tif"
    write(str(whole), *layer.as_layer_data_tuple()[:2])
    layer.scale = [1, 2, 2]
    write(str(moved), *layer.as_layer_data_tuple()[:2])
    with tifffile.TiffFile(whole) as tiff:
        assert tiff.is_imagej
        assert "grid 7" in tiff.imagej_metadata["Info"]
        assert tiff.imagej_metadata["spacing"] == 0.04
        assert tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        np.testing.assert_array_equal(tiff.asarray()[2], pixels[1])
    assert open_stack(whole).calibration.scale == open_stack(path).calibration.scale
    assert read_provenance(whole) == stack.provenance
    np.testing.assert_allclose(open_stack(moved).calibration.scale, (1, 2, 2))
    path.unlink()
    write(str(tmp_path / "later.tif"), *Image(stack, **meta).as_layer_data_tuple()[:2])
    np.testing.assert_allclose(open_stack(tmp_path / "later.tif").calibration.scale, meta["scale"])


def test_what_takes_pixels_from_elsewhere_is_left_to_nobody(tmp_path):
    path = tmp_path / "in.zarr"
    write(str(path), np.ones((5, 40, 30), np.uint8), {})
    (tmp_path / "link").mkdir()
    (path / "link").symlink_to(tmp_path / "link")
    with pytest.raises(BadInput, match="outside its folder"):
        _read(path)


def test_missing_chunks_are_told_when_a_stack_is_opened(tmp_path):
    zarr = pytest.importorskip("zarr")
    notifications = pytest.importorskip("napari.utils.notifications")
    from napari_ssan.widgets.shared.layers import Image, stack_of

    data = np.random.default_rng(0).integers(1, 99, (1, 5, 40, 30)).astype(np.uint8)
    write(str(tmp_path / "a.ome.zarr"), data, {"axis_labels": "tzyx"})
    zarr.create_array(tmp_path / "b.zarr", data=data[0], chunks=(1, 40, 30))
    for name in ("a.ome.zarr", "b.zarr"):
        levels = sorted((tmp_path / name).rglob("c")) or [tmp_path / name / "c"]
        whole = sorted(p for p in levels[0].rglob("*") if p.is_file())
        whole[3].unlink()
        said = []
        notifications.notification_manager.notification_ready.connect(said.append)
        layer_data, meta, _ = _read(tmp_path / name)
        notifications.notification_manager.notification_ready.disconnect(said.append)
        assert any("lacks 1 of its" in str(note.message) for note in said)
        assert stack_of(Image(layer_data, **meta)).incomplete
