"""What must not be read is refused before its first pixel is."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import zlib

import h5py
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_ssan.errors import BadInput
from napari_ssan.files import open_image, open_stack
from napari_ssan.files.border import VARIABLE, LeadsOut, check_codecs, check_piece


def _refusal(path, opened=open_stack):
    with pytest.raises(BadInput) as caught:
        opened(path)
    return str(caught.value)


@pytest.mark.parametrize("opened", [open_stack, open_image])
@pytest.mark.parametrize("name", ["in.tif", "in.png", "in.h5", "in.zarr"])
def test_what_may_never_end_is_not_opened(tmp_path, monkeypatch, opened, name):
    path = tmp_path / name
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    os.mkfifo(path)
    timer = threading.Timer(5, lambda: path.open("wb").close())  # lets a reader end
    timer.start()
    assert "is a pipe" in _refusal(path, opened)
    timer.cancel()
    path.unlink()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(name)
    assert "is a socket" in _refusal(path, opened)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "is a device" in _refusal(path, opened)


def test_a_link_to_itself(tmp_path):
    path = tmp_path / "in.tif"
    path.symlink_to("in.tif")
    assert "does not exist" in _refusal(path)


def test_objects_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(numcodecs.Pickle, "decode", lambda *args: ran.append(args))
    path = tmp_path / "in.zarr"
    array = {"zarr_format": 2, "shape": [2, 40, 40], "chunks": [2, 40, 40], "dtype": "|O"}
    array |= {"compressor": None, "fill_value": 0, "order": "C", "filters": [{"id": "pickle"}]}
    path.mkdir()
    (path / ".zarray").write_text(json.dumps(array))
    (path / "0.0.0").write_bytes(numcodecs.Pickle().encode(np.full((2, 40, 40), {}, object)))
    for opened in (open_stack, open_image):
        assert _refusal(path, opened)
    assert not ran


@pytest.mark.parametrize(
    "metadata",
    [
        {"filters": [{"id": "pickle"}], "compressor": None},
        {"filters": None, "compressor": {"id": "json2"}},
        {"codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle"}]},
        {"codecs": [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "x"}]}}]},
        {
            "codecs": [
                {"name": "sharding_indexed", "configuration": {"index_codecs": [{"name": 5}]}}
            ]
        },
    ],
)
def test_foreign_codecs(metadata):
    with pytest.raises(BadInput, match="zarr codec"):
        check_codecs("in.zarr", metadata)


def test_usual_codecs(tmp_path):
    data = np.ones((4, 40, 40), np.uint8)
    old = {"zarr_format": 2, "filters": [numcodecs.Delta("u1")], "compressors": numcodecs.LZ4()}
    sharded = {"shards": (2, 40, 40), "chunks": (1, 40, 40)}
    for number, options in enumerate((old, sharded, {})):
        path = tmp_path / f"{number}.zarr"
        zarr.create_array(path, data=data, **options)
        np.testing.assert_array_equal(open_stack(path).stack().read(1), data[1])


def test_a_store_whose_array_has_a_foreign_codec_is_refused(make, monkeypatch):
    path = make("zarr")
    monkeypatch.setattr("napari_ssan.files.border.CODECS", {"bytes"})
    assert "zarr codec 'zstd'" in _refusal(path)


@pytest.mark.parametrize("dtype", ["S5", "c8", "i1,f4", h5py.string_dtype()])
def test_pixels_that_are_no_numbers(tmp_path, dtype):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file.create_dataset("raw", (2, 40, 40), dtype)
    assert "grey values" in _refusal(tmp_path / "in.h5", open_image)


def test_a_png_that_stands_for_more_than_it_can_hold(tmp_path, monkeypatch):
    path = tmp_path / "in.png"
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    sentence = _refusal(path, open_image)
    assert "1.49 GiB" in sentence
    assert VARIABLE in sentence
    monkeypatch.setenv(VARIABLE, "2")
    assert "may be damaged" in _refusal(path, open_image)  # it was read now


def test_an_hdf5_chunk_that_stands_for_more_than_it_can_hold(tmp_path):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        size = (5, 30_000, 30_000)
        file.create_dataset("raw", size, "u1", chunks=size, compression="gzip")
    assert VARIABLE in _refusal(tmp_path / "in.h5")


def test_a_zarr_chunk_and_a_tiff_strip_that_do(tmp_path):
    zarr.create_array(tmp_path / "in.zarr", shape=(2, 40_000, 40_000), dtype="u1", chunks="auto")
    content = json.loads((tmp_path / "in.zarr/zarr.json").read_text())
    content["chunk_grid"]["configuration"]["chunk_shape"] = [1, 40_000, 40_000]
    (tmp_path / "in.zarr/zarr.json").write_text(json.dumps(content))
    assert VARIABLE in _refusal(tmp_path / "in.zarr")
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, np.ones((2, 40, 40), np.uint8), compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for page in tif.pages:
            for tag in (256, 257, 278):
                page.tags[tag].overwrite(60_000)
    assert VARIABLE in _refusal(path)


def test_what_is_large_and_stored_as_such_is_read():
    check_piece("in.tif", 10 * 2**30, 2**30)
    check_piece("in.tif", 2**29, 1)
    with pytest.raises(BadInput):
        check_piece("in.tif", 2**29 + 1, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".zattrs", "5"),
        (".zattrs", "["),
        (".zarray", ""),
        (".zarray", "[" * 100_000),
        (".zarray", '{"zarr_format": 2}'),
    ],
)
def test_damaged_metadata_of_zarr(make, name, content):
    path = make("zarr", zarr_format=2)
    (path / name).write_text(content)
    assert "in.zarr" in _refusal(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("codecs", []),
        ("codecs", [{"name": "nope"}]),
        ("shape", [10**12] * 3),
        ("shape", [-1, 70, 50]),
        ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [0, 32, 32]}}),
    ],
)
def test_metadata_of_zarr_that_make_no_sense(make, key, value):
    path = make("ome-zarr-0.5")
    content = json.loads((path / "full/zarr.json").read_text()) | {key: value}
    (path / "full/zarr.json").write_text(json.dumps(content))
    assert "in.ome.zarr" in _refusal(path)


def test_a_level_outside_the_store(make):
    path = make("ome-zarr-0.4")
    content = json.loads((path / ".zattrs").read_text())
    content["multiscales"][0]["datasets"][0]["path"] = "../.."
    (path / ".zattrs").write_text(json.dumps(content))
    assert "in.ome.zarr" in _refusal(path)


def test_damage_all_over_an_hdf5_file(tmp_path):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a/raw", data=np.ones((3, 40, 40), np.uint8), chunks=(1, 40, 40))
    whole = path.read_bytes()
    refused = 0
    for start in range(96, 2400, 8):
        path.write_bytes(whole[:start] + b"\xff" * 8 + whole[start + 8 :])
        try:
            np.asarray(open_image(path).data[0])
        except BadInput as error:
            refused += "in.h5" in str(error)
    assert refused > 20


@pytest.mark.parametrize("name", ["s1²2.png", "s٣.png", "s\udcff.png", f"s{'9' * 200}.png"])
def test_odd_names_of_sections(tmp_path, name):
    import imagecodecs

    for one in ("s1.png", name):
        (tmp_path / one).write_bytes(imagecodecs.png_encode(np.ones((40, 40), np.uint8)))
    assert len(open_stack(tmp_path).stack()) == 2


def test_pixels_outside_the_folder(make, ome_set, tmp_path):
    path = make("zarr")
    chunk = path / "c/2/0/0"
    outside = chunk.rename(tmp_path / "outside")
    chunk.symlink_to(outside)
    assert "outside its folder" in _refusal(path)
    chunk.unlink()
    chunk.symlink_to("../../3/0/0")
    assert len(open_stack(path).stack()) == 6


def test_ome_companions_outside_the_folder(ome_set, tmp_path):
    first, _ = ome_set(0, 1)
    with tifffile.TiffFile(first) as tif:
        xml, data = tif.pages[0].description, tif.asarray(key=range(3))
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner/0.ome.tif"
    for name in ("../1.ome.tif", str(tmp_path / "1.ome.tif")):
        said = xml.replace('"1.ome.tif"', f'"{name}"')
        tifffile.imwrite(path, data, description=said, metadata=None, photometric="minisblack")
        assert "outside its folder" in _refusal(path)


def _leads_out(path, opened=open_stack):
    """Check that a file is refused, and opened where it may lead out; returns its stack."""
    with pytest.raises(LeadsOut) as caught:
        opened(path)
    assert "--follow-links" in str(caught.value)
    assert str(caught.value).count(". ") == 0
    return opened(path, follow_links=True)


def test_links_of_a_store_that_lead_out_are_followed_on_demand(make, tmp_path, volume):
    path = make("ome-zarr-0.5")
    (path / "full").rename(tmp_path / "elsewhere")
    (path / "full").symlink_to(tmp_path / "elsewhere")
    file = _leads_out(path)
    np.testing.assert_array_equal(file.stack().read(3), volume()[3])
    assert file.chunks.missing == 0
    with pytest.raises(LeadsOut):
        open_image(path)


def test_metadata_of_a_store_may_not_lie_elsewhere(make, tmp_path):
    path = make("ome-zarr-0.5")
    (path / "zarr.json").rename(tmp_path / "zarr.json")
    (path / "zarr.json").symlink_to(tmp_path / "zarr.json")
    assert len(_leads_out(path).stack()) == 6


def test_links_of_a_store_that_lead_in_a_circle_end(make):
    path = make("zarr")
    for name in ("a", "b"):
        (path / "c" / name).symlink_to("..")
    assert len(open_stack(path).stack()) == 6
    assert open_stack(path, follow_links=True).chunks.missing == 0


def test_images_of_a_folder_that_lie_elsewhere(make, tmp_path, volume):
    path = make("folder")
    (path / "s7.tif").rename(tmp_path / "outside.tif")
    (path / "s7.tif").symlink_to(tmp_path / "outside.tif")
    file = _leads_out(path)
    np.testing.assert_array_equal(file.stack().read(2), volume()[2])


@pytest.mark.parametrize("flavour", ["tiff", "zarr", "folder", "ome-zarr-0.4"])
def test_an_input_may_be_a_link_itself(make, tmp_path, volume, flavour):
    path = make(flavour)
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / path.name
    link.symlink_to(path)
    np.testing.assert_array_equal(open_stack(link).stack().read(3), volume()[3])


def test_a_companion_that_lies_elsewhere_is_read_on_demand(ome_set, tmp_path, volume):
    first, second = ome_set(0, 1)
    (tmp_path / "out").mkdir()
    second.rename(tmp_path / "out/1.ome.tif")
    second.symlink_to(tmp_path / "out/1.ome.tif")
    (tmp_path / "in").mkdir()
    for path in (first, second):
        path.rename(tmp_path / "in" / path.name)
    file = _leads_out(tmp_path / "in" / first.name)
    np.testing.assert_array_equal(file.stack().read(5), volume()[5])


def test_a_companion_that_may_never_end_is_not_opened(ome_set):
    first, second = ome_set(0, 1)
    second.unlink()
    os.mkfifo(second)
    assert "is a pipe" in _refusal(first)


@pytest.mark.parametrize("opened", [open_stack, open_image])
def test_an_external_link_of_an_hdf5_file(tmp_path, volume, opened):
    inner = tmp_path / "in"
    inner.mkdir()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a/raw"] = volume()
        file["soft"] = h5py.SoftLink("/a/raw")
    for name in ("/a/raw", "/soft"):
        with h5py.File(inner / "in.h5", "w") as file:
            file["volumes/raw"] = h5py.ExternalLink("../other.h5", name)
            file["volumes/labels"] = np.zeros((2, 3, 4), np.uint8)
        file = _leads_out(inner / "in.h5", opened)
        np.testing.assert_array_equal(file.data[2], volume()[2])
        assert len(file.files) == 2
        file.data.close()
    with h5py.File(inner / "in.h5", "w") as file:
        file["volumes/raw"] = h5py.ExternalLink("nowhere.h5", "/raw")
    assert "'nowhere.h5', which is missing" in _refusal(inner / "in.h5", opened)


def test_external_storage_is_looked_for_beside_the_file(tmp_path, monkeypatch, volume):
    """HDF5 itself would take what lies where the program was started."""
    inner = tmp_path / "in"
    inner.mkdir()
    with h5py.File(inner / "in.h5", "w") as file:
        file.create_dataset("raw", volume().shape, "u1", external=[("raw.bin", 0, 21_000)])
    (inner / "raw.bin").write_bytes(volume().tobytes())
    (tmp_path / "raw.bin").write_bytes(bytes(21_000))
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(open_stack("in/in.h5").stack().read(2), volume()[2])
    (inner / "raw.bin").write_bytes(bytes(100))
    assert "too short" in _refusal(inner / "in.h5")


def test_external_storage_that_lies_elsewhere(tmp_path, volume):
    inner = tmp_path / "in"
    inner.mkdir()
    (tmp_path / "raw.bin").write_bytes(volume().tobytes())
    with h5py.File(inner / "in.h5", "w") as file:
        file.create_dataset("raw", volume().shape, "u1", external=[("../raw.bin", 0, 21_000)])
    np.testing.assert_array_equal(_leads_out(inner / "in.h5").stack().read(2), volume()[2])


def test_a_source_whose_own_pixels_lie_elsewhere(tmp_path, volume):
    inner = tmp_path / "in"
    inner.mkdir()
    with h5py.File(tmp_path / "far.h5", "w") as file:
        file["raw"] = volume()
    with h5py.File(inner / "part.h5", "w") as file:
        file["link"] = h5py.ExternalLink("../far.h5", "/raw")
        file.create_dataset("stored", volume().shape, "u1", external=[("/etc/passwd", 0, 21_000)])
        file["whole"] = volume()
    for name in ("link", "stored", "whole"):
        layout = h5py.VirtualLayout(volume().shape, "u1")
        layout[:] = h5py.VirtualSource("part.h5", name, volume().shape)
        with h5py.File(inner / "in.h5", "w") as file:
            file.create_virtual_dataset("raw", layout)
        if name == "link":
            np.testing.assert_array_equal(_leads_out(inner / "in.h5").data[2], volume()[2])
        elif name == "stored":
            assert "in other files" in _refusal(inner / "in.h5")
        else:
            np.testing.assert_array_equal(open_stack(inner / "in.h5").data[2], volume()[2])


def test_links_of_a_store_of_many_files_are_checked_when_they_are_read(
    make, tmp_path, volume, monkeypatch
):
    for module in ("completeness", "open_zarr"):
        monkeypatch.setattr(f"napari_ssan.files.{module}.MANY", 3)
    path = make("zarr")
    chunk = path / "c" / "4" / "0" / "0"
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    stack = open_stack(path).stack()
    np.testing.assert_array_equal(stack.read(3), volume()[3])
    with pytest.raises(BadInput, match="outside its folder"):
        stack.read(4)
    np.testing.assert_array_equal(open_stack(path, follow_links=True).stack().read(4), volume()[4])
