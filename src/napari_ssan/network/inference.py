"""The network in its fast form, for synthesis without gradients.

Three things make it faster on a CPU: channels-last tensors; bfloat16 weights and
features where the processor multiplies them in hardware; and one buffer for all
concatenations (allocating memory for each takes longer than filling it). Two things
were measured and do not help: 1x1 convolutions as matrix products, and convolutions
split by their inputs so that nothing has to be concatenated.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from napari_ssan.network.attention import AttentionAwareLayer
from napari_ssan.network.device import has_fast_bfloat16
from napari_ssan.network.residual_dense import ResidualDenseBlock, ResidualDenseNetwork
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
        # The casts keep the attributes' declared types; both stand-ins are only ever called.
        fast.extractor = cast(ResidualDenseNetwork, _FastExtractor(fast.extractor))
        if isinstance(fast.attention, AttentionAwareLayer) and device.type == "cpu":
            fast.attention = cast(AttentionAwareLayer, _InPlaceAttention(fast.attention))
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


class _FastExtractor(nn.Module):
    """:class:`ResidualDenseNetwork` with one buffer for all its concatenations."""

    def __init__(self, network: ResidualDenseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        net = self.network
        x = x.contiguous(memory_format=torch.channels_last)
        shallow: Tensor = net.shallow1(x)
        x = net.shallow2(shallow)
        buffer = _Buffer()
        outputs = []
        for block in net.blocks:
            x = _run_block(cast(ResidualDenseBlock, block), x, buffer)
            outputs.append(x)
        fused: Tensor = net.fusion(buffer.concatenate(outputs))
        return fused.add_(shallow)


def _run_block(block: ResidualDenseBlock, x: Tensor, buffer: _Buffer) -> Tensor:
    parts = [x]
    for conv in block.convolutions:
        new: Tensor = conv(buffer.concatenate(parts))
        parts.append(new.relu_())
    fused: Tensor = block.fusion(buffer.concatenate(parts))
    return fused.add_(x)


class _InPlaceAttention(nn.Module):
    """The attention-aware layer; overwrites the features that it is given."""

    def __init__(self, layer: AttentionAwareLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer.fast_(x.contiguous(memory_format=torch.channels_last))


class _Buffer:
    """Memory for one concatenation at a time; the next one overwrites it."""

    def __init__(self) -> None:
        self._memory = torch.empty(0)

    def concatenate(self, parts: Sequence[Tensor]) -> Tensor:
        """Join maps (batch, C_i, H, W) along their channels, channels-last."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        batch, _, height, width = first.shape
        channels = sum(part.shape[1] for part in parts)
        size = batch * height * width * channels
        if self._memory.numel() < size:
            self._memory = first.new_empty(size)
        joined = self._memory[:size].view(batch, height, width, channels).permute(0, 3, 1, 2)
        return torch.cat(list(parts), dim=1, out=joined)


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
