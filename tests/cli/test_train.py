"""Covers: napari_ssan.cli.training"""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter

from napari_ssan.errors import BadInput
from napari_ssan.losses import vgg_weights
from napari_ssan.network.model_file import load_model, read_info, save_model
from napari_ssan.network.ssan import SSAN, SSANConfig
from napari_ssan.segmenter.segmenter import Segmenter, save_segmenter
from napari_ssan.segmenter.unet import UNet

SMALL = ("--steps", "2", "--device", "cpu")


@pytest.fixture
def blobs(tmp_path) -> Path:
    """A stack of 14 sections."""
    structure = gaussian_filter(np.random.default_rng(0).standard_normal((14, 72, 72)), (1, 2, 2))
    volume = (128 + 40 * structure / structure.std()).clip(0, 255).astype(np.uint8)
    path = tmp_path / "blobs.tif"
    tifffile.imwrite(path, volume, photometric="minisblack")
    return path


@pytest.fixture
def base(tmp_path) -> Path:
    """A tiny network to start from."""
    torch.manual_seed(0)
    network = SSAN(SSANConfig(features=8, blocks=1, layers=1, growth=8, attention=(2, 2)))
    path = tmp_path / "base.safetensors"
    save_model(path, network, {"tile": 32})
    return path


@pytest.fixture
def vgg(tmp_path) -> Path:
    tensors = {}
    for number, channels in ((0, 3), (2, 4)):
        tensors[f"features.{number}.weight"] = torch.randn(4, channels, 3, 3)
        tensors[f"features.{number}.bias"] = torch.zeros(4)
    save_file(tensors, tmp_path / "vgg.safetensors")
    return tmp_path / "vgg.safetensors"


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch) -> Path:
    """Weights of VGG16 that were fetched before are not there."""
    path = tmp_path / "cache" / "vgg16.safetensors"
    monkeypatch.setattr(vgg_weights, "cached", lambda: path)
    return path


def test_training_makes_a_model(run, blobs, base, tmp_path, config):
    output = tmp_path / "mine.safetensors"
    source, held = f"{blobs}[0:9]", f"{blobs}[9:14]"
    options = config('terms = "CC BY"\nsummary = "for blobs"\n')
    options += ("--threads", torch.get_num_threads())
    outcome = run(
        "train", source, "--output", output, "--base", base, "--val", held, *SMALL, *options
    )
    assert outcome.code == 0, outcome.err
    assert f"Wrote {output}" in outcome.err.replace("\n", "")
    for word in ("CPU", "triplets", "average: PSNR", "tvl1: PSNR", "step 2: PSNR", "The model: "):
        assert word in outcome.err
    card = read_info(output).card
    assert card["tile"] == 32
    assert card["trained_on"] == [source]
    assert card["validated_on"] == [held]
    assert card["base"] == str(base)
    assert card["terms"] == "CC BY"
    assert card["summary"] == "for blobs"
    assert card["loss"] == "L_1"
    assert card["match"] == "mean"
    assert card["training"]["steps"] == 2
    assert card["curve"][-1]["step"] == 2
    assert np.isfinite(card["curve"][-1]["psnr"])
    assert load_model(output).network.config.features == 8


def test_a_preset_with_marks_and_without_validation(run, blobs, tmp_path, config):
    output = tmp_path / "mine.safetensors"
    settings = """
        crop = 64
        batch = 1
        match = "histogram"
        views = 2  # a key of older versions
        select = false
        schedule = "warm"
        [augmentation]
        zoom = 2
        noise = 0.5
        blur = 1.5
        grain = 0.7
    """
    options = ("--defects", "3", *SMALL, *config(settings, tiny=""))
    outcome = run("train", blobs, "--output", output, *options)
    assert outcome.code == 0, outcome.err
    assert "Held out for validation: slices 11-13" in outcome.err
    assert "left out: 3 marked" in outcome.err
    info = read_info(output)
    assert info.card["base"] is None
    assert info.card["match"] == "histogram"
    assert "views" not in info.card
    assert info.config["scale"] == 2
    settings = info.card["training"]
    vary = settings["augmentation"]
    assert [vary[key] for key in ("zoom", "noise", "blur", "grain")] == [2, 0.5, 1.5, 0.7]
    assert not settings["select"]


