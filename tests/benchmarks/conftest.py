"""The benchmarks are scripts beside the package: their folder is searched first."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tifffile

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from napari_ssan.network.ssan import SSANConfig
from napari_ssan.stack.phantom import phantom


@pytest.fixture(scope="session")
def tiny() -> SSANConfig:
    """What all systems share, as small as it goes."""
    return SSANConfig(features=8, blocks=1, layers=1, growth=8, attention=(2, 2), warp="residual")


@pytest.fixture(scope="session")
def phantom_stack(tmp_path_factory) -> Path:
    """A generated stack of 18 sections of 96 x 96 pixels, as a TIFF."""
    path = tmp_path_factory.mktemp("stack") / "phantom.tif"
    tifffile.imwrite(path, phantom((18, 96, 96), 0).clean, photometric="minisblack")
    return path
