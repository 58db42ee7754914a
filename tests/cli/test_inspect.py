"""The command ``inspect``, and ``repair --defects auto``.

Covers: napari_ssan.cli.outputs
"""

from __future__ import annotations

import json
from importlib import import_module

import numpy as np
import pytest
import tifffile

from napari_ssan.files import read_provenance
from napari_ssan.inspection.find import Find, Inspection
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.phantom import phantom
from napari_ssan.stack.region import Region


@pytest.fixture(scope="module")
def broken() -> np.ndarray:
    return phantom((18, 128, 144), seed=4).broken[4:18]


@pytest.fixture
def path(tmp_path, broken):
    """Blank at 2, smeared at 7, dirty at 12."""
    tifffile.imwrite(tmp_path / "stack.tif", broken, photometric="minisblack")
    return tmp_path / "stack.tif"


@pytest.fixture
def gapped(tmp_path):
    """A slice seems to be lost after slice 11."""
    clean = phantom((30, 128, 144), seed=4).clean
    tifffile.imwrite(
        tmp_path / "gapped.tif", np.delete(clean, [12, 13], 0), photometric="minisblack"
    )
    return tmp_path / "gapped.tif"


def test_a_table_is_printed_if_no_file_is_asked_for(run, path, tmp_path):
    outcome = run("inspect", path)
    assert outcome.code == 0
    assert "blank" in outcome.out
    assert "whole slice" in outcome.out
    assert [each.name for each in tmp_path.iterdir()] == ["stack.tif"]


def test_all_outputs(run, path, tmp_path, broken):
    outputs = {option: tmp_path / name for option, name in
               (("--json", "a.json"), ("--marks", "m.json"), ("--html", "r.html"))}  # fmt: skip
    outcome = run("inspect", path, *(each for pair in outputs.items() for each in pair))
    assert outcome.code == 0
    assert outcome.out == ""
    content = json.loads(outputs["--json"].read_text())
    assert content["slices"] == len(broken)
    assert {2, 7, 12} <= {each["slice"] for each in content["defects"]}
    marks = Marks.read(outputs["--marks"], broken.shape[1:])
    assert {2, 7} <= marks.whole
    assert 12 in {*marks.whole, *marks.regions}
    assert "data:image/png" in outputs["--html"].read_text()
    assert run("inspect", path, "--json", outputs["--json"]).sentence.endswith(
        "exists already; add --overwrite to replace it."
    )


def test_what_is_found_is_repaired(run, path, tmp_path, broken):
    out = tmp_path / "out.tif"
    outcome = run("repair", path, out, "--defects", "auto", "--method", "average")
    assert outcome.code == 0, outcome.err
    lines = outcome.err.splitlines()
    listed = [line for line in lines if line.startswith("Found in slice ")]
    assert any(line.startswith("Found in slice 2: blank, p 1.00.") for line in listed)
    sections = {record.section for record in read_provenance(out).sections}
    assert {2, 7} <= sections
    made = tifffile.imread(out)
    good = sorted(set(range(len(broken))) - sections)
    np.testing.assert_array_equal(made[good], broken[good])


