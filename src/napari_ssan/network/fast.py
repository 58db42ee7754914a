"""The parts of the network in forms that are fast on a CPU.

A CPU waits for memory, not for products. So there is no concatenation: maps that belong together
lie side by side in one buffer, and what has to be done to a map anyway (bias, ReLU, shuffle)
writes it into its place. Buffers are kept from tile to tile, because fresh memory costs more than
its use; and 1x1 convolutions are matrix products, which can write into memory that is there.
Three things were measured and do not help: strips of a map that fit the cache, convolutions
split by their inputs, and OpenVINO (``docs/experiments/speed.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_ssan.network.attention import AttentionAwareLayer
from napari_ssan.network.residual_dense import ResidualDenseBlock, ResidualDenseNetwork
from napari_ssan.network.ssan import SSAN, Head, HybridNetwork, WarpHead

#: Convolutions with more output channels are split: their results come from memory that was
#: freed before, while the system has to clear larger ones page by page.
MOST_CHANNELS = 32


def make_fast(network: SSAN, *, cheap_products: bool) -> None:
    """Replace the parts of a network, in place.

    With `cheap_products` all convolutions of a block read the whole buffer, with weights of zero
    for what does not count. Else each reads a buffer of its own width, which takes more copies.
    """
    # The casts keep the attributes' declared types; the stand-ins are only ever called.
    network.extractor = cast(ResidualDenseNetwork, _Extractor(network.extractor, cheap_products))
    if isinstance(network.attention, AttentionAwareLayer):
        network.attention = cast(AttentionAwareLayer, _Attention(network.attention))
    network.warp_head = cast(WarpHead, _WarpHead(network.warp_head))
    network.hybrid = cast(HybridNetwork, _Maps(network.hybrid))


class _Extractor(nn.Module):
    """:class:`ResidualDenseNetwork`; the biases of the blocks' fusions are added up beforehand."""

    def __init__(self, network: ResidualDenseNetwork, cheap_products: bool) -> None:
        super().__init__()
        fusion, last = cast(nn.Conv2d, network.fusion[0]), cast(nn.Conv2d, network.fusion[1])
        self.shallow1, self.shallow2 = _Split(network.shallow1), _Split(network.shallow2)
        self.last = _Split(last)
        offset, bias = torch.zeros(last.out_channels), _bias(fusion).clone()
        parts = torch.split(fusion.weight.flatten(1), len(offset), dim=1)
        self.blocks = nn.ModuleList()
        for module, part in zip(network.blocks, parts, strict=True):
            block = cast(ResidualDenseBlock, module)
            self.blocks.append(_Block(block, offset, part, shared=cheap_products))
            offset = offset + _bias(block.fusion)
            bias += part @ offset
        self.bias = _constant(bias)
        widths = cast(_Block, self.blocks[0]).widths
        self._memory = _Memory([*widths, *3 * [last.out_channels]])

    def forward(self, x: Tensor) -> Tensor:
        with self._memory.lent(x, x.shape) as (*buffers, shallow, features, fused):
            self.shallow1(x.contiguous(memory_format=torch.channels_last), shallow)
            self.shallow2(shallow, features)
            total = _lines(fused)
            total.copy_(self.bias.expand_as(total))
            for block in self.blocks:
                block(features, buffers)
                total.addmm_(_lines(features), cast(_Block, block).part)
            out = torch.empty_like(features)
            self.last(fused, out)
            return out.add_(shallow)


class _Block(nn.Module):
    """A block whose maps lie in buffers; works in place on its input, without its bias.

    `offset` is what the biases of the fusions of all blocks before it add up to; `part` are the
    weights of what the block contributes to the network's fusion.
    """

    def __init__(
        self, block: ResidualDenseBlock, offset: Tensor, part: Tensor, *, shared: bool
    ) -> None:
        super().__init__()
        convolutions = [cast(nn.Conv2d, conv) for conv in block.convolutions]
        self.starts = [*(conv.in_channels for conv in convolutions), block.fusion.in_channels]
        #: Channels of the buffers.
        self.widths = self.starts[-1:] if shared else self.starts
        width = self.starts[-1] if shared else 0
        self.convolutions = nn.ModuleList(_widened(conv, width) for conv in convolutions)
        self.offset = _constant(offset.view(1, -1, 1, 1))
        self.fusion = _constant(block.fusion.weight.flatten(1).t().contiguous())
        self.part = _constant(part.t().contiguous())

    def forward(self, x: Tensor, buffers: list[Tensor]) -> None:
        _place(partial(torch.add, x, self.offset), buffers, 0, x.shape[1])
        for conv, start in zip(self.convolutions, self.starts, strict=False):
            new: Tensor = conv(buffers[0])
            buffers = buffers[1:] or buffers
            _place(partial(torch.clamp_min, new, 0), buffers, start, new.shape[1])
        _lines(x).addmm_(_lines(buffers[0]), self.fusion)


