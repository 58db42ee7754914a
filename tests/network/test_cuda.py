"""What only a CUDA GPU can show; ``benchmarks/gpu.py`` runs it."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

import napari_ssan
from napari_ssan.events import Notice

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
]


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (3, 700, 900)).astype(np.uint8)


def test_a_gpu_gives_what_the_cpu_gives(volume):
    made = [
        napari_ssan.repair(volume, [1], device=name)[1].astype(float) for name in ("cpu", "cuda")
    ]
    assert np.abs(made[0] - made[1]).mean() < 0.5


def test_memory_is_given_back_after_a_run(volume):
    napari_ssan.repair(volume, [1], device="cuda")
    gc.collect()
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        napari_ssan.repair(volume, [1], device="cuda")
        gc.collect()
    assert torch.cuda.memory_allocated() <= before


def test_a_full_gpu_ends_on_the_cpu_with_a_notice(volume):
    told = []
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(64 * 2**20 / total)
    try:
        made = napari_ssan.repair(volume, [1], device="cuda", progress=told.append)[1]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert np.ptp(made) > 0
    assert any("memory is full" in item.text for item in told if isinstance(item, Notice))
