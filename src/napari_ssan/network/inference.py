"""The network in its fast form, for synthesis without gradients.

Tensors are channels-last, and weights and features bfloat16 where the processor multiplies them
in hardware. What makes it faster on a CPU besides is in :mod:`~napari_ssan.network.fast`.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from napari_ssan.network.device import has_fast_bfloat16, has_matrix_unit
from napari_ssan.network.fast import make_fast
from napari_ssan.network.ssan import SSAN, Synthesis


class Runner:
    """A network prepared for fast synthesis; threads may share it.

    Parameters
    ----------
    network : SSAN
        Is copied and does not change.
    device : torch.device
        Where to run.
    precision : {"auto", "float32"}
        ``auto`` computes features in bfloat16 if the device has it in hardware.
        Sections, warps and mask are always float32.
    views : {1, 2, 4, 8}
        How many mirrored and turned views of the sections to average (self-ensemble).
        Time grows in proportion. Swapping the sections would add nothing.
    """

    def __init__(
        self,
        network: SSAN,
        device: torch.device,
        precision: Literal["auto", "float32"] = "auto",
        views: int = 1,
    ) -> None:
        self.views = views
        reduced = precision == "auto" and has_fast_bfloat16(device)
        self.device = device
        self.dtype = torch.bfloat16 if reduced else torch.float32
        fast = copy.deepcopy(network).eval().requires_grad_(False)
        _fuse_batch_norm(fast)
        if device.type == "cpu":
            make_fast(fast, cheap_products=reduced and has_matrix_unit())
        fast.to(device, self.dtype)
        convert_conv2d_weight_memory_format(fast, torch.channels_last)
        self._network = fast

    @torch.no_grad()
    def synthesis(
        self, previous: Tensor, following: Tensor, position: Tensor | None = None
    ) -> Synthesis:
        """Synthesize the section between two, with both warps and the mask.

        Parameters
        ----------
        previous, following : Tensor
            (batch, 1, H, W), intensities normalized; H and W are multiples of
            ``config.multiple``.
        position : Tensor, optional
            (batch,), 0 at `previous`, 1 at `following`. Default is the middle.

        Returns
        -------
        Synthesis
            float32, on the device of `previous`.
        """
        home = previous.device
        if position is not None:
            position = position.to(self.device, torch.float32)
        pair = [x.to(self.device, torch.float32) for x in (previous, following)]
        sums: list[Tensor] = []
        for number in range(self.views):
            made: Synthesis = self._network(*(_view(x, number) for x in pair), position)
            parts = [
                _view_undone(x, number) for x in (made.image, made.warp0, made.warp1, made.mask)
            ]
            sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
        image, warp0, warp1, mask = ((x / self.views).to(home) for x in sums)
        return Synthesis(image, warp0, warp1, mask)


def _view(x: Tensor, number: int) -> Tensor:
    """Mirror (..., H, W) if `number` is odd, then turn it by ``number // 2`` quarters."""
    return torch.rot90(x.flip(-1) if number % 2 else x, number // 2, (-2, -1))


def _view_undone(x: Tensor, number: int) -> Tensor:
    x = torch.rot90(x, -(number // 2), (-2, -1))
    return x.flip(-1) if number % 2 else x


def _fuse_batch_norm(module: nn.Module) -> None:
    """Merge each batch normalization into the convolution before it."""
    for name, child in module.named_children():
        if (
            isinstance(child, nn.Sequential)
            and len(child) == 2
            and isinstance(child[0], nn.Conv2d)
            and isinstance(child[1], nn.BatchNorm2d)
        ):
            setattr(module, name, fuse_conv_bn_eval(child[0], child[1]))
        else:
            _fuse_batch_norm(child)