class _Attention(nn.Module):
    """The attention-aware layer; overwrites the features that it is given."""

    def __init__(self, layer: AttentionAwareLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer.fast_(x)


class _Maps(nn.Module):
    """:meth:`Head.maps`."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.scale = head.scale
        reduce = cast(nn.Conv2d, head.reduce)
        self.reduce = nn.Conv2d(reduce.in_channels, reduce.out_channels, 3, padding=1)
        for own, given in zip(self.reduce.parameters(), reduce.parameters(), strict=True):
            # The channels of a pixel side by side, as they are needed after the shuffle.
            ordered = given.view(-1, self.scale**2, *given.shape[1:]).transpose(0, 1)
            own.data = ordered.reshape(given.shape)
        self.refine, self.out = head.refine, head.out
        self.channels = reduce.out_channels // self.scale**2
        self._memory = _Memory([self.channels + 2])

    def forward(self, features: Tensor, first: Tensor, second: Tensor) -> Tensor:
        reduced: Tensor = self.reduce(features)
        batch, _, height, width = reduced.shape
        shape = (batch, height, width, self.scale, self.scale, self.channels)
        with self._memory.lent(reduced, first.shape) as (joined,):
            place = joined[:, : self.channels].permute(0, 2, 3, 1)
            place = place.view(batch, height, self.scale, width, self.scale, self.channels)
            cells = reduced.permute(0, 2, 3, 1).view(shape).transpose(2, 3)
            torch.clamp_min(cells, 0, out=place)
            for number, section in enumerate((first, second), self.channels):
                joined[:, number : number + 1] = section
            refined: Tensor = self.refine(joined)
        maps: Tensor = self.out(refined.relu_()).float()
        return maps


class _WarpHead(nn.Module):
    def __init__(self, head: WarpHead) -> None:
        super().__init__()
        self.head, self.maps = head, _Maps(head)

    def forward(self, features: Tensor, own: Tensor, other: Tensor, distance: Tensor) -> Tensor:
        return self.head.warp(self.maps(features, own, other), own, distance)


class _Split(nn.Module):
    """A 3x3 convolution in parts that write side by side."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        pieces = (torch.split(x, MOST_CHANNELS) for x in (conv.weight, _bias(conv)))
        for weight, bias in zip(*pieces, strict=True):
            self.parts.append(_convolution(weight, bias))

    def forward(self, x: Tensor, out: Tensor) -> None:
        for place, part in zip(torch.split(out, MOST_CHANNELS, dim=1), self.parts, strict=True):
            place.copy_(part(x))


class _Memory:
    """Buffers that are kept from one tile to the next.

    Maps of `widths` channels each, channels-last. Their values are finite, and left from before.
    Threads may share it.
    """

    def __init__(self, widths: list[int]) -> None:
        self._widths = widths
        self._free: list[list[Tensor]] = []

    @contextmanager
    def lent(self, like: Tensor, shape: torch.Size) -> Iterator[list[Tensor]]:
        """Lend maps as wide and high as (batch, C, H, W), in the dtype of another tensor."""
        batch, _, height, width = shape
        shapes = [(batch, height, width, channels) for channels in self._widths]
        try:
            buffers = self._free.pop()
        except IndexError:  # none yet, or another thread has them
            buffers = []
        if [buffer.shape for buffer in buffers] != shapes:
            buffers = [like.new_zeros(shape) for shape in shapes]
        yield [buffer.permute(0, 3, 1, 2) for buffer in buffers]
        self._free = [buffers]


def _place(make: Callable[..., Tensor], buffers: list[Tensor], start: int, channels: int) -> None:
    """Make a map in the first of some buffers, and copy it to the others."""
    first, *others = (buffer[:, start : start + channels] for buffer in buffers)
    make(out=first)
    for other in others:
        other.copy_(first)


def _widened(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """A convolution that reads at least so many channels; those that are new do not count."""
    new = max(0, channels - conv.in_channels)
    return _convolution(functional.pad(conv.weight, (0, 0, 0, 0, 0, new)), _bias(conv))


def _convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
    conv.weight, conv.bias = _constant(weight), _constant(bias)
    return conv


def _constant(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


def _lines(x: Tensor) -> Tensor:
    """(batch, C, H, W), channels-last, as a matrix (pixels, C)."""
    return x.permute(0, 2, 3, 1).view(-1, x.shape[1])
