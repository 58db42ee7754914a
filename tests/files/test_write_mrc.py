"""MRC as IMOD and mrcfile read it, and as we read it again."""

from __future__ import annotations

import errno
import sys

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.files import Calibration, open_stack, save_stack
from napari_ssan.files.open_mrc import FLAGS, IMOD, STAMP

mrcfile = pytest.importorskip("mrcfile")


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float16", "float32"])
def test_there_and_back(tmp_path, volume, dtype, capsys):
    data = volume(dtype)
    calibration = Calibration.of("zyx", (40, 4, 4), "nanometer")
    save_stack(tmp_path / "out.mrc", data, calibration)
    file = open_stack(tmp_path / "out.mrc")
    assert (file.axes, file.data.dtype) == ("zyx", dtype)
    assert file.calibration.scale == pytest.approx((400, 40, 40))
    assert file.calibration.units == ("angstrom",) * 3
    np.testing.assert_array_equal(np.asarray(file.data), data)
    assert mrcfile.validate(tmp_path / "out.mrc"), capsys.readouterr().out
    with mrcfile.mmap(tmp_path / "out.mrc") as other:
        np.testing.assert_array_equal(other.data.view(dtype), data)
        assert other.header.dmin == pytest.approx(data.min())
        assert other.header.dmean == pytest.approx(data.mean(dtype=float), rel=1e-3)
    content = (tmp_path / "out.mrc").read_bytes()
    words = (np.frombuffer(content[part], "<i4")[0] for part in (IMOD, FLAGS))
    assert tuple(words) == ((STAMP, 0) if dtype == "uint8" else (0, 0))


def test_a_repair_with_its_companions(make, repair, tmp_path):
    source = open_stack(make("ome-tiff"))
    repaired = repair(source.stack())
    written = save_stack(tmp_path / "out.mrc", repaired, source, mask=True, error=True)
    assert [path.name for path in written] == [
        "out.mrc", "out.synthetic.mrc", "out.expected-error.mrc",
    ]  # fmt: skip
    file = open_stack(written[0])
    np.testing.assert_array_equal(np.asarray(file.data), np.asarray(repaired))
    assert file.provenance == repaired.provenance
    mask = np.asarray(open_stack(written[1]).data)
    assert (mask[2] == 255).all()
    assert not mask[3].any()
    assert np.isnan(np.asarray(open_stack(written[2]).data)[2]).all()
    again = save_stack(tmp_path / "again.mrc", file.data, file)
    assert open_stack(again[0]).provenance == repaired.provenance


def test_without_a_voxel_size(tmp_path, volume):
    save_stack(tmp_path / "out.mrc", volume(), Calibration.of("zyx"))
    assert open_stack(tmp_path / "out.mrc").calibration.units == (None,) * 3


@pytest.mark.parametrize(
    ("dtype", "axes", "said"),
    [
        ("float64", "zyx", "MRC has no pixels of type float64; write out.mrc as .ome.zarr or .tif"),
        ("uint32", "zyx", "MRC has no pixels of type uint32"),
        ("uint8", "yxz", "slices, rows and columns in this order, and here the axes are 'yxz'"),
        ("uint8", "cyx", "here the axes are 'cyx'"),
    ],
)
def test_what_it_cannot_hold(tmp_path, volume, dtype, axes, said):
    with pytest.raises(BadInput, match=said):
        save_stack(tmp_path / "out.mrc", volume().astype(dtype), Calibration.of(axes))
    assert not list(tmp_path.iterdir())


def test_a_full_disk(tmp_path, volume, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("napari_ssan.files.write_mrc._Seen.take", full)
    with pytest.raises(BadInput, match="the disk is full; nothing was left behind"):
        save_stack(tmp_path / "out.mrc", volume(), Calibration.of("zyx"))
    assert not list(tmp_path.iterdir())


def test_without_the_extra(tmp_path, volume, monkeypatch):
    monkeypatch.setitem(sys.modules, "mrcfile", None)
    with pytest.raises(BadInput, match=r"pip install 'napari-ssan\[mrc\]'"):
        save_stack(tmp_path / "out.mrc", volume(), Calibration.of("zyx"))
