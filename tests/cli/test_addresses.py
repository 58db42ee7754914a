"""Commands on volumes that lie behind an address, never as a whole on this disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr

AVERAGE = ("--method", "average")


@pytest.fixture
def distant(tmp_path, volume):
    """A zarr array, to be served."""
    path = tmp_path / "distant.zarr"
    zarr.create_array(path, data=volume, chunks=(1, 48, 64))
    return path


def test_repair_over_http(run, web, distant, volume, tmp_path):
    out = tmp_path / "out.ome.zarr"
    done = run("repair", f"{web.url}/{distant.name}", out, "--defects", "3", *AVERAGE)
    assert done.code == 0, done.err
    pixels = np.asarray(zarr.open_array(out / "0", mode="r"))
    np.testing.assert_array_equal(np.delete(pixels, 3, 0), np.delete(volume, 3, 0))
    assert (pixels[3] != volume[3]).any()
    assert web.url not in json.dumps(dict(zarr.open_group(out, mode="r").attrs))


def test_in_place_in_a_bucket_and_back(run, s3, distant, tmp_path):
    where, kept = s3.upload(distant), tmp_path / "kept"
    before = s3.objects()
    assert "--backup" in run("repair", where, "--in-place", "--defects", "3", *AVERAGE).sentence
    done = run("repair", where, "--in-place", "--defects", "3", "--backup", kept, *AVERAGE)
    assert done.code == 0, done.err
    assert {name for name, each in s3.objects().items() if before[name] != each} == {
        "distant.zarr/c/3/0/0", "distant.zarr/zarr.json",
    }  # fmt: skip
    facts = json.loads(run("status", where, "--json").out)
    assert (facts["path"], facts["in_place"]["done"]) == (where, [3])
    restored = run("restore", where)
    assert restored.err == "Restored slices 3 of distant.zarr.\n"
    assert s3.objects() == before


def test_other_commands(run, web, distant, tmp_path):
    where = f"{web.url}/{distant.name}"
    found = run("inspect", where, "--json", tmp_path / "found.json")
    assert found.code == 0, found.err
    assert json.loads((tmp_path / "found.json").read_text())["slices"] == 7
    measured = run(
        "evaluate", where, "--methods", "average", "--slices", "2,3",
        "--json", tmp_path / "measured.json",
    )  # fmt: skip
    assert measured.code == 0, measured.err
    cut = run("triplets", f"{where}[0:6]", tmp_path / "cut", "--size", "32", "--stride", "32")
    assert "locate" not in cut.err
    assert "does not exist" not in cut.err


def test_what_cannot_be_read(run, web, distant, tmp_path):
    out = tmp_path / "out.tif"
    assert "There is no zarr store at" in run("inspect", f"{web.url}/none.zarr").sentence
    said = run("repair", "https://me:secret@host/v.zarr", out, "--defects", "3").sentence
    assert "secret" not in said
    said = run("repair", distant, "s3://lab/out.tif", "--defects", "3").sentence
    assert "Only OME-Zarr is written to an address: end s3://lab/out.tif in .ome.zarr" in said
    web.drop = 10**6
    said = run("repair", f"{web.url}/{distant.name}", out, "--defects", "3").sentence
    assert "the server does not answer" in said
    web.drop = 0
    said = run(
        "repair", f"{web.url}/{distant.name}", "--in-place", "--defects", "3",
        "--backup", tmp_path / "kept",
    ).sentence  # fmt: skip
    assert "can only be read" in said


def test_a_file_url(run, distant, tmp_path):
    out = tmp_path / "out.tif"
    assert run("repair", distant.as_uri(), out, "--defects", "3", *AVERAGE).code == 0
