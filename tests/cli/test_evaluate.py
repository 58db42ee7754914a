from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_ssan.evaluation.measures import MEASURES
from napari_ssan.segmenter.training import SegmenterSettings, two_fold

FAST = ("--methods", "copy,average")
KEYS = {measure.key for measure in MEASURES} | {"bands", "seconds"}


def leftovers(folder: Path, *expected: str) -> list[str]:
    return sorted({path.name for path in folder.iterdir()} - {"stack.tif", *expected})


def evaluate(run, stack, tmp_path, *options, name="out.json"):
    """Run with success, and return the JSON."""
    outcome = run("evaluate", stack, *FAST, "--json", tmp_path / name, *options)
    assert outcome.code == 0, outcome.err
    return json.loads((tmp_path / name).read_text())


def without_seconds(result):
    for row in result["methods"].values():
        del row["seconds"]
        for each in row["per_slice"]:
            del each["seconds"]
    return result


def test_the_network_and_baselines_are_judged(run, stack, tmp_path, tiny_model):
    before = stack.read_bytes()
    files = ("--json", tmp_path / "out.json", "--html", tmp_path / "out.html")
    methods = ("--methods", "copy,average,ssan", "--model", tiny_model, "--device", "cpu")
    outcome = run("evaluate", stack, "--slices", "2,4", *methods, *files)
    assert outcome.code == 0, outcome.err
    assert "On this stack the network comes closer" in outcome.out
    assert "PSNR" in outcome.out
    assert "evaluating" in outcome.err
    result = json.loads((tmp_path / "out.json").read_text())
    assert list(result["methods"]) == ["copy", "average", "ssan"]
    assert all(set(row) >= KEYS for row in result["methods"].values())
    assert result["slices"] == [2, 4]
    assert result["settings"]["stack"] == "stack.tif"
    assert result["settings"]["models"]["ssan"]["name"] == "tiny"
    assert set(result["versions"]) >= {"napari-ssan", "torch", "python"}
    assert str(tmp_path) not in (tmp_path / "out.json").read_text()
    assert str(tmp_path) not in (tmp_path / "out.html").read_text()
    assert "stack.tif" in (tmp_path / "out.html").read_text()
    assert leftovers(tmp_path, "out.json", "out.html") == []
    assert stack.read_bytes() == before


def test_auto_takes_all_good_slices_of_a_short_stack(run, stack, volume, tmp_path):
    # Without grain, a spot of this structure is taken for a hole.
    grain = np.random.default_rng(1).normal(0, 4, volume.shape)
    grainy = (volume + grain).clip(1, 254).astype(np.uint8)
    tifffile.imwrite(stack, grainy, photometric="minisblack")
    assert evaluate(run, stack, tmp_path)["slices"] == [1, 2, 3, 4, 5]


def test_a_second_run_finds_the_same(run, stack, tmp_path):
    first, second = (
        without_seconds(evaluate(run, stack, tmp_path, name=name)) for name in ("a.json", "b.json")
    )
    assert first == second


def test_drift_can_be_left_out(run, volume, tmp_path):
    drifting = np.stack([np.roll(section, 8 * (z % 2), axis=1) for z, section in enumerate(volume)])
    tifffile.imwrite(tmp_path / "drifting.tif", drifting)
    plain, aligned = (
        evaluate(run, tmp_path / "drifting.tif", tmp_path, *more, name=f"{len(more)}.json")
        for more in ((), ("--align", "--html", tmp_path / "out.html"))
    )
    assert (plain["settings"]["aligned"], aligned["settings"]["aligned"]) == (False, True)
    gains = [
        aligned["methods"][name]["psnr"] - plain["methods"][name]["psnr"]
        for name in ("copy", "average")
    ]
    assert min(gains) > 2
    assert "registered to them first" in (tmp_path / "out.html").read_text()


def test_gaps(run, stack, tmp_path):
    result = evaluate(run, stack, tmp_path, "--slices", "1-5", "--gap", "2")
    assert result["slices"] == [1, 2, 3, 4]
    assert result["settings"]["gap"] == 2
    assert "5" in result["settings"]["left_out"]


def test_marked_slices_are_neither_truth_nor_neighbours(run, stack, tmp_path):
    assert evaluate(run, stack, tmp_path, "--defects", "2")["slices"] == [4, 5]
    (tmp_path / "marks.csv").write_text("slice\n5\n")
    marks = ("--defects", tmp_path / "marks.csv", "--overwrite")
    assert evaluate(run, stack, tmp_path, *marks)["slices"] == [1, 2, 3]


