"""Repairs to a new zarr output, slab by slab: as in one go, whatever is killed on the way.

Covers: napari_ssan.volumes.output_slabs
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from napari_ssan.files import read_provenance
from napari_ssan.files.open import open_stack
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.volumes.output_run import unfinished

from .conftest import content

AVERAGE = ("--method", "average")


@pytest.fixture
def marks(tmp_path) -> Path:
    """Whole sections at the end too, a region, a corrected one with another, three missing."""
    region = Region.from_mask(np.tri(30, 40, 5, dtype=bool), 37, 51)
    found = Marks({3, 7, 12}, {3: [region], 5: [region], 7: [region]}, {4: 2, 7: 1}, {3})
    path = tmp_path / "marks.json"
    path.write_text(found.to_json())
    return path


def hidden(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir() if each.name.startswith(".")]


CUTS = {
    "as it is": (),
    "thick": ("--chunks", "4,32,32"),
    "sharded": ("--chunks", "2,16,16", "--shards", "4,32,64"),
}


@pytest.mark.parametrize("cut", CUTS)
def test_the_same_bytes_as_in_one_go(run, stack, marks, tmp_path, cut, monkeypatch):
    monkeypatch.setattr("napari_ssan.files.write_zarr.SMALLEST_LEVEL", 40)
    plain, slabs = tmp_path / "plain" / "out.ome.zarr", tmp_path / "slabs" / "out.ome.zarr"
    for path, more in ((plain, ()), (slabs, ("--resume",))):
        path.parent.mkdir()
        others = ("--mask", "--expected-error", path.parent / "e.tif")
        arguments = ("--defects-file", marks, *AVERAGE, *CUTS[cut], *others, *more)
        report = ("--report", path.parent / "r.html")
        code, said = run("repair", stack, path, *arguments, *report)
        assert code == 0, said
    assert content(slabs) == content(plain)
    assert content(slabs.parent) == content(plain.parent)
    assert hidden(slabs.parent) == []
    assert [r.section for r in read_provenance(slabs).sections] == [3, 3, 5, 6, 7, 9, 10, 15]


def make_input(kind: str, folder: Path, volume: np.ndarray) -> tuple[str, Path]:
    """What names the input, and its file or folder."""
    if kind == "hdf5":
        with h5py.File(folder / "in.h5", "w") as file:
            file.create_dataset("volumes/raw", data=volume, chunks=(2, 32, 32))
        return f"{folder / 'in.h5'}:/volumes/raw", folder / "in.h5"
    if kind == "mrc":
        mrcfile = pytest.importorskip("mrcfile")
        with mrcfile.new(folder / "in.mrc", volume.astype(np.int16)) as file:
            file.set_volume()
        return str(folder / "in.mrc"), folder / "in.mrc"
    pixels = {"float": np.float32(0.01), "16 bits": np.uint16(200), "x last": np.uint8(1)}[kind]
    data = volume * pixels
    data = data.transpose(2, 1, 0) if kind == "x last" else data
    names = "xyz" if kind == "x last" else "zyx"
    zarr.create_array(folder / "in.zarr", data=data, chunks=(32, 32, 5), dimension_names=names)
    return str(folder / "in.zarr"), folder / "in.zarr"


@pytest.mark.parametrize("kind", ["hdf5", "mrc", "float", "16 bits", "x last"])
def test_whatever_the_input_is(run, tmp_path, volume, kind):
    source, _ = make_input(kind, tmp_path, volume)
    found = []
    for name, more in (("plain.ome.zarr", ()), ("slabs.ome.zarr", ("--resume",))):
        arguments = ("--defects", "3,7-8", *AVERAGE, "--mask", *more)
        code, said = run("repair", source, tmp_path / name, *arguments)
        assert code == 0, said
        mask = name.replace(".ome", ".synthetic.ome")
        found.append((content(tmp_path / name), content(tmp_path / mask)))
    assert found[0] == found[1]


def test_of_an_hdf5_file_it_is_the_dataset_that_was_asked_for(run, tmp_path, volume):
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["volumes/raw"], file["volumes/aligned"] = volume, volume // 2 + 100
    source, path = f"{tmp_path / 'in.h5'}:/volumes/aligned", tmp_path / "out.ome.zarr"
    code, said = run("repair", source, path, "--defects", "3", *AVERAGE, "--workers", "1")
    assert code == 0, said
    np.testing.assert_array_equal(np.asarray(open_stack(path).data)[0], volume[0] // 2 + 100)


def test_what_failed_is_tried_again_and_nothing_appears_before(run, tmp_path, volume):
    source, path = tmp_path / "in.zarr", tmp_path / "out.ome.zarr"
    zarr.create_array(source, data=volume, chunks=(1, 64, 64))
    bad = source / "c/9/0/1"
    good = bad.read_bytes()
    bad.write_bytes(b"rubbish")
    before = content(source)
    arguments = ("repair", source, path, "--defects", "3,10", *AVERAGE, "--report")
    arguments = (*arguments, tmp_path / "r.html")
    code, said = run(*arguments, "--resume")
    assert code == 3
    assert f"out.ome.zarr is not finished: {len(volume) - 2} of {len(volume)} slices are d" in said
    assert "Failed: 9: in.zarr cannot be read at slice 9" in said
    assert "Failed: 10: in.zarr cannot be read at slice 9" in said
    assert not path.exists()
    count = f"{len(volume) - 2} of {len(volume)} slices are done"
    assert f"A repair to out.ome.zarr is not finished: {count}." in run("status", path)[1]
    facts = json.loads(run("status", path, "--json")[1])["unfinished"]
    assert (facts["left"], facts["in_work"]) == ([9, 10], None)
    assert content(source) == before
    code, said = run("repair", source, tmp_path / "other.tif", "--defects", "3", *AVERAGE)
    assert code == 2  # of course; what is unfinished is left alone
    assert unfinished(path)
    bad.write_bytes(good)
    code, said = run(*arguments[:3], "--resume", *AVERAGE)
    assert code == 2  # without the report
    assert "repairs other slices, or in another way" in said
    assert run(*arguments[:3], *arguments[-2:], "--resume")[0] == 0
    assert (tmp_path / "r.html").exists()
    assert hidden(tmp_path) == []
    assert run("repair", source, tmp_path / "whole.ome.zarr", "--defects", "3,10", *AVERAGE)[0] == 0
    assert content(path) == content(tmp_path / "whole.ome.zarr")


def test_what_exists_is_replaced_at_the_end(run, stack, tmp_path):
    path = tmp_path / "out.ome.zarr"
    arguments = ("repair", stack, path, *AVERAGE)
    assert run(*arguments, "--defects", "3", "--resume")[0] == 0
    first = content(path)
    code, said = run(*arguments, "--defects", "4", "--resume")
    assert (code, "exists already" in said) == (2, True)
    stack.write_bytes(b"II*\x00" + stack.read_bytes()[4:])
    assert run(*arguments, "--defects", "4", "--resume", "--overwrite")[0] == 0
    assert content(path) != first
    assert [r.section for r in read_provenance(path).sections] == [4]
    assert hidden(tmp_path) == []


def test_what_is_left_of_another_run_is_not_gone_on_with(run, stack, tmp_path, monkeypatch):
    path = tmp_path / "out.ome.zarr"
    arguments = ("repair", stack, path, *AVERAGE)
    with monkeypatch.context() as patch:
        patch.setattr("napari_ssan.volumes.output_slabs.sync_files", interrupt)
        code, said = run(*arguments, "--defects", "3", "--resume")
    assert code == 143
    assert "To go on, run the same command with --resume." in said
    for other in (("--defects", "4"), ("--defects", "3", "--chunks", "2,32,32")):
        code, said = run(*arguments, *other, "--resume")
        assert (code, "repairs other slices" in said) == (2, True)
    zarr.save_array(tmp_path / "longer.zarr", np.ones((4, 40, 40), "u1"))
    code, said = run("repair", tmp_path / "longer.zarr", path, "--resume")
    assert (code, "repairs other slices" in said) == (2, True)
    tifffile.imwrite(stack, np.zeros((5, 40, 40), np.uint8), photometric="minisblack")
    code, said = run("repair", stack, path, "--resume")
    assert (code, "is not what it was when the run began" in said) == (2, True)
    other = np.random.default_rng(0).integers(0, 255, (5, 40, 40)).astype(np.uint8)
    tifffile.imwrite(stack, other, photometric="minisblack")
    code, said = run(*arguments, "--defects", "2", "--workers", "1")
    assert (code, "what an interrupted run had left" in said) == (0, True)
    assert hidden(tmp_path) == []


def interrupt(*arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)  # SIGINT may be ignored, as in the background


@pytest.mark.parametrize(
    ("output", "more", "words"),
    [
        ("out.tif", ("--resume",), "need a zarr OUTPUT"),
        ("out.tif", ("--workers", "2"), "need a zarr OUTPUT"),
        ("out.zarr", ("--workers", "2", "--scheduler", "tcp://x:1"), "not both"),
        ("out.zarr", ("--backup", "b", "--resume"), "--backup needs --in-place"),
    ],
)
def test_what_is_refused(run, stack, tmp_path, output, more, words):
    code, said = run("repair", stack, tmp_path / output, "--defects", "3", *AVERAGE, *more)
    assert (code, words in said) == (2, True), said
    assert sorted(each.name for each in tmp_path.iterdir()) == ["stack.tif"]
    code, said = run("repair", stack, tmp_path / "out.zarr", "--resume")
    assert (code, "no run to go on with" in said) == (2, True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["stack.tif"]


def test_two_runs_at_once(run, stack, tmp_path):
    from napari_ssan.volumes.claim import Claim

    with Claim(tmp_path / "out.zarr", str):
        code, said = run("repair", stack, tmp_path / "out.zarr", "--defects", "3", "--resume")
    assert (code, "is being changed by process" in said) == (2, True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["stack.tif"]


@pytest.mark.parametrize("what", ["part", "claim"])
def test_a_target_that_vanishes_ends_the_run(run, stack, tmp_path, monkeypatch, what):
    import shutil

    from napari_ssan.files.zarr_rows import Rows

    path, real, calls = tmp_path / "out.zarr", Rows.write, []

    def write(self, data, row, step):
        calls.append(row)
        if len(calls) == 3 and what == "part":
            shutil.rmtree(unfinished(path))
        elif len(calls) == 3:
            (tmp_path / ".out.zarr.in-work").write_text('{"token": "another"}')
        real(self, data, row, step)

    monkeypatch.setattr(Rows, "write", write)
    code, said = run("repair", stack, path, "--defects", "3", *AVERAGE, "--resume")
    assert code == 2
    words = "is not there any more" if what == "part" else "Another run has taken"
    assert words in said
    assert len(calls) == 3
    assert not path.exists()
    monkeypatch.undo()
    (tmp_path / ".out.zarr.in-work").unlink(missing_ok=True)
    monkeypatch.setattr("napari_ssan.volumes.claim.SETTLING", 0)
    code, said = run("repair", stack, path, "--defects", "3", *AVERAGE, "--resume")
    assert code == 0, said
    assert open_stack(path).notes == ()
    assert ("Going on" in said) == (what == "claim")