def test_nothing_found_is_said(run, tmp_path):
    clean = phantom((18, 128, 144), seed=4).clean[4:10]
    tifffile.imwrite(tmp_path / "clean.tif", clean, photometric="minisblack")
    outcome = run("repair", tmp_path / "clean.tif", tmp_path / "o.tif", "--defects", "auto")
    assert outcome.code == 2
    assert "Nothing was found with a probability of at least 0.9" in outcome.err
    assert not (tmp_path / "o.tif").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--json", "a.txt"), "must end in .json"),
        (("--html", "none/a.html"), "does not exist; make it first"),
        (("--json", "a.json", "--marks", "a.json"), "are the same"),
        (("--level", "1"), "There is no level 1: the stack has 1 level"),
        (("--sensitivity", "extreme"), "sensitivity"),
        (("--workers", "-1"), "workers"),
    ],
)
def test_bad_input_is_one_sentence(run, path, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in run("inspect", path, *arguments).sentence
    assert [each.name for each in tmp_path.iterdir()] == ["stack.tif"]


def test_marks_are_written_for_other_programs_and_read_again(run, path, tmp_path, broken):
    for name in ("m.ome.zarr", "masks", "m.csv"):
        outcome = run("inspect", path, "--marks", tmp_path / name)
        assert outcome.code == 0, outcome.err
        out = tmp_path / f"{name}.tif"
        assert run("repair", path, out, "--defects-file", tmp_path / name,
                   "--method", "average").code == 0  # fmt: skip
        assert {2, 7} <= {record.section for record in read_provenance(out).sections}
    again = run("inspect", path, "--marks", tmp_path / "masks", "--overwrite")
    assert "a folder of masks is never replaced; choose another name." in again.sentence
    assert run("inspect", path, "--marks", tmp_path / "m.ome.zarr").code == 2
    refused = run("inspect", path, "--marks", tmp_path / "m.png")
    assert refused.code == 2
    assert "Marks are not written as m.png" in refused.sentence


def test_lost_slices_are_told_from_broken_ones(run, gapped, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    (line,) = [each for each in run("inspect", gapped).out.splitlines() if " 11 " in each]
    assert "after slice 11" in line
    assert "insert 1" in line
    outcome = run("inspect", gapped, "--json", tmp_path / "a.json", "--marks", tmp_path / "m.json")
    assert "Note: marks hold no lost slices; repair --insert-after 11 inserts" in outcome.err
    content = json.loads((tmp_path / "a.json").read_text())["defects"]
    assert [(each["slice"], each["lost"]) for each in content if each["lost"]] == [(11, 1)]


def test_lost_slices_alone_are_no_marks_and_insertions_are_kept(run, gapped, tmp_path, monkeypatch):
    lost = Inspection(28, 0, 0.7, (Find(11, "discontinuity", 9.0, 1.0, "Two are lost.", gap=2),))
    monkeypatch.setattr("napari_ssan.cli.marks.look", lambda file, show: lost)
    auto = ("--defects", "auto", "--method", "average")
    refused = run("repair", gapped, tmp_path / "out.tif", *auto)
    assert refused.code == 2
    assert "Found after slice 11: discontinuity, p 1.00." in refused.err
    assert "Note: lost slices are inserted with --insert-after 11,11 only." in refused.err
    assert "Nothing but lost slices was found with a probability" in refused.err
    made = run("repair", gapped, tmp_path / "out.tif", *auto, "--insert-after", "11,11")
    assert made.code == 0
    assert "Note" not in made.err
    assert len(tifffile.imread(tmp_path / "out.tif")) == 30


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "none"), "There is no model 'none'"),
        (("--defects-file", "absent.json"), "cannot be read"),
        (("--defects-file", "bad.json"), "The marks are"),
        (("--insert-after", "99"), "can be inserted after slice 99"),
    ],
)
def test_all_else_is_refused_before_the_inspection(
    run, gapped, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    monkeypatch.setattr("napari_ssan.cli.marks.look", None)
    assert sentence in run("repair", gapped, "o.tif", "--defects", "auto", *arguments).sentence


def test_a_file_that_marks_nothing_is_named(run, gapped, tmp_path):
    (tmp_path / "m.json").write_text("{}", encoding="utf-8")
    refused = run("repair", gapped, tmp_path / "o.tif", "--defects-file", tmp_path / "m.json")
    assert "m.json marks nothing; name slices with --defects." in refused.sentence


def test_what_marks_do_not_hold_is_said(run, gapped, tmp_path, monkeypatch):
    spot = Region.from_mask(np.ones((4, 4)))
    finds = (
        Find(7, "brightness", 9.0, 1.0, "It is darker.", "correct"),
        Find(9, "fold", 9.0, 1.0, "A band.", region=spot),
        Find(3, "fold", 9.0, 1.0, "A band.", "correct", spot),
    )
    found = Inspection(28, 0, 0.7, finds)
    monkeypatch.setattr(import_module("napari_ssan.cli.inspect"), "look", lambda *given: found)

    def said(target):
        return " ".join(run("inspect", gapped, "--marks", target).err.split())

    assert "the regions in slices 3, 9 are not in it" in said(tmp_path / "m.csv")
    assert "what is to be corrected in slices 3, 7 is not in it" in said(tmp_path / "masks")
    assert "Note" not in said(tmp_path / "m.json")
