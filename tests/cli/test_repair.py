"""The command, from its options to its outputs.

Covers: napari_ssan.cli.marks
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_ssan.files import open_stack, read_provenance
from napari_ssan.network.model_file import SUFFIX, load_model, save_model

AVERAGE = ("--method", "average")


def leftovers(folder: Path, *expected: str) -> list[str]:
    return sorted({path.name for path in folder.iterdir()} - {"stack.tif", *expected})


def test_a_slice_is_repaired_and_the_rest_is_bit_identical(run, stack, volume, tmp_path):
    before = stack.read_bytes()
    assert run("repair", stack, tmp_path / "out.tif", "--defects", "3", *AVERAGE).code == 0
    out = tifffile.imread(tmp_path / "out.tif")
    np.testing.assert_array_equal(np.delete(out, 3, 0), np.delete(volume, 3, 0))
    assert (out[3] != volume[3]).any()
    assert stack.read_bytes() == before
    assert leftovers(tmp_path, "out.tif") == []
    (record,) = read_provenance(tmp_path / "out.tif").sections
    assert (record.section, record.neighbours, record.method) == (3, (2, 4), "average")


@pytest.mark.parametrize("name", ["out.tif", "out.ome.tif", "out.ome.zarr", "out.zarr"])
def test_every_output_reads_back_the_same(run, stack, tmp_path, name):
    assert run("repair", stack, tmp_path / name, "--defects", "2-3", *AVERAGE).code == 0
    assert run("repair", stack, tmp_path / "plain.tif", "--defects", "2,3", *AVERAGE).code == 0
    made = np.asarray(open_stack(tmp_path / name).data[...]).squeeze()
    np.testing.assert_array_equal(made, tifffile.imread(tmp_path / "plain.tif"))
    assert [r.section for r in read_provenance(tmp_path / name).sections] == [2, 3]


@pytest.mark.parametrize("name", ["error.tif", "error.ome.tif", "error.ome.zarr"])
def test_expected_errors_are_written_on_request(run, stack, volume, tmp_path, name):
    path = tmp_path / name
    arguments = ("--defects", "3,6", "--expected-error", path, *AVERAGE)
    assert run("repair", stack, tmp_path / "out.tif", *arguments).code == 0
    errors = np.asarray(open_stack(path).data[...]).squeeze()
    assert errors.dtype == np.float32
    assert errors.shape == volume.shape
    assert (errors[3] > 0).all()
    assert np.isnan(errors[6]).all()  # copied from one side
    assert not errors[[0, 1, 2, 4, 5]].any()
    first, last = read_provenance(tmp_path / "out.tif").sections
    assert first.error.mean == pytest.approx(errors[3].mean(), rel=1e-4)
    assert last.error is None
    assert leftovers(tmp_path, "out.tif", name) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, all names are UTF-8")
@pytest.mark.parametrize("name", ["out.tif", "out.ome.tif", "out.ome.zarr"])
def test_a_file_may_be_called_what_is_not_utf8(run, stack, volume, tmp_path, name):
    named = stack.rename(tmp_path / os.fsdecode(b"st\xffack.tif"))
    arguments = ("--defects", "3", "--report", tmp_path / "report.html", *AVERAGE)
    outcome = run("repair", named, tmp_path / name, *arguments)
    assert outcome.code == 0, outcome.err
    np.testing.assert_array_equal(open_stack(tmp_path / name).stack().read(0), volume[0])
    assert "st\\udcffack" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_old_name_of_expected_error_still_works_and_says_so(run, stack, tmp_path):
    arguments = ("--defects", "3", *AVERAGE)
    new, old = tmp_path / "new.tif", tmp_path / "old.tif"
    outcome = run("repair", stack, tmp_path / "1.tif", *arguments, "--expected-error", new)
    assert outcome.code == 0
    assert "--confidence" not in outcome.err
    outcome = run("repair", stack, tmp_path / "2.tif", *arguments, "--confidence", old)
    assert outcome.code == 0
    notes = [line for line in outcome.err.splitlines() if "--confidence" in line]
    assert notes == ["Note: --confidence is now --expected-error; the old name will be removed."]
    np.testing.assert_array_equal(tifffile.imread(old), tifffile.imread(new))
    assert "--confidence" not in run("repair", "--help").out


@pytest.mark.parametrize(
    "name", ["out.tif", "stack.tif", "out.synthetic.tif", "old.tif", "none/error.tif", "error.png"]
)
def test_expected_errors_replace_nothing(run, stack, volume, tmp_path, name):
    tifffile.imwrite(tmp_path / "old.tif", volume, photometric="minisblack")
    before = stack.read_bytes(), (tmp_path / "old.tif").read_bytes()
    arguments = ("--defects", "3", "--mask", "--expected-error", tmp_path / name, *AVERAGE)
    assert run("repair", stack, tmp_path / "out.tif", *arguments).sentence
    assert (stack.read_bytes(), (tmp_path / "old.tif").read_bytes()) == before
    assert leftovers(tmp_path, "old.tif") == []


def test_sections_are_inserted(run, stack, volume, tmp_path):
    out = tmp_path / "out.tif"
    assert run("repair", stack, out, "--insert-after", "2,2,4", *AVERAGE).code == 0
    made = tifffile.imread(out)
    assert made.shape == (10, 48, 64)
    np.testing.assert_array_equal(np.delete(made, [3, 4, 7], 0), volume)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("suffix", [".tif", ".png", ".zarr"])
def test_a_mask_marks_a_region(run, stack, volume, tmp_path, flat, suffix):
    mask = np.zeros(volume.shape[1:], np.uint8)
    mask[10:20, 30:44] = 255
    named = ["--defects", "3"] if flat else []
    if not flat:
        mask = np.where(np.arange(len(volume))[:, None, None] == 3, mask, 0).astype(np.uint8)
    path = tmp_path / f"mask{suffix}"
    if suffix == ".zarr":
        zarr.save_array(path, mask)
    elif suffix == ".png":
        if not flat:
            pytest.skip("a PNG is flat")
        from imageio.v3 import imwrite

        imwrite(path, mask)
    else:
        tifffile.imwrite(path, mask, photometric="minisblack")
    out = tmp_path / "out.tif"
    assert run("repair", stack, out, "--region", path, *named, *AVERAGE).code == 0
    made = tifffile.imread(out)
    changed = np.argwhere(made != volume)
    assert changed.min(axis=0).tolist() >= [3, 10, 30]
    assert (changed.max(axis=0) <= [3, 19, 43]).all()


def test_a_volume_mask_and_named_slices_are_both_repaired(run, stack, volume, tmp_path):
    mask = np.zeros(volume.shape, np.uint8)
    mask[2, 10:20, 10:20] = 1
    tifffile.imwrite(tmp_path / "mask.tif", mask, photometric="minisblack")
    arguments = ("--region", tmp_path / "mask.tif", "--defects", "5", *AVERAGE)
    assert run("repair", stack, tmp_path / "out.tif", *arguments).code == 0
    records = read_provenance(tmp_path / "out.tif").sections
    assert [(r.section, r.kind) for r in records] == [(2, "region"), (5, "whole")]


def test_marks_from_files(run, stack, tmp_path):
    (tmp_path / "marks.json").write_text(
        json.dumps(
            {"slices": [2], "regions": [{"slice": 4, "outline": [[5, 5], [5, 25], [25, 25]]}]}
        )
    )
    (tmp_path / "marks.csv").write_text("slice\n3\n")
    for name, sections in (("marks.json", [2, 4]), ("marks.csv", [3])):
        out = tmp_path / f"{name}.tif"
        assert run("repair", stack, out, "--defects-file", tmp_path / name, *AVERAGE).code == 0
        assert [r.section for r in read_provenance(out).sections] == sections


def test_the_network_repairs_with_a_model_from_a_path(run, stack, tmp_path, tiny_model):
    out = tmp_path / "out.tif"
    outcome = run("repair", stack, out, "--defects", "3", "--model", tiny_model, "--device", "cpu")
    assert outcome.code == 0, outcome.err
    (record,) = read_provenance(out).sections
    assert (record.method, record.model) == ("ssan", "tiny")


def test_histograms_are_matched_on_request(run, stack, volume, tmp_path):
    spread = {}
    for match in ("mean", "histogram"):
        out = tmp_path / f"{match}.tif"
        assert run("repair", stack, out, "--defects", "3", "--match", match, *AVERAGE).code == 0
        spread[match] = np.quantile(tifffile.imread(out)[3].astype(float), [0.05, 0.5, 0.95])
    wanted = np.quantile(volume[[2, 4]].astype(float), [0.05, 0.5, 0.95], axis=(1, 2)).mean(axis=1)
    np.testing.assert_allclose(spread["histogram"], wanted, atol=1.5)
    assert np.ptp(spread["mean"]) < np.ptp(spread["histogram"]) - 5


def test_the_mask_of_synthetic_pixels_on_request(run, stack, tmp_path):
    out = tmp_path / "out.tif"
    assert run("repair", stack, out, "--defects", "3", "--mask", *AVERAGE).code == 0
    mask = tifffile.imread(tmp_path / "out.synthetic.tif")
    np.testing.assert_array_equal(np.flatnonzero(mask.any((1, 2))), [3])


def test_a_slice_is_corrected_on_request(run, stack, volume, tmp_path):
    out, marks = tmp_path / "out.tif", tmp_path / "marks.json"
    options = ("--defects", "3", "--treatment", "correct", "--mask", *AVERAGE)
    assert run("repair", stack, out, *options).code == 0
    mask = tifffile.imread(tmp_path / "out.synthetic.tif")
    assert (mask[3] == 128).all()
    assert not np.delete(mask, 3, 0).any()
    (record,) = read_provenance(out).sections
    assert record.corrected
    marks.write_text('{"slices": [3, {"slice": 6, "treatment": "correct"}]}')
    assert run("repair", stack, tmp_path / "b.tif", "--defects-file", marks, *AVERAGE).code == 0
    records = read_provenance(tmp_path / "b.tif").sections
    assert [record.corrected for record in records] == [False, True]
    whole = ("--defects-file", marks, "--treatment", "synthesize", *AVERAGE)
    assert run("repair", stack, tmp_path / "c.tif", *whole).code == 0
    assert read_provenance(tmp_path / "c.tif").numbers == {3, 6}


def test_a_synthetic_neighbour_is_told_of(run, stack, tmp_path):
    first, second, third = (tmp_path / f"{number}.tif" for number in range(3))
    assert run("repair", stack, first, "--defects", "3", *AVERAGE).code == 0
    assert (
        "slice 3 was used as a neighbour"
        in run("repair", first, second, "--defects", "4", *AVERAGE).err
    )
    assert "as a neighbour" not in run("repair", first, third, "--defects", "3,4", *AVERAGE).err


def test_notices_are_said(run, stack, tmp_path):
    outcome = run("repair", stack, tmp_path / "out.tif", "--defects", "6", *AVERAGE)
    assert outcome.code == 0
    assert "one side only" in outcome.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "Nothing is marked"),
        (("--defects", "-1"), "names no slice"),
        (("--defects", "4-2"), "backwards"),
        (("--defects", "four"), "names no slice"),
        (("--defects", "7"), "not in the stack"),
        (("--defects", "0-6"), "Every slice"),
        (("--insert-after", "6"), "inserted"),
        (("--insert-after", "x"), "names no slice"),
        (("--defects-file", "absent.json"), "cannot be read"),
        (("--defects", "3", "--method", "magic"), "'magic' is not one of 'ssan', 'copy'"),
        (("--defects", "3", "--match", "magic"), "'magic' is not one of 'auto', 'mean'"),
        (("--defects", "3", "--views", "3"), "1, 2, 4 or 8 views"),
        (("--defects", "3", "--model", "absent"), "no model"),
        (("--defects", "3", "--device", "cuda:77"), "device"),
        (("--defects", "3", "--device", "toaster"), "device"),
        (("--defects", "3", "--device", "cuda:0", "--method", "average"), "CPU only"),
        (("--defects", "3", "--frobnicate"), "No such option"),
    ],
)
def test_wrong_options_are_refused(run, stack, tmp_path, tiny_model, options, reason):
    if "--model" not in options and "--method" not in options:
        options = (*options, "--model", tiny_model)
    assert reason in run("repair", stack, tmp_path / "out.tif", *options).sentence
    assert leftovers(tmp_path) == []


def test_masks_that_do_not_fit_are_refused(run, stack, volume, tmp_path):
    for name, mask, reason in (
        ("empty", np.zeros(volume.shape[1:], np.uint8), "empty"),
        ("other", np.ones((20, 20), np.uint8), "shape"),
        ("short", np.ones((3, 48, 64), np.uint8), "shape"),
    ):
        tifffile.imwrite(tmp_path / f"{name}.tif", mask, photometric="minisblack")
        arguments = ("--region", tmp_path / f"{name}.tif", "--defects", "3", *AVERAGE)
        assert reason in run("repair", stack, tmp_path / "out.tif", *arguments).sentence
    tifffile.imwrite(tmp_path / "flat.tif", np.ones((48, 64), np.uint8))
    arguments = ("--region", tmp_path / "flat.tif", *AVERAGE)
    assert "--defects" in run("repair", stack, tmp_path / "out.tif", *arguments).sentence


@pytest.mark.parametrize("damage", ["truncated", "altered", "text"])
def test_damaged_models_are_refused(run, stack, tmp_path, tiny_model, damage):
    content = bytearray(Path(tiny_model).read_bytes())
    path = tmp_path / f"model{SUFFIX}"
    if damage == "altered":
        content[-5] ^= 0xFF
    path.write_bytes({"truncated": content[:-100], "text": b"hello"}.get(damage, content))
    outcome = run("repair", stack, tmp_path / "out.tif", "--defects", "3", "--model", path)
    assert "cannot be used as a model" in outcome.sentence


def test_outputs_that_must_not_be_are_refused(run, stack, tmp_path):
    existing = tmp_path / "existing.tif"
    existing.write_bytes(b"precious")
    for output, reason in (
        (tmp_path / "out.jpg", "must end in"),
        (tmp_path / "absent" / "out.tif", "does not exist"),
        (stack, "input itself"),
        (existing, "exists already"),
    ):
        assert reason in run("repair", stack, output, "--defects", "3", *AVERAGE).sentence
    arguments = ("--defects", "3", "--overwrite", *AVERAGE)
    assert "input itself" in run("repair", stack, stack, *arguments).sentence
    assert existing.read_bytes() == b"precious"
    assert run("repair", stack, existing, *arguments).code == 0
    assert tifffile.imread(existing).shape == (7, 48, 64)


def test_axes_that_an_output_has_not_are_refused_before_the_repair(run, volume, tmp_path):
    # the sentence stands alone: not even a slice was said to be repaired
    xyz, arguments = tmp_path / "xyz.zarr", ("--defects", "3", *AVERAGE)
    zarr.create_array(xyz, data=volume.T, dimension_names=["x", "y", "z"])
    outcome = run("repair", xyz, tmp_path / "out.ome.tif", *arguments)
    assert "OME-TIFF cannot hold the axes 'xyz'" in outcome.sentence
    error = ("--expected-error", tmp_path / "error.ome.tif")
    outcome = run("repair", xyz, tmp_path / "out.ome.zarr", *arguments, *error)
    assert "OME-TIFF cannot hold the axes 'xyz'" in outcome.sentence
    odd = tmp_path / "odd.tif"
    tifffile.imwrite(
        odd, volume[None, None, None], metadata={"axes": "HRTZYX"}, photometric="minisblack"
    )
    outcome = run("repair", odd, tmp_path / "out.ome.zarr", *arguments)
    assert "OME-Zarr cannot hold the axes" in outcome.sentence


def test_expected_errors_of_half_floats_fit_ome_tiff(run, volume, tmp_path):
    half, error = tmp_path / "half.tif", tmp_path / "error.ome.tif"
    tifffile.imwrite(half, volume.astype(np.float16), photometric="minisblack")
    arguments = ("--defects", "3", "--expected-error", error, *AVERAGE)
    assert run("repair", half, tmp_path / "out.tif", *arguments).code == 0
    assert open_stack(error).data.dtype == np.float32


def test_nothing_that_is_read_is_overwritten(run, stack, tmp_path, tiny_model):
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:20] = 1
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    tifffile.imwrite(tmp_path / "out.synthetic.tif", mask)
    for name, options in (("mask.tif", ()), ("out.tif", ("--mask",))):
        region = tmp_path / ("mask.tif" if name == "mask.tif" else "out.synthetic.tif")
        before = region.read_bytes()
        arguments = ("--region", region, "--defects", "3", "--overwrite", *options, *AVERAGE)
        assert "never changed" in run("repair", stack, tmp_path / name, *arguments).sentence
        assert region.read_bytes() == before


def test_further_images_of_a_file_are_told_of(run, volume, tmp_path):
    with tifffile.TiffWriter(tmp_path / "several.tif") as tiff:
        tiff.write(volume, photometric="minisblack")
        tiff.write(volume[:3, :40], photometric="minisblack")
    outcome = run(
        "repair", tmp_path / "several.tif", tmp_path / "out.tif", "--defects", "3", *AVERAGE
    )
    assert outcome.code == 0
    assert "the first is used" in outcome.err


def write_broken(folder: Path, kind: str, volume: np.ndarray) -> Path:
    path = folder / "input.tif"
    if kind == "rgb":
        tifffile.imwrite(path, np.stack([volume] * 3, -1), photometric="rgb")
    elif kind == "single":
        tifffile.imwrite(path, volume[0])
    elif kind == "constant":
        tifffile.imwrite(path, np.full_like(volume, 9), photometric="minisblack")
    elif kind == "nan":
        broken = np.full(volume.shape, np.nan, np.float32)
        tifffile.imwrite(path, broken, photometric="minisblack")
    elif kind == "inf":
        broken = volume.astype(np.float32)
        broken[:, 3, 3] = np.inf
        tifffile.imwrite(path, broken, photometric="minisblack")
    elif kind == "truncated":
        tifffile.imwrite(path, volume, photometric="minisblack")
        path.write_bytes(path.read_bytes()[:-2000])
    elif kind == "text":
        path.write_text("This is no image.")
    elif kind == "zarr":
        path = folder / "input.zarr"
        zarr.create_group(path)
    return path


@pytest.mark.parametrize(
    "kind", ["rgb", "single", "constant", "nan", "inf", "truncated", "text", "zarr", "absent"]
)
def test_inputs_that_cannot_be_repaired_are_refused(run, volume, tmp_path, kind):
    path = write_broken(tmp_path, kind, volume)
    before = sorted(tmp_path.rglob("*"))
    run("repair", path, tmp_path / "out.tif", "--defects", "0", *AVERAGE).sentence  # noqa: B018
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("more", [(), ("--workers", "2")])
def test_a_dataset_that_is_not_there_is_refused_with_those_that_are(run, volume, tmp_path, more):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "stack.h5"
    with h5py.File(path, "w") as file:
        file["volumes/raw"] = file["volumes/other"] = volume
    wanted = ("repair", f"{path}:/volumes/nothing", tmp_path / "out.zarr", "--defects", "3", *more)
    assert run(*wanted, *AVERAGE).sentence == (
        "napari-ssan: stack.h5 holds no dataset '/volumes/nothing'; the file holds "
        "/volumes/other, /volumes/raw."
    )
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_nothing_behind(run, stack, tmp_path, monkeypatch):
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_ssan.engine.stored.np.lib.format.write_array_header_1_0", full)
    outcome = run("repair", stack, tmp_path / "out.tif", "--defects", "3", *AVERAGE)
    assert outcome.code == 2
    assert "the disk is full" in outcome.err.splitlines()[-1]
    assert "Traceback" not in outcome.err
    assert leftovers(tmp_path) == []


def test_a_slice_that_cannot_be_read_is_repaired(run, volume, tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, volume, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[3].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + 100] = bytes(100)
    path.write_bytes(content)
    arguments = (path, tmp_path / "out.tif", "--mask", *AVERAGE)
    refused = run("repair", *arguments, "--defects", "2")
    assert refused.code == 2
    assert "stack.tif cannot be read at slice 3" in refused.err
    assert leftovers(tmp_path) == []
    assert run("repair", *arguments, "--defects", "3").code == 0
    out = tifffile.imread(tmp_path / "out.tif")
    np.testing.assert_array_equal(np.delete(out, 3, 0), np.delete(volume, 3, 0))


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(
    ("number", "output", "phase", "last"),
    [
        (signal.SIGINT, "out.tif", "synthesis", b"Stopped."),
        (signal.SIGINT, "out.ome.zarr", "writing", b"Stopped."),
        (signal.SIGTERM, "out.ome.zarr", "writing", b"Stopped by SIGTERM."),
        (signal.SIGHUP, "out.tif", "synthesis", b"Stopped by SIGHUP."),
    ],
)
def test_signals_leave_nothing_behind(tmp_path, number, output, phase, last):
    volume = np.random.default_rng(0).integers(0, 255, (40, 512, 512)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", volume, photometric="minisblack")
    # zarr's threads write slowly, so that they are still at it when the signal comes
    script = """
        import time
        from napari_ssan.cli import main
        from zarr.storage import LocalStore
        put = LocalStore.set
        async def slow(self, key, value):
            time.sleep(0.05)
            await put(self, key, value)
        LocalStore.set = slow
        main()
    """
    how = ("1", "--method", "average") if phase == "writing" else ("1-38", "--method", "tvl1")
    arguments = ["repair", "stack.tif", output, "--defects", *how]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        # Where the tests run in the background, interrupts are ignored, by children too.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    wanted = f".*.part/{output}/0" if phase == "writing" else f".*.part/{output}"
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(wanted)) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    process.send_signal(number)  # as a terminal and a shell do
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert b"Traceback" not in err
    assert err.rstrip().endswith(last)
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_what_a_killed_run_left_is_removed_by_the_next(run, stack, tmp_path):
    script = """
        import os, signal
        from napari_ssan.cli import main
        from napari_ssan.files import save
        save.write_tiff = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        main()
    """
    arguments = ["repair", "stack.tif", "out.tif", "--defects", "3", "--mask", *AVERAGE]
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments], cwd=tmp_path, check=False
    )
    assert len(leftovers(tmp_path)) == 3
    outcome = run("repair", stack, tmp_path / "other.tif", "--defects", "3", *AVERAGE)
    assert outcome.code == 0
    assert outcome.err.count("Note: 3 hidden folders that a killed run had left were removed") == 1
    assert leftovers(tmp_path, "other.tif") == []


def test_a_swap_that_was_killed_is_finished_by_the_next_run(run, stack, tmp_path):
    output, mask = tmp_path / "out.ome.zarr", tmp_path / "out.synthetic.ome.zarr"
    arguments = ("repair", stack, output, "--mask", "--overwrite", *AVERAGE)
    assert run(*arguments, "--defects", "3").code == 0
    script = """
        import os, signal
        from pathlib import Path
        from napari_ssan.cli import main
        rename = Path.rename
        def kill(this, target):
            if target.name == "out.ome.zarr" and this.parent.suffix == ".part":
                os._exit(9)
            return rename(this, target)
        Path.rename = kill
        main()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run([*command, "--defects", "4"], check=False, capture_output=True)
    assert done.returncode == 9, done.stderr
    assert not output.exists()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    missing = run("repair", output, elsewhere / "new.tif", "--defects", "5", *AVERAGE).sentence
    assert "was being replaced when a run was killed, and lies in" in missing
    assert ".out.ome.zarr." in missing
    outcome = run(*arguments[:3], "--defects", "5", *AVERAGE)
    assert outcome.code == 2
    assert "killed while it replaced out.ome.zarr and out.synthetic.ome.zarr" in outcome.err
    assert "exists already" in outcome.err
    assert [r.section for r in read_provenance(output).sections] == [4]
    flat = np.asarray(open_stack(mask).data[...]).any((1, 2))
    np.testing.assert_array_equal(np.flatnonzero(flat), [4])
    assert leftovers(tmp_path, output.name, mask.name, "elsewhere") == []


