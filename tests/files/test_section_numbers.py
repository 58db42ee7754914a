"""Numbers of sections before and after others were inserted, and labels that follow."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import zarr

from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput
from napari_ssan.files import open_stack, read_provenance, save_stack
from napari_ssan.files.provenance_io import to_plain
from napari_ssan.files.section_numbers import Renumbered, read_table

TABLE = (0, 1, 2, 3, None, 4, 5)


@pytest.mark.parametrize("ending", [".tif", ".ome.tif", ".ome.zarr", ".mrc"])
def test_an_export_carries_the_table(make, repair, tmp_path, ending):
    file = open_stack(make("ome-tiff"))
    written = save_stack(tmp_path / f"out{ending}", repair(file.stack(), inserted=True), file)
    assert [path.name for path in written] == [f"out{ending}", "out.sections.csv"]
    assert written[1].read_text() == "old,new\n0,0\n1,1\n2,2\n3,3\n,4\n4,5\n5,6\n"
    assert read_table(written[0]) == read_table(written[1]) == TABLE
    again = open_stack(written[0])
    save_stack(tmp_path / f"again{ending}", repair(again.stack()), again)
    assert read_provenance(tmp_path / f"again{ending}").old_sections == TABLE


def test_without_insertions_there_is_none(make, repair, tmp_path):
    file = open_stack(make("tiff"))
    repaired = repair(file.stack())
    save_stack(tmp_path / "out.tif", repaired, file)
    assert not (tmp_path / "out.sections.csv").exists()
    assert "old_sections" not in to_plain(repaired.provenance)
    with pytest.raises(BadInput, match="No slices were inserted"):
        read_table(tmp_path / "out.tif")


def test_a_table_is_not_replaced_unasked(make, repair, tmp_path):
    file = open_stack(make("tiff"))
    (tmp_path / "out.sections.csv").write_text("mine")
    repaired = repair(file.stack(), inserted=True)
    with pytest.raises(BadInput, match="exists already"):
        save_stack(tmp_path / "out.tif", repaired, file)
    assert not (tmp_path / "out.tif").exists()
    save_stack(tmp_path / "out.tif", repaired, file, overwrite=True)
    assert read_table(tmp_path / "out.sections.csv") == TABLE


def test_a_record_without_the_table_will_do(make, repair, tmp_path):
    """As exports of earlier versions have it."""
    file = open_stack(make("ome-zarr-0.5"))
    path = tmp_path / "out.ome.zarr"
    save_stack(path, repair(file.stack(), inserted=True), file)
    group = zarr.open_group(path)
    record = dict(group.attrs["napari_ssan"])
    del record["old_sections"]
    group.attrs["napari_ssan"] = record
    assert Provenance.model_validate(record).old_sections is None
    assert read_table(path) == TABLE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "needs the columns old and new"),
        ("old,new\nx,0\n", "needs the columns old and new"),
        ("old,new\n0,0\n2,1\n", "leaves sections out"),
        ("old,new\n1,0\n0,1\n", "changes their order"),
        ("old,new\n0,0\n1,5\n", "leaves sections out"),
        ("old,new\n", "leaves sections out"),
    ],
)
def test_what_is_no_table(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(BadInput, match=said):
        read_table(tmp_path / "t.csv")


def test_nearest_and_zero():
    labels = np.arange(1, 4, dtype=np.uint64)[:, None, None] * np.ones((3, 2, 5), np.uint64)
    table = (None, 0, None, None, None, 1, 2, None)
    nearest = Renumbered(labels, 0, table)
    assert [section[0, 0] for section in np.asarray(nearest)] == [1, 1, 1, 1, 2, 2, 3, 3]
    zero = Renumbered(labels, 0, table, "zero")
    assert [section[0, 0] for section in np.asarray(zero)] == [0, 1, 0, 0, 0, 2, 3, 0]
    np.testing.assert_array_equal(nearest[4, 1:, ::2], np.full((1, 3), 2))
    turned = Renumbered(labels.T, 2, table)
    np.testing.assert_array_equal(np.asarray(turned), np.asarray(nearest).T)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "uint64", "int64"])
@pytest.mark.parametrize("ending", [".tif", ".ome.zarr"])
def test_any_type_of_labels_there_and_in_pyramids(tmp_path, dtype, ending):
    labels = np.random.default_rng(0).integers(0, 100, (3, 600, 40)).astype(dtype)
    path = tmp_path / "in.zarr"
    zarr.create_array(path, data=labels)
    from napari_ssan.files import open_image

    file = open_image(path)
    out = tmp_path / f"out{ending}"
    save_stack(out, Renumbered(file.data, 0, (0, 1, None, 2)), file, labels=True)
    found = open_image(out)
    assert found.data.dtype == dtype
    expected = labels[[0, 1, 1, 2]]
    np.testing.assert_array_equal(np.asarray(found.data), expected)
    if ending == ".ome.zarr":
        np.testing.assert_array_equal(np.asarray(found.levels[1]), expected[:, ::2, ::2])
        kind = zarr.open_group(out, mode="r").attrs["ome"]["multiscales"][0]["type"]
        assert kind == "nearest"


def test_one_section_at_a_time(tmp_path, counting):
    labels = counting(np.zeros((6, 40, 50), np.uint16))
    from napari_ssan.files import Calibration

    renumbered = Renumbered(labels, 0, TABLE)
    save_stack(tmp_path / "out.tif", renumbered, Calibration.of("zyx"), labels=True)
    assert labels.most == 40 * 50


def test_json_has_null(make, repair):
    repaired = repair(open_stack(make("tiff")).stack(), inserted=True)
    assert json.loads(json.dumps(to_plain(repaired.provenance)))["old_sections"][4] is None


def test_labels_as_ome_tiff(tmp_path):
    from napari_ssan.files import Calibration

    labels = np.zeros((3, 20, 30), np.uint64)
    with pytest.raises(BadInput, match="OME-TIFF has no uint64 pixels"):
        save_stack(tmp_path / "a.ome.tif", labels, Calibration.of("zyx"), labels=True)
    with pytest.raises(BadInput, match="cannot be written"):
        save_stack(tmp_path / "a.tif", labels, Calibration.of("zyx"))
    save_stack(tmp_path / "a.tif", labels, Calibration.of("zyx", flavour="ome-tiff"), labels=True)
    assert tifffile.imread(tmp_path / "a.tif").dtype == np.uint64
