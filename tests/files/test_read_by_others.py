"""What is written is opened by zarr, tensorstore, yaozarrs and napari-ome-zarr, and levels agree.

Of both versions and with shards, as written and as changed in place.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import yaozarrs
import zarr

from napari_ssan.files import Calibration, open_stack, save_stack
from napari_ssan.files.write_zarr import Pieces
from napari_ssan.files.zarr_rows import halved
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.run import repair_in_place
from napari_ssan.volumes.slabs import How

KINDS = {
    "0.5": None,
    "0.5 in chunks": Pieces((2, 64, 64)),
    "0.5 in shards": Pieces((1, 64, 64), (4, 256, 256)),
    "0.4": None,
    "0.4 in chunks": Pieces((2, 64, 64)),
}


def older(path: Path, data: np.ndarray, pieces: Pieces | None) -> None:
    """OME-Zarr 0.4, which we repair in place, but do not write."""
    group = zarr.create_group(path, zarr_format=2)
    level, datasets = data, []
    for number in range(2):
        chunks = pieces.chunks if pieces else (1, 512, 512)
        group.create_array(str(number), data=level, chunks=chunks)
        scale = {"type": "scale", "scale": [40, 4 * 2**number, 4 * 2**number]}
        datasets.append({"path": str(number), "coordinateTransformations": [scale]})
        level = np.stack([halved(section) for section in level])
    axes = [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


@pytest.fixture(scope="module", params=KINDS)
def written(request, tmp_path_factory) -> tuple[Path, np.ndarray]:
    """An image of two levels, repaired in place, and its pixels at full resolution."""
    path = tmp_path_factory.mktemp("written") / "image.ome.zarr"
    data = np.random.default_rng(0).integers(0, 255, (5, 520, 130)).astype(np.uint8)
    calibration = Calibration.of("zyx", (40, 4, 4), "nanometer")
    if request.param.startswith("0.5"):
        save_stack(path, data, calibration, pieces=KINDS[request.param])
    else:
        older(path, data, KINDS[request.param])
    repair_in_place(path, Marks({2}), How("copy"), lambda _: None)
    pixels = np.asarray(open_stack(path).data)
    np.testing.assert_array_equal(np.delete(pixels, 2, 0), np.delete(data, 2, 0))
    assert (pixels[2] != data[2]).any()
    return path, pixels


def test_by_zarr_and_levels_agree(written):
    path, pixels = written
    group = zarr.open_group(path, mode="r")
    levels = [np.asarray(array) for _, array in sorted(group.arrays())]
    np.testing.assert_array_equal(levels[0], pixels)
    assert len(levels) == 2
    for fine, coarse in itertools.pairwise(levels):
        np.testing.assert_array_equal(coarse, np.stack([halved(section) for section in fine]))


def test_by_tensorstore(written):
    tensorstore = pytest.importorskip("tensorstore")
    path, pixels = written
    driver = "zarr3" if (path / "zarr.json").exists() else "zarr"
    levels = [
        tensorstore.open({"driver": driver, "kvstore": f"file://{path}/{n}/"}, open=True).result()
        for n in range(2)
    ]
    np.testing.assert_array_equal(levels[0].read().result(), pixels)
    np.testing.assert_array_equal(
        levels[1].read().result(), np.stack([halved(section) for section in pixels])
    )


def test_by_yaozarrs(written):
    yaozarrs.validate_zarr_store(str(written[0]))


def test_by_napari_ome_zarr(written):
    reader = pytest.importorskip("napari_ome_zarr")
    path, pixels = written
    read = reader.napari_get_reader(str(path))
    layers = read(str(path))
    data = layers[0][0]
    data = data if isinstance(data, list) else [data]
    np.testing.assert_array_equal(np.asarray(data[0]), pixels)
    assert [tuple(level.shape) for level in data] == [(5, 520, 130), (5, 260, 65)]
    np.testing.assert_array_equal(
        np.asarray(data[1]), np.stack([halved(section) for section in pixels])
    )


def test_by_ome_zarr(written):
    reader = pytest.importorskip("ome_zarr.reader")
    io = pytest.importorskip("ome_zarr.io")
    path, pixels = written
    node = next(iter(reader.Reader(io.parse_url(str(path)))()))
    np.testing.assert_array_equal(np.asarray(node.data[0]), pixels)
