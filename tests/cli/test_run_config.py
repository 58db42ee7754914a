from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from napari_ssan.cli.run_config import MOVED, RunConfig, load_config
from napari_ssan.losses.config import LossConfig
from napari_ssan.network.model_file import read_info
from napari_ssan.stack.augmentation import Augmentation
from napari_ssan.training.config import TrainingConfig

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("option", MOVED)
def test_an_option_that_became_a_key_says_so(run, option):
    table, line = MOVED[option]
    sentence = run("train", "a.tif", "--output", "m.safetensors", option, "1").sentence
    assert f"{option} is a key of the configuration file now: write {line}" in sentence
    assert (f"under [{table}]" in sentence) == bool(table)
    assert sentence == run("train", "a.tif", f"{option}=1").sentence
    # the advice is good
    key = next(iter(tomllib.loads(line)))
    more = "\nsegmenter = 'lines'" if key == "membranes" else ""
    more += "\nloss.membranes = 1" if key == "segmenter" else ""
    text = f"{table}.{line}" if table else line
    RunConfig.model_validate(tomllib.loads(f"steps = 1\n{text}{more}"))


def test_the_option_that_belongs_to_repair_says_so(run):
    sentence = run("train", "a.tif", "--output", "m.safetensors", "--views", "8").sentence
    assert "--views is an option of repair now" in sentence
    assert sentence == run("train", "a.tif", "--views=8").sentence


@pytest.mark.parametrize(
    "text",
    [
        "",
        "epochs = 2.5",
        "minutes = inf\nlearning_rate = 5e-4\nbetas = [0.5, 1e-9]\nselect = false",
        'summary = """Größe "x"\\\\ 𝛼\nnext\\t\\u007f"""\nterms = "CC BY"',
        "segmenter = 'a b.safetensors'\n[loss]\nmembranes = 0.5\nstyle = 6e3\nscales = [1, 4]",
        "[augmentation]\nzoom = 2\nnoise = 0.1",
    ],
)
def test_the_configuration_that_is_printed_reads_back_the_same(run, tmp_path, config, text):
    options = ("--loss", "L_f", "--seed", "5")
    printed = run("train", "--print-config", *options, *config(text, tiny="")).out
    before = load_config(tmp_path / "run.toml", loss="L_f", seed=5)
    (tmp_path / "printed.toml").write_text(printed, encoding="utf-8")
    assert load_config(tmp_path / "printed.toml") == before
    assert before.loss.preset == "L_f"
    assert run("train", "--print-config", "--config", tmp_path / "printed.toml").out == printed


def test_every_key_is_explained_where_it_is_printed(run):
    lines = run("train", "--print-config").out.splitlines()
    keys = [at for at, line in enumerate(lines) if re.match(r"(# )?\w+ =|\[", line)]
    parts = (RunConfig, LossConfig, Augmentation)
    assert len(keys) == sum(len(part.model_fields) for part in parts)
    for at in keys:
        assert re.match(r"# [^=]+[.)]$", lines[at - 1]), lines[at]


def test_options_override_the_configuration_file(config):
    _, path = config("steps = 7\nseed = 3\n[loss]\npreset = 'L_s'\nstyle = 5")
    assert (load_config(path).steps, load_config(None).minutes) == (7, 20)
    new = load_config(path, minutes=2.0, epochs=None, seed=4, loss="L_f")
    assert (new.steps, new.minutes, new.seed) == (None, 2, 4)
    assert (new.loss.preset, new.loss.style, new.crop) == ("L_f", 5, 32)


@pytest.mark.parametrize(("model", "stages"), [("ssan-fidelity", 8), ("ssan-realistic", 3)])
def test_the_recipes_of_the_bundled_models_are_what_their_files_record(model, stages):
    recorded = read_info(model).card["training"]
    assert len(recorded) == stages
    for number, then in enumerate(recorded, start=1):
        now = load_config(ROOT / "models" / model / f"stage{number}.toml").training
        then.pop("data", None)
        if "zoom" in then:  # the first two stages were recorded in an older form
            then |= {"augmentation": {"zoom": then.pop("zoom")}}
            assert then.pop("loss")["preset"] == now.loss.preset == "L_1"
        assert TrainingConfig.model_validate(then) == now


def test_the_recipes_of_the_benchmarks_are_read():
    recipes = sorted((ROOT / "benchmarks" / "unseen").glob("*.toml"))
    read = {path.stem: load_config(path) for path in recipes}
    steps = {name: recipe.steps for name, recipe in read.items()}
    assert steps == {"first": 3000, "natural": 650, "open": None, "second": 1500}
    assert read["open"].minutes == 100


def test_a_configuration_that_cannot_be_read(run, tmp_path):
    path = tmp_path / "run.toml"
    for text in ("a = " + "[" * 10_000, "a = " + "9" * 5000, "a", "a = 1\xff"):
        path.write_bytes(text.encode("latin-1"))
        assert "run.toml is not valid TOML" in run("train", "--config", path).sentence
    path.unlink()
    os.mkfifo(path)
    assert "is a pipe" in run("train", "--config", path).sentence