def test_synthetic_slices_are_no_truth(run, stack, tmp_path):
    repaired = tmp_path / "repaired.tif"
    run("repair", stack, repaired, "--defects", "3", "--method", "average")
    assert evaluate(run, repaired, tmp_path)["slices"] == [1, 5]


def test_slices_at_the_end_are_left_out_with_a_note(run, stack, tmp_path):
    outcome = run("evaluate", stack, *FAST, "--slices", "0-2")
    assert outcome.code == 0
    assert "slice 0 is left out: it has no slice on both sides" in outcome.err
    assert "Left out: slice 0" in " ".join(outcome.out.split())


def test_models_are_compared(run, stack, tmp_path, tiny_model):
    other = tmp_path / "other.safetensors"
    other.write_bytes(Path(tiny_model).read_bytes())
    models = ("--model", tiny_model, "--model", other, "--methods", "ssan,average")
    outcome = run("evaluate", stack, "--slices", "3", *models, "--json", tmp_path / "out.json")
    assert outcome.code == 0, outcome.err
    rows = json.loads((tmp_path / "out.json").read_text())["methods"]
    assert list(rows) == ["ssan", "ssan:other", "average"]
    assert rows["ssan"]["psnr"] == rows["ssan:other"]["psnr"]
    assert "two models" in run("evaluate", stack, *models, "--model", other).sentence.lower()


def test_the_network_averages_over_views(run, stack, tmp_path, tiny_model):
    options = ("--slices", "2", "--methods", "average,ssan", "--model", tiny_model)
    one = evaluate(run, stack, tmp_path, *options, name="one.json")
    outcome = run("evaluate", stack, *options, "--views", "8", "--json", tmp_path / "eight.json")
    eight = json.loads((tmp_path / "eight.json").read_text())
    assert "averaged over 8 views" in outcome.out
    assert (one["settings"]["views"], eight["settings"]["views"]) == (1, 8)
    assert one["methods"]["ssan"]["psnr"] != eight["methods"]["ssan"]["psnr"]
    assert one["methods"]["average"]["psnr"] == eight["methods"]["average"]["psnr"]


def test_a_report_needs_no_network(run, stack, tmp_path):
    report = tmp_path / "report.html"
    outcome = run("evaluate", stack, "--slices", "3", "--methods", "average", "--html", report)
    assert outcome.code == 0, outcome.err
    assert "averaging" in report.read_text()
    refused = run("evaluate", stack, "--methods", "average", "--model", "ssan-realistic")
    assert "--model needs the method ssan" in refused.sentence


@pytest.fixture
def labels(volume, tmp_path, monkeypatch) -> Path:
    """Membranes where it is dark; what is trained on them is trained in a moment."""
    settings = SegmenterSettings(steps=2, batch=1, crop=16, channels=(4, 8))
    quick = partial(two_fold, settings=settings, folder=tmp_path / "judges")
    # By its name the package offers the command, not the module.
    monkeypatch.setattr(import_module("napari_ssan.cli.evaluate"), "two_fold", quick)
    path = tmp_path / "labels.tif"
    dark = np.where(volume < 100, 0, 255).astype(np.uint8)
    tifffile.imwrite(path, dark, photometric="minisblack")
    return path


def test_labels_are_the_truth(run, stack, tmp_path, labels):
    outcome = run("evaluate", stack, *FAST, "--labels", labels, "--json", tmp_path / "out.json")
    assert outcome.code == 0, outcome.err
    assert "training the segmenter" in outcome.err
    result = json.loads((tmp_path / "out.json").read_text())
    assert 0 <= result["real"]["dice"] < 1
    assert result["settings"]["labels"] == "labels.tif"
    assert result["settings"]["segmenter"] == "two-fold"
    assert len(list((tmp_path / "judges").iterdir())) == 2


def test_labels_that_do_not_fit_are_refused(run, stack, volume, tmp_path, labels):
    short = tmp_path / "short.tif"
    for wrong, said in (
        (volume[:3], "shape (3, 48, 64)"),
        (volume, "more than two values"),
        (np.zeros_like(volume), "only one value"),
    ):
        tifffile.imwrite(short, wrong, photometric="minisblack")
        assert said in run("evaluate", stack, *FAST, "--labels", short).sentence


