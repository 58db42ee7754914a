"""N5 and precomputed volumes, as tensorstore writes them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_ssan.errors import BadInput, NotAStack
from napari_ssan.files import open_image, open_stack
from napari_ssan.files.border import LeadsOut

ts = pytest.importorskip("tensorstore")


def precomputed(path: Path, data: np.ndarray, scales: int = 2, encoding: str = "raw") -> Path:
    """`data` is (z, y, x) or (c, z, y, x)."""
    data = data if data.ndim == 4 else data[None]
    for scale in range(scales):
        level = data[..., :: 2**scale, :: 2**scale]
        store = ts.open(
            {
                "driver": "neuroglancer_precomputed",
                "kvstore": f"file://{path}/",
                "multiscale_metadata": {
                    "type": "image", "data_type": data.dtype.name, "num_channels": len(data),
                },
                "scale_metadata": {
                    "size": list(level.shape[:0:-1]), "encoding": encoding,
                    "chunk_size": [32, 32, 1], "voxel_offset": [10, 20, 3],
                    "resolution": [4 * 2**scale, 4 * 2**scale, 40],
                },
            },
            create=True,
        ).result()  # fmt: skip
        store[...] = level.T
    return path


def n5(path: Path, data: np.ndarray, **attributes) -> Path:
    store = ts.open(
        {
            "driver": "n5",
            "kvstore": f"file://{path}/",
            "metadata": {
                "dimensions": list(data.shape[::-1]), "blockSize": [32, 32, 1],
                "dataType": data.dtype.name, "compression": {"type": "gzip"},
            },
        },
        create=True,
    ).result()  # fmt: skip
    store[...] = data.T
    note(path, **attributes)
    return path


def note(path: Path, **attributes) -> None:
    file = path / "attributes.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | attributes))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_precomputed(tmp_path, volume, dtype):
    file = open_stack(precomputed(tmp_path / "brain", volume(dtype)))
    assert (file.axes, file.data.dtype) == ("zyx", dtype)
    assert file.calibration.scale == (40, 4, 4)
    assert file.calibration.units == ("nanometer",) * 3
    assert file.calibration.translate == (120, 80, 40)
    assert [level.shape for level in file.levels] == [(6, 70, 50), (6, 35, 25)]
    np.testing.assert_array_equal(file.stack().read(2), volume(dtype)[2])
    np.testing.assert_array_equal(np.asarray(file.data[1:3, 5:, ::7]), volume(dtype)[1:3, 5:, ::7])
    np.testing.assert_array_equal(np.asarray(file.levels[1]), volume(dtype)[:, ::2, ::2])


def test_one_section_costs_its_chunks_alone(web, tmp_path, volume):
    """Over HTTP, too."""
    precomputed(tmp_path / "brain", volume())
    file = open_stack(f"{web.url}/brain")
    before = len(web.asked)
    np.testing.assert_array_equal(file.stack().read(2), volume()[2])
    asked = web.asked[before:]
    assert len([name for name in asked if "_" in name.rpartition("/")[2]]) == 6


def test_in_a_bucket(s3, tmp_path, volume):
    file = open_stack(s3.upload(precomputed(tmp_path / "brain", volume())))
    np.testing.assert_array_equal(np.asarray(file.data), volume())
    file = open_stack(s3.upload(n5(tmp_path / "brain.n5", volume())))
    np.testing.assert_array_equal(np.asarray(file.data), volume())


def test_several_channels_are_no_stack(tmp_path, volume):
    path = precomputed(tmp_path / "brain", np.stack([volume()] * 2), scales=1)
    assert open_image(path).axes == "czyx"
    with pytest.raises(BadInput, match="pick one channel"):
        open_stack(path)


RESOLUTIONS = {
    "tensorstore": {"resolution": [4, 4, 40], "units": ["nm"] * 3, "axes": ["x", "y", "z"]},
    "Paintera": {"pixelResolution": {"unit": "nm", "dimensions": [4, 4, 40]}},
    "COSEM": {
        "transform": {"axes": ["z", "y", "x"], "scale": [40, 4, 4], "units": ["nm"] * 3},
    },
}


@pytest.mark.parametrize("whose", RESOLUTIONS)
def test_n5(tmp_path, volume, whose):
    file = open_stack(n5(tmp_path / "v.n5", volume("uint16"), **RESOLUTIONS[whose]))
    assert (file.axes, file.calibration.scale) == ("zyx", (40, 4, 4))
    assert file.calibration.units == ("nanometer",) * 3
    np.testing.assert_array_equal(np.asarray(file.data), volume("uint16"))


def test_levels_of_a_group_in_a_container(tmp_path, volume):
    root = tmp_path / "v.n5"
    n5(root / "em/raw/s0", volume())
    n5(root / "em/raw/s1", volume()[:, ::2, ::2])
    note(root, n5="2.5.0")
    note(root / "em/raw", resolution=[4, 4, 40], units=["nm"] * 3)
    for path in (root, root / "em/raw"):
        file = open_stack(path)
        assert [level.shape for level in file.levels] == [(6, 70, 50), (6, 35, 25)]
        assert file.calibration.scale == (40, 4, 4)
    n5(root / "em/labels", volume())
    with pytest.raises(BadInput, match=r"several N5 datasets; .*v\.n5/em/labels, .*v\.n5/em/raw"):
        open_stack(root)


def test_sections_along_another_axis(tmp_path, volume):
    path = n5(tmp_path / "v.n5", volume().transpose(1, 2, 0), axes=["z", "x", "y"])
    np.testing.assert_array_equal(open_stack(path).stack().read(2), volume()[2])


def test_nothing_to_read(tmp_path, volume):
    root = tmp_path / "v.n5"
    root.mkdir()
    note(root, n5="2.5.0")
    with pytest.raises(BadInput, match="no N5 dataset right at"):
        open_stack(root)
    single = n5(tmp_path / "one.n5", volume()[:1])
    with pytest.raises(NotAStack):
        open_stack(single)


def test_what_is_damaged(tmp_path, volume):
    path = n5(tmp_path / "v.n5", volume())
    (path / "0/0/2").write_bytes(b"rubbish")
    with pytest.raises(BadInput, match=r"v\.n5 cannot be read at slice 2"):
        open_stack(path).stack().read(2)
    path = precomputed(tmp_path / "brain", volume())
    (path / "info").write_text('{"scales": [{}]}')
    with pytest.raises(BadInput, match="brain cannot be read as an image"):
        open_stack(path)


def test_links_that_lead_out(tmp_path, volume):
    path = n5(tmp_path / "in" / "v.n5", volume())
    block = path / "0/0/2"
    block.rename(tmp_path / "elsewhere")
    block.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LeadsOut):
        open_stack(path)
    open_stack(path, follow_links=True)


def listed(monkeypatch) -> list[str]:
    """Names of files and folders that are listed from now on."""
    found: list[str] = []

    class Listing:
        def __init__(self, path) -> None:
            self.entries = scandir(path)

        def __enter__(self):
            return (found.append(entry.path) or entry for entry in self.entries)

        def __exit__(self, *error: object) -> None:
            self.entries.close()

    scandir = os.scandir
    monkeypatch.setattr("os.scandir", Listing)
    return found


@pytest.mark.parametrize("make", [n5, precomputed])
def test_very_many_chunks_are_not_looked_at_before_they_are_read(
    tmp_path, volume, make, monkeypatch
):
    monkeypatch.setattr("napari_ssan.files.open_tensorstore.MANY", 4)
    monkeypatch.setattr("napari_ssan.files.completeness.MANY", 4)
    path = make(tmp_path / "in" / "v", np.repeat(volume(), 10, axis=0))
    files = [each for each in path.rglob("*") if each.is_file()]
    with monkeypatch.context() as patch:
        names = listed(patch)
        stack = open_stack(path).stack()
        np.testing.assert_array_equal(stack.read(7), volume()[0])
    assert len(names) < 20 < len(files)
    block = next(each for each in files if each.relative_to(path).as_posix() in CHUNKS)
    block.rename(tmp_path / "elsewhere")
    block.symlink_to(tmp_path / "elsewhere")
    stack = open_stack(path).stack()
    np.testing.assert_array_equal(stack.read(8), volume()[0])
    np.testing.assert_array_equal(stack.read(9, (slice(32), slice(50))), volume()[0, :32])
    with pytest.raises(LeadsOut):
        stack.read(9)
    stack = open_stack(path, follow_links=True).stack()
    np.testing.assert_array_equal(stack.read(9), volume()[0])


#: One of section 9, rows 32 to 64, columns 32 to 50, of either format.
CHUNKS = ("1/1/9", "4_4_40/42-60_52-84_12-13")


def test_a_scale_that_lies_elsewhere(tmp_path, volume):
    path = precomputed(tmp_path / "in" / "brain", volume(), scales=1)
    info = json.loads((path / "info").read_text())
    (path / info["scales"][0]["key"]).rename(tmp_path / "secret")
    info["scales"][0]["key"] = "../../secret"
    (path / "info").write_text(json.dumps(info))
    with pytest.raises(LeadsOut):
        open_stack(path)


def test_without_the_extra(tmp_path, volume, monkeypatch):
    path = n5(tmp_path / "v.n5", volume())
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(BadInput, match=r"pip install 'napari-ssan\[tensorstore\]'"):
        open_stack(path)