@pytest.mark.parametrize("name", ["out.tif", "out.ome.zarr"])
def test_a_synthesis_that_is_not_finite_writes_nothing(run, stack, tmp_path, tiny_model, name):
    model = load_model(tiny_model)
    for parameter in model.network.parameters():
        parameter.data.mul_(1e30)
    huge = tmp_path / "huge.safetensors"
    save_model(huge, model.network, {"tile": 64})
    outcome = run("repair", stack, tmp_path / name, "--defects", "3", "--model", huge)
    assert "synthesis of slice 3 is infinite or NaN" in outcome.sentence
    assert leftovers(tmp_path, "huge.safetensors") == []


def test_metadata_hold_no_nan(run, tmp_path, volume):
    path = tmp_path / "in.ome.zarr"
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    steps = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    record = {"section": 2, "kind": "whole", "share": 1, "neighbours": [1, 3], "position": 0.5}
    error = dict.fromkeys(("mean", "highest", "contrast"), float("nan")) | {"y": 0, "x": 0}
    provenance = {"sections": [record | {"method": "average", "error": error}]}
    window = {"start": 0, "end": 255, "min": 0, "max": float("nan")}
    ome = {"version": "0.5", "multiscales": [image]}
    ome["omero"] = {"channels": [{"color": "FFFFFF", "window": window}]}
    group = zarr.create_group(path, attributes={"ome": ome, "napari_ssan": provenance})
    group.create_array("0", data=volume)
    for name in ("out.ome.zarr", "out.tif"):
        # The second has the same table of section numbers beside it.
        arguments = ("--defects", "5", "--insert-after", "5", "--overwrite", *AVERAGE)
        assert run("repair", path, tmp_path / name, *arguments).code == 0
        assert [r.section for r in read_provenance(tmp_path / name).sections] == [2, 5, 6]
    text = (tmp_path / "out.ome.zarr" / "zarr.json").read_text()
    json.loads(text, parse_constant=pytest.fail)
    assert b"NaN" not in (tmp_path / "out.tif").read_bytes()


def test_a_report_is_written_on_request(run, stack, tmp_path):
    page = tmp_path / "report.html"
    arguments = ("--defects", "3,6", "--report", page, *AVERAGE)
    outcome = run("repair", stack, tmp_path / "out.tif", *arguments)
    assert outcome.code == 0
    text = page.read_text(encoding="utf-8")
    assert "What was repaired in stack.tif?" in text
    assert text.count("<h3>") == 2
    assert leftovers(tmp_path, "out.tif", "report.html") == []
    refused = run("repair", stack, tmp_path / "new.tif", *arguments)
    assert refused.sentence
    assert "--overwrite" in refused.err
    assert leftovers(tmp_path, "out.tif", "report.html") == []


@pytest.mark.parametrize("name", ["report.txt", "stack.tif", "none/report.html"])
def test_a_report_replaces_nothing(run, stack, tmp_path, name):
    before = stack.read_bytes()
    arguments = ("--defects", "3", "--report", tmp_path / name, *AVERAGE)
    assert run("repair", stack, tmp_path / "out.tif", *arguments).sentence
    assert stack.read_bytes() == before
    assert leftovers(tmp_path) == []
