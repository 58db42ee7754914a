"""Covers: napari_ssan.files.open_mrc, napari_ssan.files.in_a_row"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.files import open_stack, save_stack
from napari_ssan.files.open_mrc import FLAGS, IMOD, STAMP

mrcfile = pytest.importorskip("mrcfile")


def write(path: Path, data: np.ndarray, voxel: object = (4.0, 4.0, 40.0)) -> Path:
    with mrcfile.new(path) as file:
        file.set_data(data)
        file.voxel_size = voxel
    return path


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
def test_pixels_and_voxel_size(tmp_path, volume, dtype):
    data = volume("int16").astype(dtype) if dtype != "uint16" else volume("uint16")
    file = open_stack(write(tmp_path / "tilt.st", data))
    assert (file.axes, file.data.dtype) == ("zyx", dtype)
    assert file.calibration.scale == pytest.approx((40, 4, 4))
    assert file.calibration.units == ("angstrom",) * 3
    np.testing.assert_array_equal(np.asarray(file.data), data)
    np.testing.assert_array_equal(
        file.stack().read(4, (slice(3, 9), slice(1, 8))), data[4, 3:9, 1:8]
    )
    save_stack(tmp_path / "out.ome.zarr", file.data, file.calibration)
    again = open_stack(tmp_path / "out.ome.zarr")
    assert again.calibration.units == ("angstrom",) * 3
    np.testing.assert_array_equal(np.asarray(again.data), data)


def test_bytes_are_unsigned_if_imod_says_so(tmp_path, volume):
    data = volume("uint8")
    path = write(tmp_path / "a.mrc", data.view(np.int8))
    with pytest.raises(BadInput, match="has signed bytes"):
        open_stack(path)
    content = bytearray(path.read_bytes())
    content[IMOD], content[FLAGS] = struct.pack("<i", STAMP), struct.pack("<i", 0)
    path.write_bytes(content)
    np.testing.assert_array_equal(np.asarray(open_stack(path).data), data)


def test_no_voxel_size(tmp_path, volume):
    file = open_stack(write(tmp_path / "a.mrc", volume("int16"), 0.0))
    assert (file.calibration.scale, file.calibration.units) == ((1, 1, 1), (None,) * 3)


def test_what_is_cut_off_while_it_is_read(tmp_path, volume):
    data = volume("int16")
    file = open_stack(path := write(tmp_path / "a.mrc", data))
    os.truncate(path, path.stat().st_size // 2)
    np.testing.assert_array_equal(file.stack().read(0), data[0])
    with pytest.raises(BadInput, match=r"a\.mrc.*cut off meanwhile"):
        file.stack().read(len(data) - 1)


def test_what_is_damaged(tmp_path, volume, monkeypatch):
    path = write(tmp_path / "a.mrc", volume("int16"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(BadInput, match=r"a\.mrc cannot be read as an image"):
        open_stack(path)
    path.write_bytes(whole)
    monkeypatch.setitem(sys.modules, "mrcfile", None)
    with pytest.raises(BadInput, match="needs mrcfile"):
        open_stack(path)
