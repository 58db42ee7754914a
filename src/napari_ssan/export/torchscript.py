"""Records the network as a TorchScript, which runs without this package on any device.

A recording fixes all that Python decides while it runs: loops, sizes, devices. What is here
keeps the recording free of the example's size and device.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from napari_ssan.network.ssan import SSAN


def to_torchscript(network: SSAN) -> bytes:
    """Record the network as a TorchScript that synthesizes the middle section.

    Parameters
    ----------
    network : SSAN
        On the CPU and in evaluation mode; it does not change.

    Returns
    -------
    bytes
        A file for ``torch.jit.load``. Its ``forward(previous, following)`` takes
        float32 (1, 1, H, W) on the network's intensity scale, with H and W multiples of
        ``config.multiple``. It returns the section halfway in the same form.
    """
    side = 2 * network.config.multiple
    example = torch.linspace(0, 1, side * side).view(1, 1, side, side)
    # With gradients enabled, attention takes its plain path. The fast path for CPUs has
    # loops, which a recording would fix to the example's size.
    with torch.enable_grad(), warnings.catch_warnings():
        # Python only looks at sizes in checks, and at the batch, which is always 1.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        # bioimage.io does not read files of torch.export, the successor.
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        recorded = torch.jit.trace(  # type: ignore[no-untyped-call]
            _Middle(network), (example, example), check_trace=False
        )
        file = io.BytesIO()
        torch.jit.save(recorded, file)
    return file.getvalue()


class _Middle(nn.Module):
    """The network with two inputs, the neighbours, and one tensor as output."""

    def __init__(self, network: SSAN) -> None:
        super().__init__()
        self.network = network

    def forward(self, previous: Tensor, following: Tensor) -> Tensor:
        with _AnyDevice(previous):
            middle = _zero(previous) + 0.5
            image: Tensor = self.network(previous, following, middle).image
        return image


class _AnyDevice(TorchFunctionMode):
    """Makes a recording run on any device.

    A recorded ``torch.arange`` stays on the example's device. This computes the range from
    an input instead, so that it is on the input's device.
    """

    def __init__(self, anchor: Tensor) -> None:
        super().__init__()
        self.zero = _zero(anchor)

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if function is torch.arange and len(args) == 1:
            return (self.zero + 1).expand(args[0]).cumsum(0) - 1
        return function(*args, **(kwargs or {}))


def _zero(anchor: Tensor) -> Tensor:
    """Make a zero, (1,), on the device of `anchor`, even if `anchor` holds NaN."""
    first = anchor.flatten()[:1]
    return (first > first).to(anchor.dtype)
