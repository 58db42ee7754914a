"""Where the network runs, and in which precision.

A device that the user names is used or refused; only ``auto`` falls back to another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_ssan.errors import BadInput


def choose_device(name: str) -> torch.device:
    """Return the device with this name; ``auto`` takes CUDA, else MPS, else the CPU.

    Raises
    ------
    BadInput
        If the named device is unknown or not available.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BadInput(
            f"Unknown device {name!r}; use auto, cpu, cuda:0, cuda:1 ... or mps."
        ) from None
    present = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }.get(device.type, 0)
    if (device.index or 0) >= present:
        raise BadInput(f"The device {name!r} is not available; use auto or cpu.")
    return device


def device_name(device: torch.device) -> str:
    """Return a device's name as users see it, such as ``CPU`` or ``Apple GPU``."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    if device.type == "mps":
        return "Apple GPU"
    return "CPU"


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def has_matrix_unit() -> bool:
    """Whether the processor multiplies whole matrices of bfloat16 (AMX)."""
    return torch.cpu._is_amx_tile_supported()


def autocast(device: torch.device, enabled: bool) -> AbstractContextManager[object]:
    """Use bfloat16 if `enabled`, and if the device has it in hardware."""
    return torch.autocast(
        device.type, torch.bfloat16, enabled=enabled and has_fast_bfloat16(device)
    )


def to_device(values: npt.NDArray[np.float32], device: torch.device) -> Tensor:
    """Send an array of any shape to a device; CUDA copies it while the processor goes on."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def from_device(tensors: Sequence[Tensor]) -> Callable[[], tuple[npt.NDArray[np.float32], ...]]:
    """Fetch float32 tensors of any shapes from one device; call the result to wait for them.

    CUDA computes and copies them while the processor goes on.
    """
    if not tensors[0].is_cuda:
        arrays = tuple(tensor.cpu().numpy() for tensor in tensors)
        return lambda: arrays
    here = [
        torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(
            tensor, non_blocking=True
        )
        for tensor in tensors
    ]
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record(torch.cuda.current_stream(tensors[0].device))

    def wait() -> tuple[npt.NDArray[np.float32], ...]:
        copied.synchronize()
        return tuple(tensor.numpy() for tensor in here)

    return wait
