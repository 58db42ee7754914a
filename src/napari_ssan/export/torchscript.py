"""The network as a TorchScript, which runs without this package, on any device and tile."""

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
        On the CPU and in evaluation mode; it stays as it is.

    Returns
    -------
    bytes
        A file for ``torch.jit.load``. Its ``forward(previous, following)`` takes
        float32 (1, 1, H, W) on the network's intensity scale, H and W multiples of
        ``config.multiple``, and returns the same of the section halfway.
    """
    side = 2 * network.config.multiple
    example = torch.linspace(0, 1, side * side).view(1, 1, side, side)
    # With gradients enabled the attention takes its plain way: the fast one for CPUs
    # works in loops, which a recording would fix to the example's size.
    with torch.enable_grad(), warnings.catch_warnings():
        # Sizes that Python looks at are only those of checks, and the one batch.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        # torch.export, which takes its place, makes no file that bioimage.io knows.
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        recorded = torch.jit.trace(  # type: ignore[no-untyped-call]
            _Middle(network), (example, example), check_trace=False
        )
        file = io.BytesIO()
        torch.jit.save(recorded, file)
    return file.getvalue()


class _Middle(nn.Module):
    """The network with two inputs, and an output that is one tensor."""

    def __init__(self, network: SSAN) -> None:
        super().__init__()
        self.network = network

    def forward(self, previous: Tensor, following: Tensor) -> Tensor:
        with _AnyDevice(previous):
            middle = _zero(previous) + 0.5
            image: Tensor = self.network(previous, following, middle).image
        return image


class _AnyDevice(TorchFunctionMode):
    """Lets a recording hold on any device.

    It would fix a range of numbers to the device of the example; counted off from an
    input, the range lies where the input lies.
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
    """One zero, (1,), where `anchor` lies, whatever its values."""
    first = anchor.flatten()[:1]
    return (first > first).to(anchor.dtype)
