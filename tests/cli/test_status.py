from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_ssan import swap


@pytest.fixture
def stack(tmp_path):
    path = tmp_path / "stack.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (5, 64, 64), np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack")
    return path


@pytest.mark.parametrize("name", ["out.ome.tif", "out.ome.zarr"])
def test_it_says_what_is_synthetic(run, stack, tmp_path, name):
    out = tmp_path / name
    assert run("repair", stack, out, "--defects", "2", "--method", "average").code == 0
    said = run("status", out).out
    assert "5 x 64 x 64, uint8, axes zyx" in said
    assert "slice 2: synthetic, from 1 and 3 (average)" in said
    facts = json.loads(run("status", out, "--json").out)
    assert [each["section"] for each in facts["provenance"]["sections"]] == [2]


def test_a_stack_that_was_never_repaired(run, stack):
    assert "No synthetic pixels are recorded" in run("status", stack).out
    assert json.loads(run("status", stack, "--json").out)["provenance"] is None


def test_a_swap_that_was_killed_is_finished(run, stack, tmp_path, monkeypatch):
    out = tmp_path / "out.ome.zarr"

    def repair(defects, *options):
        return run("repair", stack, out, "--defects", defects, "--method", "average", *options)

    def die(move):
        move.target.rename(move.old)
        raise OSError

    assert repair("2").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(swap._Move, "forward", die)
        patch.setattr(swap._Move, "back", lambda move: None)
        patch.setattr(swap, "_forget", lambda parts: None)
        assert repair("1", "--overwrite").code == 2
    assert not out.exists()
    outcome = run("status", out)
    assert outcome.code == 0
    assert "that is finished now" in outcome.err
    assert "slice 1: synthetic" in outcome.out
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.ome.zarr", "stack.tif"]


def test_bad_input(run, tmp_path):
    assert "does not exist" in run("status", tmp_path / "absent.tif").sentence
