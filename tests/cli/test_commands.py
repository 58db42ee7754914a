from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_ssan import __version__
from napari_ssan.files import read_provenance
from napari_ssan.network.model_file import load_model, read_info


def test_info_in_words_and_as_json(run):
    assert __version__ in run("info").out
    facts = json.loads(run("info", "--json").out)
    assert facts["version"] == __version__
    assert facts["devices"][0]["name"] == "cpu"
    assert "ssan-fidelity" in [model["name"] for model in facts["models"]]
    assert all(model["terms"] for model in facts["models"])


def test_demo_writes_stacks_and_a_picture(run, tmp_path, tiny_model):
    folder = tmp_path / "new" / "demo"
    assert run("demo", folder, "--model", tiny_model, "--device", "cpu").code == 0
    repaired = tifffile.imread(folder / "repaired.ome.tif")
    broken = tifffile.imread(folder / "broken.ome.tif")
    assert np.flatnonzero((repaired != broken).any((1, 2))).tolist() == [6, 11, 16]
    assert len(read_provenance(folder / "repaired.ome.tif").sections) == 3
    picture = np.asarray(Image.open(folder / "before-after.png"))
    assert picture.shape[1] == 5 * 384
    assert run("demo", folder, "--model", tiny_model).code == 0


def test_demo_into_a_file_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be made" in run("demo", tmp_path / "file").sentence


def test_help_and_no_command(run):
    assert "repair" in run("--help").out
    assert run().code == 2
    assert run("frobnicate").code == 2


def test_help_loads_no_torch():
    code = "import sys; from napari_ssan.cli import app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_makes_a_model(run, stack, tmp_path):
    output = tmp_path / "mine.safetensors"
    small = ("--crop", "64", "--batch", "1", "--steps", "2", "--device", "cpu")
    volume = np.random.default_rng(0).integers(0, 255, (6, 80, 80)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "large.tif", volume, photometric="minisblack")
    source = f"{tmp_path / 'large.tif'}[0:5]"
    outcome = run("train", source, "--output", output, "--val", tmp_path / "large.tif", *small)
    assert outcome.code == 0, outcome.err
    card = read_info(output).card
    assert card["tile"] == 64
    assert card["trained_on"] == [source]
    assert card["curve"][-1]["step"] == 2
    assert np.isfinite(card["curve"][-1]["psnr"])
    load_model(output)
    again = tmp_path / "again.safetensors"
    assert run("train", source, "--output", again, "--base", output, *small).code == 0
    assert read_info(again).card["base"] == str(output)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--steps", "0"), "--steps"),
        (("--steps", "2", "--minutes", "1"), "either minutes or steps"),
        (("--preset", "huge", "--steps", "1"), "no preset"),
        (("--crop", "96", "--steps", "1"), "multiple of 64"),
        (("--crop", "128", "--steps", "1"), "smaller than a training crop"),
        (("--schedule", "wild", "--steps", "1"), "--schedule"),
        (("--loss", "L_2", "--steps", "1"), "--loss"),
        (("--loss", "L_s", "--steps", "1"), "VGG16"),
    ],
)
def test_wrong_training_options_are_refused(run, stack, tmp_path, options, reason):
    outcome = run("train", stack, "--output", tmp_path / "m.safetensors", *options)
    assert reason in outcome.sentence
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("part", ["[5:3]", "[0:99]", "[::0]"])
def test_sections_that_are_not_there_are_refused(run, stack, tmp_path, part):
    outcome = run("train", f"{stack}{part}", "--output", tmp_path / "m.safetensors")
    assert "not there" in outcome.sentence


def test_training_outputs_that_must_not_be_are_refused(run, stack, tmp_path):
    (tmp_path / "m.safetensors").write_text("precious")
    for name in ("m.safetensors", "m.txt", "absent/m.safetensors"):
        run("train", stack, "--output", tmp_path / name).sentence  # noqa: B018
    assert (tmp_path / "m.safetensors").read_text() == "precious"
