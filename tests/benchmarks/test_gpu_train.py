"""Covers: gpu_data, gpu_train"""

from __future__ import annotations

import json

import gpu_train
import numpy as np
import pytest
import tifffile
import torch
from gpu_data import PARTS, Part, pack, unpack
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter

from napari_ssan.errors import BadInput
from napari_ssan.network.model_file import load_model
from napari_ssan.network.ssan import SSAN, SSANConfig
from napari_ssan.training.data import check_apart

TINY = SSANConfig(features=8, blocks=1, layers=1, growth=8, attention=(2, 2))


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    """A folder like that of the stacks: two in ``data``, weights of VGG16 in ``weights``."""
    folder = tmp_path_factory.mktemp("shared")
    for name in ("data", "weights"):
        (folder / name).mkdir()
    for name, shape, scales in (
        ("serial", (20, 80, 84), (1, 3, 3)),
        ("isotropic", (60, 56, 58), (3, 3, 3)),
    ):
        blobs = gaussian_filter(np.random.default_rng(0).standard_normal(shape), scales)
        volume = (128 + 40 * blobs / blobs.std()).clip(0, 255).astype(np.uint8)
        tifffile.imwrite(folder / "data" / f"{name}.tif", volume, photometric="minisblack")
    tensors = {}
    for number, channels in ((0, 3), (2, 4)):
        tensors[f"features.{number}.weight"] = torch.randn(4, channels, 3, 3)
        tensors[f"features.{number}.bias"] = torch.zeros(4)
    save_file(tensors, folder / "weights" / "vgg16_ssd300_features_to_conv3_3_fp32.safetensors")
    return folder


SMALL = (
    Part("serial.tif", (0, 14), (4, 72), (8, 84), broken=(5,), times=2),
    Part("isotropic.tif", (0, 44), spacings=(2, 3, 4)),
    Part("isotropic.tif", (48, 60), held=True, spacings=(2,)),
)


def test_a_packed_file_holds_its_parts(stacks, tmp_path):
    path = tmp_path / "stacks.zip"
    assert pack(stacks, path, SMALL) == path.stat().st_size
    train, held, names, vgg = unpack(path, tmp_path)
    assert names == ["isotropic.tif", "serial.tif"]
    assert vgg is not None
    assert vgg.read_bytes() == next((stacks / "weights").iterdir()).read_bytes()
    assert [(s.stack.z_axis, s.spacing) for s in train] == [(0, 1), (0, 1), (0, 2), (1, 3), (2, 4)]
    volume = tifffile.imread(stacks / "data" / "serial.tif")
    np.testing.assert_array_equal(train[0].stack.data, volume[:14, 4:72, 8:84])
    assert train[0].marks.whole == {5}
    (only,) = held
    assert only.stack.shape == (12, 56, 58)
    check_apart(train, held)


def test_what_is_too_large_or_not_there_is_refused(stacks, tmp_path):
    path = tmp_path / "stacks.zip"
    with pytest.raises(BadInput, match=r"more than 0"):
        pack(stacks, path, SMALL, limit=1000)
    assert not path.exists()
    with pytest.raises(BadInput, match="cannot be read"):
        pack(stacks, path, (Part("absent.tif", (0, 3)),))


def test_no_part_is_trained_on_and_held_out():
    for part in PARTS:
        for other in PARTS:
            if part.file == other.file and part.held != other.held:
                apart = part.sections[1] + 2, other.sections[1] + 2
                assert part.sections[0] >= apart[1] or other.sections[0] >= apart[0]
    learned = {part.file for part in PARTS if not part.held}
    assert not learned & {"damaged_section.tif", "isbi2012_train_volume.tif"}


def test_the_largest_network_that_is_fast_enough_is_chosen():
    rows = [{"what": name, "crops_a_second": rate} for name, rate in (("drawn", 9e3), ("half", 20))]
    assert gpu_train.choose(rows)[0] == "half"
    rows += [{"what": "large", "crops_a_second": 700.0}]
    assert gpu_train.choose(rows)[0] == "large"
    rows += [{"what": "large, full resolution", "crops_a_second": 300.0}]
    assert gpu_train.choose(rows)[0] == "large"
    rows[-1]["crops_a_second"] = 600.0
    name, shape = gpu_train.choose(rows)
    assert (name, shape.scale) == ("large, full resolution", 1)
    for _, shape, _ in gpu_train.NETWORKS:
        assert sum(4 * p.numel() for p in SSAN(shape).parameters()) < 15e6


def test_a_run_leaves_two_models_and_their_curves(stacks, tmp_path, monkeypatch, capsys):
    """The prepared run on the CPU, in seconds, with a tiny network."""
    monkeypatch.setattr(gpu_train, "NETWORKS", (("half", TINY, 0.0),))
    monkeypatch.setattr(gpu_train, "CROP", 32)
    monkeypatch.setattr(gpu_train, "KEEP_EVERY", 1e-9)
    kept: list[str] = []
    save = gpu_train.save_model

    def saved(path, network, card):
        kept.append(path.name)
        assert path.name.endswith("-best.safetensors")
        return save(path, network, card)

    monkeypatch.setattr(gpu_train, "save_model", saved)
    pack(stacks, tmp_path / "stacks.zip", SMALL)
    out = tmp_path / "out"
    gpu_train.main(
        ["--data", str(tmp_path / "stacks.zip"), "--minutes", "0.25", "--output", str(out),
         "--device", "cpu", "--batch", "2", "--workers", "1"]
    )  # fmt: skip
    assert {path.name for path in out.iterdir()} == {
        "curves.json", "faithful.safetensors", "faithful.training.csv", "natural.safetensors",
        "natural.training.csv", "vgg.safetensors",
    }  # fmt: skip
    assert {"faithful-best.safetensors", "natural-best.safetensors"} == set(kept)
    curves = json.loads((out / "curves.json").read_text())
    assert [row["what"] for row in curves["throughput"]] == ["drawn", "half"]
    assert all(row["crops_a_second"] > 0 for row in curves["throughput"])
    for name, loss in (("faithful", "L_1"), ("natural", "L_s")):
        assert curves[f"{name}_curve"][0]["step"] == 0
        assert curves[f"{name}_result"]["step"] > 0
        card = load_model(out / f"{name}.safetensors").info.card
        assert card["loss"] == loss
        assert card["trained_on"] == ["isotropic.tif", "serial.tif"]
    assert curves["minutes"] < 1.5
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "throughput" in lines[0]
