"""Volumes whose neighbouring sections resemble each other, as tissue does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter


@pytest.fixture
def tissue() -> Callable[..., np.ndarray]:
    """Makes a volume of uint8 of a shape: mean 128, deviation about 30, a little grain."""

    def make(shape: tuple[int, int, int] = (12, 96, 110), seed: int = 0) -> np.ndarray:
        random = np.random.default_rng(seed)
        structure = gaussian_filter(random.standard_normal(shape), (1.5, 3, 3), mode="wrap")
        grain = random.standard_normal(shape)
        volume = 128 + 28 * structure / structure.std() + 8 * grain
        return volume.clip(0, 255).astype(np.uint8)

    return make


class Counting:
    """Array that remembers which sections were read in turn, and how often each pixel."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.reads = np.zeros(data.shape, int)
        self.sections: list[int] = []
        self.most = 0

    def __getitem__(self, index):
        part = self.data[index]
        self.most = max(self.most, part.size)
        self.reads[index] += 1
        self.sections.append(index[0])
        return part


@pytest.fixture
def counting() -> type[Counting]:
    """Wraps an array to see what of it is read."""
    return Counting
