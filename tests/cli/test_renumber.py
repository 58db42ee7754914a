"""Labels that follow a stack into which slices were inserted."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr

AVERAGE = ("--method", "average")


@pytest.fixture
def export(run, stack, tmp_path):
    out = tmp_path / "out.ome.zarr"
    done = run("repair", stack, out, "--insert-after", "2,2", *AVERAGE)
    assert done.code == 0, done.err
    return out


@pytest.mark.parametrize("by", ["table", "export"])
@pytest.mark.parametrize("inserted", ["nearest", "zero"])
def test_labels_follow(run, export, volume, tmp_path, by, inserted):
    labels = np.arange(volume.size, dtype=np.uint64).reshape(volume.shape)
    zarr.create_array(tmp_path / "labels.zarr", data=labels)
    table = export.with_name("out.sections.csv") if by == "table" else export
    out = tmp_path / "new.ome.zarr"
    done = run(
        "renumber", tmp_path / "labels.zarr", out, "--map", table, "--inserted", inserted
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "9 slices, 2 of them inserted." in " ".join(done.err.split())
    expected = labels[[0, 1, 2, 2, 3, 3, 4, 5, 6]]
    if inserted == "zero":
        expected[3:5] = 0
    np.testing.assert_array_equal(np.asarray(zarr.open_array(out / "0", mode="r")), expected)


def test_what_is_refused(run, export, stack, tmp_path):
    table = export.with_name("out.sections.csv")
    tifffile.imwrite(tmp_path / "short.tif", np.zeros((5, 20, 30), np.uint16))
    said = run("renumber", tmp_path / "short.tif", tmp_path / "a.tif", "--map", table).sentence
    assert "short.tif has 5 slices, and the table is for labels of 7" in said
    said = run("renumber", stack, stack, "--map", table, "--overwrite").sentence
    assert "is the input itself" in said
    said = run("renumber", stack, tmp_path / "a.tif", "--map", tmp_path / "no.csv").sentence
    assert "cannot be read" in said
    assert not (tmp_path / "a.tif").exists()


def test_a_table_in_the_way_is_refused_before_the_repair(run, stack, tmp_path):
    (tmp_path / "out.sections.csv").touch()
    said = run("repair", stack, tmp_path / "out.tif", "--insert-after", "2", *AVERAGE).sentence
    assert "table of section numbers" in said