@pytest.fixture
def segmenter(tmp_path) -> Path:
    network = UNet((4, 4))
    save_segmenter(tmp_path / "lines.safetensors", Segmenter(network.eval(), {"lines of": ["a"]}))
    return tmp_path / "lines.safetensors"


def test_membranes_are_weighed_as_a_segmenter_finds_them(
    run, blobs, base, tmp_path, segmenter, config
):
    output = tmp_path / "mine.safetensors"
    weight = config(f"segmenter = '{segmenter}'\n[loss]\nmembranes = 0.5")
    outcome = run("train", blobs, "--output", output, "--base", base, *SMALL, *weight)
    assert outcome.code == 0, outcome.err
    card = read_info(output).card
    assert card["loss_weights"] == {"pixel": 1.0, "membranes": 0.5}
    assert card["segmenter"] == {"lines of": ["a"]}
    assert card["curve"][-1]["membranes"] > 0
    with output.with_suffix(".training.csv").open(newline="") as table:
        assert [float(row["membranes"]) > 0 for row in csv.DictReader(table) if row["pixel"]]


def test_texture_is_trained_with_weights_of_vgg16(run, blobs, base, tmp_path, vgg, config):
    output = tmp_path / "mine.safetensors"
    weights = "[loss]\nstyle = 5\nstructure = 0.1\nscales = [1, 2]\nepsilon_squared = 0.01"
    texture = ("--loss", "L_s", *config(weights))
    arguments = ("train", blobs, "--output", output, "--base", base, *SMALL, *texture)
    outcome = run(*arguments, "--vgg", vgg)
    assert outcome.code == 0, outcome.err
    assert "relu1_2" in outcome.err
    card = read_info(output).card
    assert card["loss"] == "L_s"
    assert card["loss_weights"]["style"] == 5
    assert card["loss_weights"]["structure"] == 0.1
    loss = card["training"]["loss"]
    assert (loss["scales"], loss["epsilon_squared"]) == ([1, 2], 0.01)


def test_without_weights_of_vgg16_l1_is_trained_plainly(run, blobs, base, tmp_path, config):
    output = tmp_path / "mine.safetensors"
    arguments = (
        "train",
        blobs,
        "--output",
        output,
        "--base",
        base,
        *SMALL,
        *config(),
        "--loss",
        "L_s",
    )
    outcome = run(*arguments)
    assert outcome.code == 0, outcome.err
    assert "training uses L_1 instead" in " ".join(outcome.err.split())
    assert read_info(output).card["loss"] == "L_1"


def test_weights_of_vgg16_are_fetched_on_request(
    run, blobs, base, tmp_path, vgg, monkeypatch, config
):
    def fetch(progress, cancel=None) -> Path:
        progress(1 << 20, 4 << 20)
        progress(4 << 20, 4 << 20)
        return vgg

    monkeypatch.setattr(vgg_weights, "download", fetch)
    output = tmp_path / "mine.safetensors"
    arguments = (
        "train",
        blobs,
        "--output",
        output,
        "--base",
        base,
        *SMALL,
        *config(),
        "--loss",
        "L_f",
    )
    outcome = run(*arguments, "--vgg", "download")
    assert outcome.code == 0, outcome.err
    assert "downloading VGG16" in outcome.err
    assert read_info(output).card["loss"] == "L_f"

    def offline(progress, cancel=None) -> Path:
        raise BadInput("no network")

    monkeypatch.setattr(vgg_weights, "download", offline)
    outcome = run(*arguments, "--vgg", "download", "--overwrite")
    assert "no network" in outcome.sentence


def test_epochs_and_minutes(run, blobs, base, tmp_path, config):
    for budget in (("--epochs", "0.1"), ("--minutes", "0.002")):
        output = tmp_path / f"mine{budget[1]}.safetensors"
        arguments = ("train", blobs, "--output", output, "--base", base, *config(), *budget)
        outcome = run(*arguments, "--device", "cpu")
        assert outcome.code == 0, outcome.err
        assert read_info(output).card["steps"] > 0


