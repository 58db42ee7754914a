"""What all tests share: a screen or a reason, real data if there, nothing left behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

SCREEN_FIXTURES = {"qtbot", "qapp", "make_napari_viewer", "make_napari_viewer_proxy"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a screen Qt would abort the whole run: skip what needs one, and in CI fail."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return
    needy = [item for item in items if SCREEN_FIXTURES & set(getattr(item, "fixturenames", ()))]
    if needy and os.environ.get("CI"):
        pytest.exit("These tests need a screen: install xvfb (and pytest-xvfb).", returncode=1)
    for item in needy:
        item.add_marker(pytest.mark.skip(reason="no screen: install xvfb (and pytest-xvfb)"))


@pytest.fixture
def tissue() -> Callable[..., np.ndarray]:
    """Makes a volume of uint8, neighbours alike: mean 128, deviation about 30, a little grain."""

    def make(shape: tuple[int, int, int] = (12, 96, 110), seed: int = 0) -> np.ndarray:
        random = np.random.default_rng(seed)
        structure = gaussian_filter(random.standard_normal(shape), (1.5, 3, 3), mode="wrap")
        grain = random.standard_normal(shape)
        volume = 128 + 28 * structure / structure.std() + 8 * grain
        return volume.clip(0, 255).astype(np.uint8)

    return make


@pytest.fixture(autouse=True)
def user_folder(tmp_path_factory, monkeypatch) -> Path:
    """The user's data folder, an empty one for every test, as is the cache."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    for module in ("session.sidecar", "session.rates", "network.model_file", "finetune.run_folder"):
        monkeypatch.setattr(
            f"napari_ssan.{module}.user_data_path", lambda name, *rest: folder / name
        )
    return folder


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder with ``data/`` and ``weights/``: real stacks that do not come with the project."""
    known = os.environ.get("NAPARI_SSAN_DATA")
    if not known:
        pytest.skip("set NAPARI_SSAN_DATA to the folder that holds data/ and weights/")
    folder = Path(known)
    if not (folder / "data").is_dir():
        pytest.fail(f"NAPARI_SSAN_DATA is {folder}, which has no folder data/")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> str:
    """Path of a network with random weights and attention that is felt, tile 64."""
    import torch

    from napari_ssan.network.model_file import save_model
    from napari_ssan.network.ssan import SSAN, SSANConfig

    torch.manual_seed(0)
    network = SSAN(SSANConfig(features=8, blocks=1, layers=1, growth=8))
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.constant_(parameter, 0.5)
        if ".out.weight" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, network, {"tile": 64})
    return str(path)


@pytest.fixture(scope="session")
def vgg(tmp_path_factory) -> Path:
    """The first block of a VGG16 with few channels."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(0)
    tensors = {}
    for number, channels in ((0, 3), (2, 4)):
        tensors[f"features.{number}.weight"] = torch.randn(4, channels, 3, 3, generator=random)
        tensors[f"features.{number}.bias"] = torch.zeros(4)
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture
def volume() -> np.ndarray:
    """(9, 96, 130) uint8: structure that changes slowly from section to section, and grain."""
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((9, 96, 130)), (1.5, 4, 4))
    grain = random.normal(0, 4, structure.shape)
    return (128 + 40 * structure / structure.std() + grain).clip(1, 254).astype(np.uint8)
