"""The device that the network runs on, as far as can be told without importing torch."""

from __future__ import annotations

import sys


def device_in_words(name: str) -> str:
    """What a device that is asked for turns out to be."""
    from napari_ssan.network.device import choose_device, device_name

    return device_name(choose_device(name))


def free_gpu() -> None:
    """Give the GPU's memory back to other programs."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
