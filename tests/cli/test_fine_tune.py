from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import gaussian_filter

from napari_ssan.finetune.verdict import judge
from napari_ssan.network.model_file import load_model, save_model
from napari_ssan.network.model_library import list_models
from napari_ssan.network.ssan import SSAN, SSANConfig


@pytest.fixture
def blobs(tmp_path) -> Path:
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((24, 64, 72)), (1.2, 2, 2))
    structure /= structure.std(axis=(1, 2), keepdims=True)
    volume = 128 + 40 * structure + 6 * random.standard_normal(structure.shape)
    path = tmp_path / "blobs.tif"
    tifffile.imwrite(path, volume.clip(0, 255).astype(np.uint8), photometric="minisblack")
    return path


@pytest.fixture
def base(tmp_path) -> Path:
    torch.manual_seed(0)
    network = SSAN(SSANConfig(features=8, blocks=1, layers=1, growth=8, attention=(2, 2)))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    path = tmp_path / "tiny.safetensors"
    save_model(path, network, {"tile": 64})
    return path


@pytest.fixture
def mine(tmp_path) -> Path:
    return tmp_path / "mine.safetensors"


@pytest.fixture
def tune(run, blobs, base, mine):
    """``tune("--loss", "L_s")``: the command with what each of them needs."""

    def call(*options: object):
        given = ("--model", base, "--steps", 12, "--minutes", 1, "--device", "cpu")
        return run("fine-tune", blobs, "--output", mine, *given, *options)

    return call


def refusal(outcome) -> str:
    """What is said at last, after notes and bars."""
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    last = outcome.err.strip().splitlines()[-1]
    assert last.startswith("napari-ssan: ")
    return last.removeprefix("napari-ssan: ")


def left_off(monkeypatch, tune, after: int = 3):
    """The command, interrupted after some steps."""
    from napari_ssan.finetune import work

    real = work.train
    with monkeypatch.context() as broken:

        def interrupted(*arguments, report, cancel, **settings):
            def tell(event):
                report(event)
                if getattr(event, "step", 0) >= after:
                    cancel.set()

            return real(*arguments, report=tell, cancel=cancel, **settings)

        broken.setattr(work, "train", interrupted)
        return tune()


def test_what_is_better_is_written_and_said(tune, mine, tmp_path):
    outcome = tune("--defects", "5", "--name", "Blob model")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("Better than the base model on 3 held-out slices: +")
    assert "13 triplets, 3 left out: 3 marked" in outcome.err
    assert "Held out: slices 20, 21, 22" in outcome.err
    assert "about 12 steps" in outcome.err
    assert "the fine-tuned model" in outcome.err
    card = load_model(mine).info.card
    assert card["verdict"].casefold() == outcome.out.strip().casefold()
    assert not card["unchanged"]
    assert "Blob model" in [info.name for info in list_models()]
    assert {path.name for path in tmp_path.iterdir()} >= {"mine.safetensors", "tiny.safetensors"}
    assert not mine.with_suffix(".run").exists()


def test_what_is_not_better_leaves_the_base_unchanged_and_exits_with_0(
    tune, mine, base, monkeypatch
):
    def worse(*arguments):
        known, tuned = judge(*arguments)
        return known, tuned | {"psnr": known["psnr"] - 0.1}

    monkeypatch.setattr("napari_ssan.finetune.work.judge", worse)
    outcome = tune("--name", "Blob model")
    assert outcome.code == 0
    assert outcome.out.startswith("Not better than the base model on 3 held-out slices (−0.1 dB")
    assert "the base model, unchanged" in outcome.err
    before, after = load_model(base), load_model(mine)
    assert after.info.card["unchanged"]
    for key, value in before.network.state_dict().items():
        assert torch.equal(value, after.network.state_dict()[key])
    assert "Blob model" not in [info.name for info in list_models()]


def test_interrupted_it_goes_on_with_resume(tune, mine, monkeypatch):
    outcome = left_off(monkeypatch, tune)
    assert outcome.code == 130
    assert "run the same command with --resume" in outcome.err
    assert not mine.exists()
    assert "(--resume), or start anew (--overwrite)" in refusal(tune())
    assert "another --seed (0 then, 3 now)" in refusal(tune("--resume", "--seed", "3"))
    assert "other slices or marks" in refusal(tune("--resume", "--defects", "5"))
    assert "other slices or marks" in refusal(tune("--resume", "--z-range", "0-20"))
    outcome = tune("--resume")
    assert outcome.code == 0
    assert "Continuing blobs.tif" in outcome.err
    assert mine.exists()
    assert not mine.with_suffix(".run").exists()


