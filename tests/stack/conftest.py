"""An array that remembers what is read of it."""

from __future__ import annotations

import numpy as np
import pytest


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
