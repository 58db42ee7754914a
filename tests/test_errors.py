"""Full memory ends in one sentence, whoever asked for the work."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ssan import repair
from napari_ssan.errors import BadInput, OutOfMemory, memory_in_words

FULL = [
    lambda: np.empty(10**15),
    lambda: torch.empty(10**15),
    lambda: bytearray(2**62),
]


@pytest.mark.parametrize("full", FULL)
def test_all_say_the_same(full):
    with pytest.raises(OutOfMemory, match="not enough memory") as caught, memory_in_words():
        full()
    assert isinstance(caught.value, BadInput)
    assert isinstance(caught.value, MemoryError)
    assert str(caught.value).count(".") == 1


@pytest.mark.parametrize("error", [BadInput("no"), RuntimeError("oh"), OutOfMemory("what to do")])
def test_all_others_are_left_alone(error):
    with pytest.raises(type(error)) as caught, memory_in_words():
        raise error
    assert caught.value is error


@pytest.mark.parametrize("full", FULL)
def test_a_repair_in_python(full, monkeypatch):
    monkeypatch.setattr("napari_ssan.engine.repair.gather", lambda *_: full())
    stack = np.random.default_rng(0).integers(1, 255, (5, 40, 50)).astype(np.uint8)
    for _ in range(2):
        with pytest.raises(OutOfMemory, match="not enough memory"):
            repair(stack, [2], method="average")