def test_overwrite_begins_anew(tune, mine, monkeypatch):
    left_off(monkeypatch, tune)
    mine.write_text("something")
    assert "exists already" in refusal(tune())
    outcome = tune("--overwrite")
    assert outcome.code == 0
    assert "Continuing" not in outcome.err
    assert load_model(mine)


def test_resume_without_a_run_begins_anew(tune, mine):
    outcome = tune("--resume")
    assert outcome.code == 0
    assert "starting anew" in outcome.err
    assert mine.exists()


def test_what_a_crash_left_before_a_run_began_is_in_nobodys_way(tune, mine):
    folder = mine.with_suffix(".run")
    folder.mkdir()
    (folder / ".sections.npy.1.part").write_bytes(b"half")
    assert tune().code == 0
    assert not folder.exists()


def test_a_folder_of_somebody_else_is_left_alone(tune, mine):
    folder = mine.with_suffix(".run")
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    assert "no fine-tuning run" in refusal(tune())
    assert (folder / "thesis.txt").exists()


def test_a_run_that_another_program_works_on_is_refused(tune, mine, monkeypatch):
    from filelock import FileLock

    from napari_ssan.finetune.run_folder import LOCK

    left_off(monkeypatch, tune)
    lock = FileLock(mine.with_suffix(".run") / LOCK)
    lock.acquire(blocking=False)
    assert "is being worked on already" in refusal(tune("--resume"))
    assert "is being worked on already" in refusal(tune("--overwrite"))
    lock.release()
    assert tune("--resume").code == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--style-balance", "1,2"), "--style-balance takes three weights"),
        (("--minutes", "0"), "--minutes: Input should be greater than 0"),
        (("--loss", "L_2"), "'--loss': 'L_2' is not one of 'L_1', 'L_f', 'L_s'"),
        (("--share", "0.9"), "--share: "),
        (("--model", "nobody"), "There is no model 'nobody'"),
        (("--z-range", "3,9"), "--z-range takes adjacent slices between 0 and 23"),
        (("--z-range", ","), "--z-range takes adjacent slices between 0 and 23"),
        (("--z-range", "3-90"), "--z-range takes adjacent slices between 0 and 23"),
        (("--z-range", "3-7"), "5 slices are too few"),
        (("--defects", "99"), "Slice 99 is not in the stack"),
        (("--defects", "4-18"), "There is too little to learn from"),
        (("--device", "cuda:7"), "'cuda:7' is not available"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(tune, mine, options, sentence):
    assert sentence in refusal(tune(*options))
    assert not mine.exists()
    assert not mine.with_suffix(".run").exists()


def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    run, blobs, base, tmp_path, monkeypatch
):
    def call(output):
        return run("fine-tune", blobs, "--model", base, "--output", output).sentence

    assert "must be a .safetensors file in an existing folder" in call(tmp_path / "mine.pth")
    assert "in an existing folder" in call(tmp_path / "nowhere" / "mine.safetensors")
    real = os.access  # to root everything is writable
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path and real(path, mode))
    assert "cannot be written to" in call(tmp_path / "mine.safetensors")


def test_without_vgg16_natural_texture_is_told_to_be_trained_as_l_1(tune):
    outcome = tune("--loss", "L_s")
    assert outcome.code == 0
    assert "L_1: there are no VGG16 weights" in " ".join(outcome.err.split())


def test_what_is_wrong_costs_no_interrupted_run(tune, mine, monkeypatch):
    left_off(monkeypatch, tune)
    for options in (("--device", "abacus"), ("--name", "?!"), ("--style-balance", "1,2")):
        refusal(tune("--overwrite", *options))
        assert (mine.with_suffix(".run") / "run.json").exists()


def test_what_is_synthetic_in_the_stack_counts_as_marked(run, base, blobs, mine, tmp_path):
    repaired = tmp_path / "repaired.ome.tif"
    assert run("repair", blobs, repaired, "--defects", "7", "--method", "average").code == 0
    options = ("--model", base, "--steps", 2, "--minutes", 1, "--device", "cpu")
    outcome = run("fine-tune", repaired, "--output", mine, *options)
    assert outcome.code == 0, outcome.err
    assert "3 left out: 3 marked" in outcome.err


def test_a_model_that_was_fine_tuned_repairs(run, tune, mine, blobs, tmp_path):
    assert tune().code == 0
    output = tmp_path / "repaired.ome.tif"
    assert run("repair", blobs, output, "--defects", "7", "--model", mine).code == 0
