from __future__ import annotations

import importlib
import json
from functools import partial

import numpy as np
import pytest
import tifffile
from safetensors.torch import load_file
from systems.store import read_card

from napari_ssan.segmenter.training import (
    SegmenterSettings,
    train_segmenter,
    two_fold,
)

NETWORK = {"features": 8, "blocks": 1, "layers": 1, "growth": 8, "attention": [2, 2]}


def run(table, stack, folder, *more):
    """Result of a table with two steps of training."""
    name = table if isinstance(table, str) else f"table{table}"
    importlib.import_module(name).main(
        [
            *("--train", str(stack), "--test", f"{stack}[2:14]", "--sections", "2"),
            *("--steps", "2", "--batch", "1", "--crop", "32", "--taps", "5"),
            *("--network", json.dumps(NETWORK), "--loss", "L_1", "--baselines", "average"),
            *("--json", str(folder / f"{name}.json"), *more),
        ]
    )
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.parametrize(
    ("table", "more", "systems"),
    [
        (1, [], ["U-Net", "SU-Net", "RDN", "SRDN"]),
        (3, [], ["KEL", "SA", "SSA", "AAL"]),
        (4, ["SepConv-L_1", "DAIN-L_1", "SSAN-L_1"], ["SepConv-L_1", "DAIN-L_1", "SSAN-L_1"]),
    ],
)
def test_a_table_trains_and_judges_its_systems(
    phantom_stack, tmp_path, capsys, table, more, systems
):
    result = run(table, phantom_stack, tmp_path, *(["--systems", *more] if more else []))
    assert set(result) == {
        "title", "date", "machine", "settings", "paper", "systems", "sections", "real",
        "ranking", "notes",
    }  # fmt: skip
    assert result["title"] == f"Table {table}"
    assert list(result["systems"]) == systems
    for facts in result["systems"].values():
        assert facts["steps"] == 2
        assert facts["seconds_per_step"] == pytest.approx(facts["seconds"] / 2)
    (rows,) = result["sections"].values()
    assert list(rows) == ["average", *systems]
    for row in rows.values():
        assert len(row) == 2
        # Numbers are those of the whole stack.
        assert all(3 <= each["section"] <= 12 for each in row)
        assert {"section", "psnr", "ssim", "ie", "psnr_lowpass", "hf_ratio"} <= set(row[0])
    printed = capsys.readouterr().out
    for text in (*systems, "paper", "here", f"Table {table}", "average"):
        assert text in printed
    if table != 4:  # whose rows bear another loss here than in the paper
        assert set(result["ranking"]) == {"psnr", "ssim", "ie"}
        assert all(line in printed for line in result["notes"])


@pytest.mark.parametrize("labelled", [True, False])
def test_membranes_are_found_in_what_is_synthesized(
    phantom_stack, tmp_path, monkeypatch, capsys, labelled
):
    settings = SegmenterSettings(steps=2, batch=1, crop=32, channels=(4, 8))
    monkeypatch.setattr(
        "systems.segmenting.two_fold", partial(two_fold, settings=settings, folder=tmp_path)
    )
    truth = tifffile.imread(phantom_stack) > 100
    alike = train_segmenter([truth[0]], [truth[0]], settings)
    monkeypatch.setattr("systems.segmenting.bundled_segmenter", lambda: alike)
    labels = tmp_path / "labels.tif"
    tifffile.imwrite(labels, truth.astype(np.uint8), photometric="minisblack")
    more = ["--labels", str(labels)] if labelled else []
    names = ["SepConv-L_1", "SSAN-L_1"]
    result = run(5, phantom_stack, tmp_path, "--systems", *names, *more)
    (rows,), (real,) = result["sections"].values(), result["real"].values()
    for each in (*rows.values(), real):
        assert all(0 <= row["dice"] <= 1 and 0 <= row["f1"] <= 1 for row in each)
    # What is found in the real section is its own truth where there are no labels.
    assert all(row["dice"] == 1 for row in real) != labelled
    printed = capsys.readouterr().out
    assert "membrane Dice" in printed
    assert "real" in printed


