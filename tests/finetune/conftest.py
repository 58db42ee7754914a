"""A stack with marks, a tiny base model, and fine-tunings of it that take seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_ssan.finetune.config import FineTuneConfig
from napari_ssan.finetune.division import divide
from napari_ssan.finetune.new_run import new_run
from napari_ssan.finetune.runs import Run
from napari_ssan.network.model_file import save_model
from napari_ssan.network.ssan import SSAN, SSANConfig
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source

Begin = Callable[..., Run]


@pytest.fixture(scope="session")
def volume() -> np.ndarray:
    """Blobs with grain, (24, 64, 72) of uint8."""
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((24, 64, 72)), (1.2, 2, 2))
    structure /= structure.std(axis=(1, 2), keepdims=True)
    grain = random.standard_normal(structure.shape)
    return (128 + 40 * structure + 6 * grain).clip(0, 255).astype(np.uint8)


@pytest.fixture
def stack(volume) -> Source:
    """The volume with a slice that is marked."""
    return Source(SliceStack(volume), marks=Marks({5}))


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> str:
    """Path of a tiny model, of which training soon makes a better one."""
    torch.manual_seed(0)
    network = SSAN(SSANConfig(features=8, blocks=1, layers=1, growth=8, attention=(2, 2)))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    path = tmp_path_factory.mktemp("base") / "tiny.safetensors"
    save_model(path, network, {"tile": 64, "terms": "free", "trained_on": ["blobs"]})
    return str(path)


@pytest.fixture
def config(base) -> FineTuneConfig:
    return FineTuneConfig(base=base, steps=20, minutes=1, device="cpu")


@pytest.fixture
def begin(stack, config, tmp_path) -> Begin:
    """``begin(steps=40)``: a run that has begun, in a folder of its own."""

    def call(source: Source = stack, folder: Path | None = tmp_path / "run", **settings) -> Run:
        asked = config.model_copy(update=settings)
        return new_run(divide(source, asked), asked, "blobs.tif", folder=folder)

    return call


@pytest.fixture(autouse=True)
def every_step_is_told(monkeypatch):
    """Tests count steps; a run tells of at most ten a second."""
    monkeypatch.setattr("napari_ssan.training.loop.TELL_EVERY", 0.0)