def test_a_log_for_tensorboard(run, blobs, base, tmp_path, config):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    output, log = tmp_path / "mine.safetensors", tmp_path / "log"
    arguments = ("train", blobs, "--output", output, "--base", base, *SMALL, *config())
    assert run(*arguments, "--log", log).code == 0
    assert any(path.name.startswith("events.") for path in log.iterdir())
    assert (tmp_path / "mine.training.csv").is_file()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "Name the stacks to train on"),
        (("--steps", "0"), "--steps: Input should be greater than or equal to 1"),
        (("--steps", "2", "--minutes", "1"), "either minutes, epochs or steps"),
        (("--preset", "large", "--base", "ssan-fidelity"), "Give --base to go on with a model"),
        (("--vgg", "absent.safetensors"), "L_1 needs no weights of VGG16"),
        (("--preset", "huge"), "'huge' is not one of 'half', 'large', 'paper', 'paper-bn'"),
        (("--base", "absent"), "no model"),
        (("--loss", "L_2"), "'--loss': 'L_2' is not one of 'L_1', 'L_f', 'L_s'"),
        (("--loss", "L_s", "--vgg", "absent.safetensors"), "absent.safetensors"),
        (("--seed", "-1"), "--seed"),
        (("--seed", str(2**64)), "--seed"),
        (("--log", __file__), "--log takes a folder"),
        (("--device", "toaster"), "device"),
        (("--defects", "77"), "not in the stack"),
        (("--defects", "3-"), "names no slice"),
        (("--val", "absent.tif"), "absent.tif"),
        (("--config", "absent.toml"), "No such file or directory (absent.toml)"),
    ],
)
def test_wrong_options_are_refused(run, blobs, tmp_path, options, reason):
    budget = () if {"--steps", "--minutes"} & set(options) else ("--steps", "1")
    stacks = (blobs, "--output", tmp_path / "m.safetensors") if options else ()
    assert reason in run("train", *stacks, *budget, *options).sentence
    assert not list(tmp_path.glob("m.*"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("crop = ", "run.toml is not valid TOML: "),
        ("crop = 96", "multiple of 64"),
        ("crop = 128", "smaller than a training crop"),
        ("crop = 32\n[loss]\nscales = [4]", "too small to be binned by 4"),
        ("steps = 2\nminutes = 1", "run.toml: give either minutes, epochs or steps"),
        ('schedule = "wild"', "run.toml: schedule: Input should be 'cosine'"),
        ('match = "wild"', "run.toml: match: Input should be 'mean'"),
        ("[loss]\nscales = [1, 8]", "run.toml: scales under [loss]: "),
        ("[loss]\nstyle = -1", "run.toml: style under [loss]: "),
        ("[loss]\nmembranes = 1", "belong together"),
        ('segmenter = "absent.safetensors"', "belong together"),
        ('segmenter = "absent.safetensors"\n[loss]\nmembranes = 1', "absent.safetensors"),
        ('segmenter = "a.safetensors"\n[loss]\nmembranes = -1', "membranes under [loss]: "),
        ("[augmentation]\nzoom = 3", "run.toml: zoom under [augmentation]: "),
        ("[augmentation]\nnoise = -1", "run.toml: noise under [augmentation]: "),
        ("[augmentation]\nblur = inf", "run.toml: blur under [augmentation]: "),
        ("[augmentation]\ngrain = -1", "run.toml: grain under [augmentation]: "),
        ("[augmentation]\nnoize = 1", "run.toml: noize under [augmentation]: there is no such key"),
        ("noise = 1", "run.toml: noise: there is no such key; napari-ssan train --print-config"),
        ('loss = "L_s"', "run.toml: loss: this is a table"),
    ],
)
def test_a_wrong_configuration_file_is_refused(run, blobs, tmp_path, config, text, reason):
    budget = () if "steps" in text else ("--steps", "1")
    arguments = ("--output", tmp_path / "m.safetensors", *budget, *config(text, tiny=""))
    assert reason in run("train", blobs, *arguments).sentence
    assert not list(tmp_path.glob("m.*"))


def test_marks_are_of_one_stack(run, blobs, tmp_path):
    arguments = ("--output", tmp_path / "m.safetensors", "--defects", "3")
    assert "one stack" in run("train", blobs, blobs, *arguments).sentence