def test_a_kept_system_is_trained_once_and_not_taken_for_another(phantom_stack, tmp_path, capsys):
    kept = ["--systems", "SRDN", "--models", str(tmp_path)]
    first = run(1, phantom_stack, tmp_path, *kept)
    weights = load_file(tmp_path / "SSAN-L_1.safetensors")
    # The same network under another table's name.
    again = run(3, phantom_stack, tmp_path, "--systems", "AAL", "--models", str(tmp_path))
    assert again["systems"]["AAL"] == first["systems"]["SRDN"]
    assert load_file(tmp_path / "SSAN-L_1.safetensors").keys() == weights.keys()
    with pytest.raises(SystemExit):
        run(1, phantom_stack, tmp_path, *kept, "--seed", "5")
    assert "other settings" in capsys.readouterr().err


def test_an_ablation_changes_one_thing_each(phantom_stack, tmp_path, monkeypatch, vgg, capsys):
    settings = SegmenterSettings(steps=1, batch=1, crop=32, channels=(4, 8))
    truth = tifffile.imread(phantom_stack) > 100
    alike = train_segmenter([truth[0]], [truth[0]], settings)
    monkeypatch.setattr("systems.segmenting.bundled_segmenter", lambda: alike)
    names = ["all", "L_1", "no-balance", "no-attention", "mean", "unaligned", "no-zoom"]
    models = tmp_path / "models"
    more = ["--systems", *names, "--vgg", str(vgg), "--models", str(models)]
    result = run("ablation", phantom_stack, tmp_path, *more)
    assert list(result["systems"]) == names
    assert result["systems"]["no-attention"]["parameters"] < result["systems"]["all"]["parameters"]
    cards = {path.relative_to(models).as_posix(): read_card(path) for path in models.rglob("*.s*")}
    assert set(cards) == {
        "SSAN-L_s.safetensors", "SSAN-L_1.safetensors", "no-balance/SSAN-L_s.safetensors",
        "no-attention-L_s.safetensors", "mean-L_s.safetensors",
        "unaligned/SSAN-L_s.safetensors", "no-zoom/SSAN-L_s.safetensors",
    }  # fmt: skip
    changed = {"no-balance": "loss", "unaligned": "select", "no-zoom": "augmentation"}
    for name, setting in changed.items():
        own = cards[f"{name}/SSAN-L_s.safetensors"]["recipe"]["training"]
        usual = cards["SSAN-L_s.safetensors"]["recipe"]["training"]
        assert {key for key in own if own[key] != usual[key]} == {setting}
    assert "Ablation" in capsys.readouterr().out


def test_a_seed_makes_a_table(phantom_stack, tmp_path):
    one, two = (
        run(1, phantom_stack, tmp_path, "--systems", "RDN")["sections"] for _ in range(2)
    )  # fmt: skip
    for rows in (one, two):
        for each in rows["phantom"].values():
            for row in each:
                del row["seconds"]
    assert one == two


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--crop", "40"], "multiple of 16"),
        (["--network", '{"features": 3}'], "features"),
        (["--systems", "SRDN-L_s"], "needs the weights of VGG16"),
        (["--test", "nowhere.tif"], "nowhere.tif"),
        (["--systems", "V-Net-L_1"], "V-Net"),
        (["--json", "nowhere/table.json"], "--json"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(
    phantom_stack, tmp_path, capsys, monkeypatch, options, said
):
    monkeypatch.delenv("NAPARI_SSAN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SystemExit):
        run(1, phantom_stack, tmp_path, *options)
    assert said in capsys.readouterr().err


def test_without_data_the_folder_is_asked_for(capsys, monkeypatch):
    monkeypatch.delenv("NAPARI_SSAN_DATA", raising=False)
    with pytest.raises(SystemExit):
        importlib.import_module("table1").main(["--steps", "1"])
    assert "NAPARI_SSAN_DATA" in capsys.readouterr().err
