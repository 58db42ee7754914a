"""Small weights of VGG16, and a cache of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_ssan.losses.vgg_file import BLOCKS, TORCHVISION, Convention

#: Few channels for each of the convolutions.
CHANNELS = dict(
    zip(
        (number for numbers in BLOCKS.values() for number in numbers),
        pairwise((3, 8, 8, 12, 12, 16, 16, 16, 20, 20, 20)),
        strict=True,
    )
)


@pytest.fixture(scope="session")
def tensors() -> Callable[..., dict[str, torch.Tensor]]:
    """Make weights of a VGG16 with few channels, up to a tap, under a convention's names."""

    def make(last: str = "relu4_3", convention: Convention = TORCHVISION):
        generator = torch.Generator().manual_seed(0)
        made = {}
        for tap, numbers in BLOCKS.items():
            for number in numbers:
                before, after = CHANNELS[number]
                weight = torch.randn(after, before, 3, 3, generator=generator) / before**0.5 / 3
                made[f"{convention.keys[number]}.weight"] = weight
                bias = 0.1 * torch.randn(after, generator=generator)
                made[f"{convention.keys[number]}.bias"] = bias
            if tap == last:
                break
        return made

    return make


@pytest.fixture
def vgg(tensors, tmp_path) -> Path:
    """Weights up to relu3_3 under torchvision's names."""
    save_file(tensors("relu3_3"), tmp_path / "vgg.safetensors")
    return tmp_path / "vgg.safetensors"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The user's cache, an empty one."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("napari_ssan.losses.vgg_weights.user_cache_path", lambda name: folder)
    return folder