def test_sections_on_both_sides_are_refused(run, blobs, base, tmp_path, config):
    arguments = ("--output", tmp_path / "m.safetensors", "--base", base, *SMALL, *config())
    outcome = run("train", f"{blobs}[0:9]", *arguments, "--val", f"{blobs}[6:14]")
    assert "Slices 6 to 8 " in outcome.sentence


def test_stacks_that_are_too_short_are_refused(run, stack, base, tmp_path, config):
    arguments = ("--output", tmp_path / "m.safetensors", "--base", base, *SMALL, *config())
    assert "too few" in run("train", f"{stack}[0:5]", *arguments).sentence


@pytest.mark.parametrize("part", ["[5:3]", "[0:99]", "[::0]"])
def test_sections_that_are_not_there_are_refused(run, stack, tmp_path, part):
    outcome = run("train", f"{stack}{part}", "--output", tmp_path / "m.safetensors")
    assert "not there" in outcome.sentence


def test_outputs_that_must_not_be_are_refused(run, stack, tmp_path):
    (tmp_path / "m.safetensors").write_text("precious")
    for name in ("m.safetensors", "m.txt", "absent/m.safetensors"):
        run("train", stack, "--output", tmp_path / name).sentence  # noqa: B018
    assert (tmp_path / "m.safetensors").read_text() == "precious"


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_a_checkpoint_that_is_gone_on_from(number, run, blobs, base, tmp_path, config):
    output = tmp_path / "mine.safetensors"
    arguments = [
        "train", str(blobs), "--output", str(output), "--base", str(base),
        *map(str, config()), "--epochs", "2", "--device", "cpu",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", "from napari_ssan.cli import main; main()", *arguments],
        stderr=subprocess.PIPE,
        # Where the tests run in the background, interrupts are ignored, by children too.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    table, deadline = tmp_path / "mine.training.csv", time.monotonic() + 60
    while not (table.exists() and re.search(r"\n\d\d+,", table.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert b"Traceback" not in err
    assert b"--resume" in err
    assert err.rstrip().endswith(b"Stopped." if number == signal.SIGINT else b"by SIGTERM.")
    assert not output.exists()
    assert "--resume" in run(*arguments).sentence
    outcome = run(*arguments, "--resume")
    assert outcome.code == 0, outcome.err
    assert "Training continues after step" in outcome.err
    assert load_model(output).tile == 32
    assert not (tmp_path / "mine.checkpoint").exists()


def test_training_that_broke_off_says_why(run, blobs, base, tmp_path, monkeypatch, config):
    monkeypatch.setattr(
        "napari_ssan.losses.total.charbonnier", lambda image, *rest: image.mean() * np.nan
    )
    outcome = run(
        "train", blobs, "--output", tmp_path / "m.safetensors", "--base", base, *SMALL, *config()
    )
    assert outcome.code == 2
    assert "lower the learning rate" in outcome.err.splitlines()[-1]
    assert outcome.err.count("half the learning rate") == 3


@pytest.mark.parametrize(
    ("rate", "reason"),
    [("inf", "finite number"), ("nan", "finite number"), ("1e30", "less than or equal to 1")],
)
def test_an_impossible_learning_rate_is_refused(run, blobs, base, config, tmp_path, rate, reason):
    output = tmp_path / "new.safetensors"
    arguments = (blobs, "--output", output, "--base", base, "--steps", "4", "--device", "cpu")
    outcome = run("train", *arguments, *config(f"learning_rate = {rate}\n"))
    assert reason in outcome.sentence
    assert not output.exists()


def test_a_run_whose_network_breaks_writes_no_model(
    run, blobs, base, config, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_ssan.training.config.TrainingConfig.rate", lambda *_: 1e30)
    output = tmp_path / "new.safetensors"
    arguments = (blobs, "--output", output, "--base", base, "--steps", "4", "--device", "cpu")
    outcome = run("train", *arguments, *config())
    assert outcome.code == 2
    assert "infinite or NaN" in outcome.err.splitlines()[-1]
    assert "Traceback" not in outcome.err
    assert not output.exists()
