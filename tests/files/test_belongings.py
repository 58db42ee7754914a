from __future__ import annotations

import numpy as np
import pytest
import zarr

from napari_ssan.errors import BadInput
from napari_ssan.files import Calibration, check_output, open_stack, save_stack
from napari_ssan.files.belongings import check_folder, check_store

FLAVOURS = ["zarr", "ome-zarr-0.4", "ome-zarr-0.5"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_is_an_image_and_nothing_else_is_replaced(tmp_path, make, flavour):
    store = make(flavour)
    check_store(store)
    check_output(store.rename(tmp_path / "a.zarr"), overwrite=True)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    "name",
    [
        "thesis.tex",
        "notes/a.md",
        ".zattrs.bak",
        "0/0/notes.txt",
        "labels/cells/c/0/0/0",
        "9/9/9/9/9",
    ],
)
def test_what_does_not_belong_to_the_image_is_not_lost(tmp_path, make, flavour, name):
    store = make(flavour).rename(tmp_path / "a.zarr")
    (store / name).parent.mkdir(parents=True, exist_ok=True)
    (store / name).write_text("work of years")
    with pytest.raises(BadInput, match="holds a file that does not belong to its image") as caught:
        check_output(store, overwrite=True)
    assert f"({name})" in str(caught.value)


def test_further_arrays_of_a_store_are_not_lost(tmp_path, make):
    store = make("ome-zarr-0.5").rename(tmp_path / "a.ome.zarr")
    group = zarr.open_group(store)
    group.create_group("labels").create_array("cells", data=np.ones((4, 4), np.uint8))
    with pytest.raises(BadInput, match=r"holds 3 files that do not .* \(labels/cells/c/0/0, "):
        check_output(store, overwrite=True)
    for number in range(9):
        (store / f"note {number}").touch()
    with pytest.raises(BadInput, match=r"12 files .*\(.*labels/zarr\.json, \.\.\.\)"):
        check_output(store, overwrite=True)


@pytest.mark.parametrize("name", ["zarr.json", ".zattrs", ".zgroup", ".zarray"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"multiscales": [3, {"datasets": 5}]}'])
def test_a_folder_that_only_looks_like_a_store_is_kept(tmp_path, name, text):
    store = tmp_path / "a.zarr"
    store.mkdir()
    (store / name).write_text(text)
    check_output(store, overwrite=True)
    for number in range(4):
        (store / f"{number}").write_text("work of years")
    with pytest.raises(BadInput, match=r"holds 4 files that do not .*\(0, 1, 2, \.\.\.\)"):
        check_output(store, overwrite=True)


def test_what_we_write_is_replaced_and_litter_is_nothing(tmp_path, repair, volume):
    source = Calibration.of("zyx", z_axis=0)
    paths = save_stack(tmp_path / "a.zarr", volume(), source)
    (paths[0] / ".DS_Store").touch()
    (paths[0] / "0" / "Thumbs.db").touch()
    save_stack(paths[0], volume() + 1, source, overwrite=True)
    np.testing.assert_array_equal(np.asarray(open_stack(paths[0]).data), volume() + 1)


@pytest.mark.parametrize("shape", [(), (3,), (3, 4)])
@pytest.mark.parametrize("version", [2, 3])
def test_chunks_of_any_array_belong_to_it(tmp_path, shape, version):
    array = zarr.create_array(
        tmp_path / "a.zarr",
        data=np.ones(shape, np.uint8),
        zarr_format=version,
        chunks=(1,) * len(shape),
    )
    array.attrs["a"] = 1
    check_store(tmp_path / "a.zarr")


def test_a_folder_of_other_files(tmp_path):
    (tmp_path / "a.png").touch()
    check_folder(tmp_path, "its images", r".*\.png")
    (tmp_path / "b.txt").touch()
    with pytest.raises(BadInput, match=r"not belong to its images .*\(b\.txt\)"):
        check_folder(tmp_path, "its images", r".*\.png")