def test_without_labels_the_real_slices_tell(run, stack, tmp_path):
    result = evaluate(run, stack, tmp_path, "--slices", "3")
    assert result["real"] == {"dice": None, "f1": None}
    assert 0 <= result["methods"]["average"]["dice"] <= 1
    assert result["settings"]["segmenter"] == "bundled"


def test_sections_along_another_axis(run, volume, stack, tmp_path):
    turned = tmp_path / "turned.tif"
    tifffile.imwrite(turned, np.moveaxis(volume, 0, 2), photometric="minisblack")
    first = evaluate(run, stack, tmp_path, "--slices", "3")
    second = evaluate(run, turned, tmp_path, "--slices", "3", "--z-axis", "2", "--overwrite")
    assert second["settings"]["shape"] == [7, 48, 64]
    assert without_seconds(first)["methods"] == without_seconds(second)["methods"]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_other_pixels(run, volume, tmp_path, dtype):
    path = tmp_path / "stack.zarr"
    zarr.save_array(path, volume.astype(dtype) * dtype(1.5))
    result = evaluate(run, path, tmp_path, "--slices", "2,3")
    assert result["methods"]["average"]["psnr"] > 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--methods", "magic"), "--methods takes any of copy,average"),
        (("--methods", ","), "--methods takes any of"),
        (("--model", "absent", "--methods", "ssan"), "no model 'absent'"),
        (("--views", "8"), "--views needs the method ssan"),
        (("--views", "3", "--methods", "ssan"), "1, 2, 4 or 8 views"),
        (("--slices", "3,99"), "Slice 99 is not in the stack"),
        (("--slices", "some"), "names no slice"),
        (("--slices", ""), "No slice is named"),
        (("--gap", "4"), "1, 2 or 3"),
        (("--defects", "99"), "Slice 99 is not in the stack"),
        (("--defects", "absent.json"), "absent.json"),
        (("--vgg", "absent.safetensors"), "absent.safetensors"),
        (("--labels", "absent.tif"), "absent.tif"),
        (("--z-axis", "5"), "no axis 5"),
        (("--seed", "-1"), "--seed"),
        (("--device", "quantum"), "quantum"),
        (("--json", "out.txt"), "must end in .json"),
        (("--html", "absent/out.html"), "does not exist"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(run, stack, tmp_path, options, said):
    assert said in run("evaluate", stack, *FAST, *options).sentence
    assert leftovers(tmp_path) == []


def test_stacks_that_are_too_small_are_refused(run, tmp_path):
    for shape in ((2, 48, 48), (7, 20, 90)):
        tifffile.imwrite(tmp_path / "stack.tif", np.ones(shape, np.uint8), photometric="minisblack")
        assert "needed" in run("evaluate", tmp_path / "stack.tif", *FAST).sentence
    assert "does not exist" in run("evaluate", tmp_path / "absent.tif").sentence


def test_nothing_is_replaced_unasked(run, stack, tmp_path):
    for option, name in (("--json", "out.json"), ("--html", "out.html")):
        (tmp_path / name).write_text("precious")
        assert "exists already" in run("evaluate", stack, *FAST, option, tmp_path / name).sentence
        assert (tmp_path / name).read_text() == "precious"
        (tmp_path / name).unlink()
    marks = tmp_path / "marks.json"
    marks.write_text('{"slices": [3]}')
    refused = run("evaluate", stack, *FAST, "--defects", marks, "--json", marks, "--overwrite")
    assert "is an input" in refused.sentence
    assert marks.read_text() == '{"slices": [3]}'


def test_what_exists_is_replaced_when_asked(run, stack, tmp_path):
    (tmp_path / "out.json").write_text("old")
    assert evaluate(run, stack, tmp_path, "--overwrite")["slices"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_leaves_nothing_behind(tmp_path):
    volume = np.random.default_rng(0).integers(0, 255, (40, 512, 512)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", volume, photometric="minisblack")
    command = [sys.executable, "-c", "from napari_ssan.cli import main; main()", "evaluate"]
    arguments = ["stack.tif", "--slices", "1-38", "--methods", "tvl1", "--json", "out.json"]
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env=os.environ | {"FORCE_COLOR": "1"},  # bars while it runs
        # Where the tests run in the background, interrupts are ignored, by children too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    seen = b""
    while b"evaluating" not in seen:
        more = os.read(process.stderr.fileno(), 4096)
        assert more, seen
        seen += more
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert err.rstrip().endswith(b"Stopped.")
    assert leftovers(tmp_path) == []
