"""A stack, a network and weights of VGG16, all tiny, and a run of training on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_ssan.network.ssan import SSAN, SSANConfig
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.events import Event
from napari_ssan.training.result import Result
from napari_ssan.training.run import run

CPU = torch.device("cpu")
TINY = SSANConfig(features=8, blocks=1, layers=1, growth=8, attention=(2, 2))

Run = Callable[..., Result]


def make_volume(sections: int = 16, seed: int = 0) -> np.ndarray:
    """Blobs with grain, (sections, 64, 64) of uint8."""
    random = np.random.default_rng(seed)
    structure = gaussian_filter(random.standard_normal((sections, 64, 64)), (1.0, 2, 2))
    grain = random.standard_normal(structure.shape)
    image = 128 + 40 * structure / structure.std() + 6 * grain
    return image.clip(0, 255).astype(np.uint8)


def make_network(seed: int = 0) -> SSAN:
    torch.manual_seed(seed)
    return SSAN(TINY)


def make_config(**settings: object) -> TrainingConfig:
    """A short run: 12 steps of one crop of 32 pixels, validated twice, unless told otherwise."""
    quick: dict[str, object] = {
        "crop": 32,
        "batch": 1,
        "average": 0.5,
        "sections": 1,
        "validate_every": 0.5,
    }
    if not {"minutes", "epochs", "steps"} & settings.keys():
        quick["steps"] = 12
    return TrainingConfig.model_validate(quick | settings)


@pytest.fixture(scope="session")
def source() -> Source:
    return Source(SliceStack(make_volume()))


@pytest.fixture
def network() -> SSAN:
    return make_network()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def trained(tmp_path, source, network, events) -> Run:
    """``trained(steps=20, resume=True)``: settings and options of a run; its events are kept."""
    options = {
        "device",
        "vgg",
        "segmenter",
        "stop",
        "cancel",
        "resume",
        "overwrite",
        "keep_start",
        "log",
    }

    def call(
        sources: list[Source] | None = None,
        held: list[Source] | None = None,
        output: str = "mine.safetensors",
        listen: Callable[[Event], object] = lambda event: None,
        start: SSAN = network,
        **settings: object,
    ) -> Result:
        given = {key: settings.pop(key) for key in options & settings.keys()}

        def report(event: Event) -> None:
            events.append(event)
            listen(event)

        return run(
            make_config(**settings),
            sources or [source],
            held or [],
            start,
            tmp_path / output,
            {"trained_on": ["blobs"]},
            **({"device": CPU} | given),
            report=report,
        )

    return call


@pytest.fixture(autouse=True)
def every_step_is_told(monkeypatch):
    """Tests count steps; a run tells of at most ten a second."""
    monkeypatch.setattr("napari_ssan.training.loop.TELL_EVERY", 0.0)
