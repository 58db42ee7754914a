from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.files import open_stack, save_stack

h5py = pytest.importorskip("h5py")

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes datasets by name, the attribute of the first, and gives the file's path."""

    def make(name: str = "sample_A.hdf", resolution=None, **datasets: np.ndarray) -> Path:
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            for key, data in datasets.items():
                dataset = file.create_dataset(key.replace("__", "/"), data=data)
                if resolution is not None:
                    dataset.attrs["resolution"] = resolution
        return path

    return make


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_cremi(write, volume, dtype):
    data = volume(dtype)
    labels = np.zeros(data.shape, np.uint64)
    path = write(
        volumes__labels__clefts=labels, volumes__raw=data, resolution=np.array([40.0, 4.0, 4.0])
    )
    file = open_stack(path)
    assert file.calibration.scale == (40, 4, 4)
    assert file.calibration.units == ("nanometer",) * 3
    assert (file.axes, file.calibration.name, file.data.dtype) == ("zyx", "sample_A", dtype)
    np.testing.assert_array_equal(np.asarray(file.data), data)
    window = (slice(3, 9), slice(10, 30))
    np.testing.assert_array_equal(file.stack().read(4, window), data[4][window])


def test_a_dataset_by_name(write, volume, tmp_path):
    other = volume()[::-1].copy()
    path = write("stack.h5", volumes__raw=volume(), other__pixels=other, flat=np.zeros((4, 5)))
    for name in ("other/pixels", "/other/pixels"):
        file = open_stack(f"{path}:{name}")
        assert file.path == path
        np.testing.assert_array_equal(np.asarray(file.data), other)
    np.testing.assert_array_equal(np.asarray(open_stack(path).data), volume())
    there = "; the file holds /other/pixels, /volumes/raw."
    for name, words in (
        ("/nothing", "stack.h5 holds no dataset '/nothing'"),
        ("/flat/x", "stack.h5 holds no dataset '/flat/x'"),
        ("/flat", "/flat in stack.h5 is no 3-D dataset"),
    ):
        with pytest.raises(BadInput) as caught:
            open_stack(f"{path}:{name}")
        assert str(caught.value) == words + there
    with pytest.raises(BadInput, match="does not exist"):
        open_stack(tmp_path / "absent.h5:/volumes/raw")
    with pytest.raises(BadInput, match=r"name one, as in two\.h5:/a"):
        open_stack(write("two.h5", a=volume(), b=volume()))


def test_a_long_list_of_datasets_is_cut(write):
    path = write(
        "many.h5", **{f"n{n:02}": np.zeros((2, 3, 3)) for n in range(25)}, flat=np.zeros(3)
    )
    with h5py.File(path, "a") as file:
        file["a_link"] = h5py.SoftLink("/nowhere")
    with pytest.raises(BadInput, match=r"the file holds /a_link, /n00, .*, /n18 and 6 more\.$"):
        open_stack(f"{path}:/nothing")
    with pytest.raises(BadInput, match=r"holds no dataset '/nowhere'; the file holds /a_link, "):
        open_stack(f"{path}:/a_link")
    empty = write("empty.h5", flat=np.zeros(3))
    with pytest.raises(BadInput, match="the file holds no 3-D dataset"):
        open_stack(f"{empty}:/nothing")


def test_any_file_with_one_volume(write, volume):
    path = write("stack.h5", a__b=volume(), c=np.zeros(5))
    file = open_stack(path)
    assert file.calibration.scale == (1, 1, 1)
    assert file.calibration.units == (None,) * 3
    np.testing.assert_array_equal(file.stack().read(2), volume()[2])


def test_hdf5_by_another_name(write, volume):
    assert len(open_stack(write("stack.dat", x=volume())).stack()) == 6


@pytest.mark.parametrize(
    "resolution", [[4.0, 4.0], [0.0, 4.0, 4.0], [np.nan, 4.0, 4.0], "40 4 4", 4.0]
)
def test_senseless_resolutions_are_passed_over(write, volume, resolution):
    assert open_stack(write(raw=volume(), resolution=resolution)).calibration.scale == (1, 1, 1)


def test_only_what_is_asked_for_is_read(write, volume, monkeypatch):
    path = write(volumes__raw=volume())
    read = []
    inner = h5py.Dataset.__getitem__

    def watched(self, index, *rest):
        part = inner(self, index, *rest)
        read.append(np.size(part))
        return part

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watched)
    stack = open_stack(path).stack()
    assert sum(read) == 0
    stack.read(3, (slice(0, 10), slice(0, 7)))
    assert read == [70]


def test_the_file_is_closed_with_its_last_holder(write, volume):
    path = write(volumes__raw=volume())
    file = open_stack(path)
    file.data.close()
    with h5py.File(path, "r+"):
        pass
    stack = open_stack(path).stack()
    stack.read(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del stack, file
        gc.collect()
    with h5py.File(path, "r+"):
        pass


def test_a_repair_of_it_can_be_saved(write, volume, tmp_path):
    file = open_stack(write(volumes__raw=volume(), resolution=[40.0, 4.0, 4.0]))
    output = tmp_path / "out.ome.tif"
    save_stack(output, RepairedStack(file.stack()), file)
    saved = open_stack(output)
    assert saved.calibration.scale == (40, 4, 4)
    np.testing.assert_array_equal(np.asarray(saved.data), volume())


def _refusal(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        open_stack(path)
    return str(caught.value)


def test_several_volumes_are_named(write, volume):
    sentence = _refusal(write(a=volume(), group__b=volume(), c=np.zeros(4)))
    assert "several 3-D datasets" in sentence
    assert "a, group/b;" in sentence


def test_no_volume(write):
    assert "no 3-D dataset and no volumes/raw" in _refusal(write(flat=np.zeros((4, 5))))
    assert "it holds flat" in _refusal(write(flat=np.zeros((4, 5))))
    assert "it holds nothing" in _refusal(write())


def test_damaged_files(write, volume, tmp_path):
    path = write(volumes__raw=volume())
    path.write_bytes(path.read_bytes()[:500])
    assert "damaged HDF5" in _refusal(path)
    (tmp_path / "text.h5").write_text("no such thing")
    assert "damaged HDF5 file, or not HDF5" in _refusal(tmp_path / "text.h5")


def test_without_h5py(write, volume, monkeypatch):
    path = write(volumes__raw=volume())
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert "pip install 'napari-ssan[cremi]'" in _refusal(path)
