"""Stacks and a network small enough to run in a moment."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter


@pytest.fixture
def volume() -> np.ndarray:
    """(9, 96, 130) uint8: structure that changes slowly from section to section, and grain."""
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((9, 96, 130)), (1.5, 4, 4))
    grain = random.normal(0, 4, structure.shape)
    return (128 + 40 * structure / structure.std() + grain).clip(1, 254).astype(np.uint8)
