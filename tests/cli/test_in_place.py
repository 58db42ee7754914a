"""A repair in place from the command line, and back.

Covers: napari_ssan.cli.slab_runs, napari_ssan.cli.restore, napari_ssan.cli.status,
    napari_ssan.volumes.status
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_ssan.cli import slab_runs
from napari_ssan.files.open import open_stack
from napari_ssan.files.zarr_rows import halved
from napari_ssan.stack.marks import Marks

AVERAGE = ("--method", "average")


@pytest.fixture
def image(tmp_path, volume) -> Path:
    """An OME-Zarr image of two levels."""
    path = tmp_path / "image.ome.zarr"
    group = zarr.create_group(path)
    group.create_array("0", data=volume, chunks=(1, 48, 64))
    group.create_array("1", data=np.stack([halved(s) for s in volume]), chunks=(1, 24, 32))
    datasets = [
        {"path": n, "coordinateTransformations": [{"type": "scale", "scale": [1, f, f]}]}
        for n, f in (("0", 1), ("1", 2))
    ]
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


def files(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_there_and_back(run, image, volume, tmp_path):
    before = files(image)
    marks = tmp_path / "marks.json"
    marks.write_text(Marks({2, 4}).to_json())
    done = run("repair", image, "--in-place", "--defects-file", marks, *AVERAGE)
    assert done.code == 0
    assert "Repaired 2 slices of image.ome.zarr in place." in done.err
    pixels = np.asarray(zarr.open_array(image / "0", mode="r"))
    np.testing.assert_array_equal(np.delete(pixels, [2, 4], 0), np.delete(volume, [2, 4], 0))
    assert (pixels[[2, 4]] != volume[[2, 4]]).any()
    said = run("status", image)
    assert "slice 2: synthetic, from 1 and 3 (average)" in said.out
    assert "restorable: 2,4" in said.out
    assert "interrupted" not in said.out
    assert run("restore", image, "--slices", "2").err == (
        "Restored slices 2 of image.ome.zarr. Still synthetic: 4.\n"
    )
    facts = json.loads(run("status", image, "--json").out)
    assert facts["in_place"]["restorable"] == [4]
    assert facts["in_place"]["finished"]
    assert [record["section"] for record in facts["provenance"]["sections"]] == [4]
    assert run("restore", image).code == 0
    assert files(image) == before
    assert json.loads(run("status", image, "--json").out)["in_place"] is None
    assert "is restored already" in run("restore", image).sentence


def test_what_failed_is_reported_and_tried_again(run, image):
    bad = image / "0/c/4/0/0"
    good = bad.read_bytes()
    bad.write_bytes(b"rubbish")
    before = files(image)
    mask = image.parent / "mask.zarr"
    region = np.zeros((7, 48, 64), np.uint8)
    region[4, 10:20, 10:20] = 1
    zarr.save_array(mask, region)
    command = ("repair", image, "--in-place", "--region", mask, "--defects", "1", *AVERAGE)
    failed = run(*command)
    assert failed.code == 3
    assert "Repaired 1 of 2 slices of image.ome.zarr in place." in failed.err
    assert "Failed: 4: level 0 cannot be read at slice 4" in failed.err
    assert "run the same command with --resume" in failed.err
    said = run("status", image).out
    assert "Repaired in place in part, 1 of 2 slices at full resolution; originals are" in said
    assert "done: 1" in said
    assert "failed: 4: level 0 cannot be read" in said
    assert "Some slices have failed: go on with repair --resume, or undo it with restore." in said
    assert "--resume" in run(*command).sentence
    bad.write_bytes(good)
    assert run("repair", image, "--in-place", "--resume").code == 0
    assert run(*command, "--resume").code == 0  # nothing is left to do
    assert run("restore", image).code == 0
    assert files(image) == {**before, "0/c/4/0/0": good}


def test_what_an_interrupted_run_has_done_is_told_of(run, image, monkeypatch):
    def interrupt(*told):
        raise KeyboardInterrupt

    before = files(image)
    with monkeypatch.context() as patch:
        patch.setattr(slab_runs._Teller, "_slabs", interrupt)  # of the first slab
        assert run("repair", image, "--in-place", "--defects", "2,4", *AVERAGE).code == 130
    assert not open_stack(image).provenance.sections  # its own record is written at the end
    said = run("status", image).out
    assert "slice 2: synthetic, from 1 and 3 (average)" in said
    assert "slice 4" not in said
    assert "Repaired in place in part, 1 of 2 slices at full resolution" in said
    assert "The run was interrupted: go on with repair --resume, or undo it" in said
    facts = json.loads(run("status", image, "--json").out)
    assert [record["section"] for record in facts["provenance"]["sections"]] == [2]
    assert run("repair", image, "--in-place", "--resume").code == 0
    assert "Repaired in place; originals are in" in run("status", image).out
    assert run("restore", image).code == 0
    assert files(image) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("out.zarr", "--in-place"), "there is no OUTPUT"),
        (("--in-place", "--mask"), "there is no OUTPUT"),
        ((), "Name an OUTPUT"),
        (("out.tif", "--resume"), "need a zarr OUTPUT"),
        (("--in-place", "--insert-after", "3"), "cannot be inserted in place"),
        (("--in-place", "--workers", "1", "--scheduler", "tcp://x:1"), "not both"),
    ],
)
def test_what_is_refused(run, image, arguments, words):
    before = files(image)
    assert words in run("repair", image, *arguments, "--defects", "3", *AVERAGE).sentence
    assert files(image) == before


def test_resume_without_a_run(run, image):
    assert "no run to go on with" in run("repair", image, "--in-place", "--resume").sentence


def test_dask_is_not_imported(image):
    code = (
        "import sys; from napari_ssan.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'dask', 'distributed'} & set(sys.modules)"
    )
    arguments = ["repair", str(image), "--in-place", "--defects", "3", *AVERAGE]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_interrupt_says_how_to_go_on(run, image):
    before = files(image)
    code = (
        "import sys, time\nfrom napari_ssan.volumes import slabs\n"
        "real = slabs.repair_slab\n"
        "def slow(*rest): print('at it', flush=True); time.sleep(0.5); return real(*rest)\n"
        "slabs.repair_slab = slow\nfrom napari_ssan.cli import main; main()"
    )
    arguments = ["repair", str(image), "--in-place", "--defects", "3", *AVERAGE]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, interrupts are ignored, by children too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process.stdout.readline()
    assert "is being changed by process" in run(*arguments).sentence
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "To go on, run the same command with --resume." in said
    assert run(*arguments, "--resume").code == 0
    assert run("restore", image).code == 0
    assert files(image) == before


def test_chunks_and_shards_of_a_zarr_output(run, image, tmp_path):
    plain, cut = tmp_path / "plain.ome.zarr", tmp_path / "cut.ome.zarr"
    arguments = ("--defects", "3", *AVERAGE)
    assert run("repair", image, plain, *arguments).code == 0
    sizes = ("--chunks", "2,16,16", "--shards", "4,32,48")
    assert run("repair", image, cut, *arguments, *sizes).code == 0
    arrays = [zarr.open_array(path / "0", mode="r") for path in (plain, cut)]
    np.testing.assert_array_equal(*map(np.asarray, arrays))
    assert (arrays[1].chunks, arrays[1].shards) == ((2, 16, 16), (4, 32, 48))
    for name, given, words in (
        ("out.tif", sizes, "--chunks and --shards"),
        ("out.zarr", ("--chunks", "2,16,16", "--shards", "4,40,40"), "not made of whole chunks"),
        ("out.zarr", ("--chunks", "512"), "write them as in"),
        ("out.zarr", ("--chunks", "0,9,9"), "write them as in"),
    ):
        assert words in run("repair", image, tmp_path / name, *arguments, *given).sentence
