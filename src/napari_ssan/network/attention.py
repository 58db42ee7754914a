"""Self-attention over groups of positions, and the attention-aware layer (AAL).

One building block serves all three systems of the paper's Table 2: a :class:`SelfAttention` over
a :class:`Lattice` of positions. Dense self-attention (SA) has one lattice of all positions;
interlaced sparse self-attention (SSA) has a long-range and a short-range one; the attention-aware
layer decomposes the long-range one once more. Each stage has two paths with the same values:
``forward``, and ``fast_`` for inference on a CPU, which works in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

#: Channels of query and key are the features' divided by this (k of eq. 9-11).
REDUCTION = 8
#: Working set of the fast path. It fits a last-level cache, and it is large enough that threads
#: rarely wait for each other (4 MiB is no faster on idle cores, and half as fast on busy ones).
CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Lattice:
    """Which positions attend to each other along each axis.

    An axis of length N is cut into ``N / (count * stride)`` blocks; within one
    block the ``count`` positions that lie ``stride`` apart form a group.

    Parameters
    ----------
    stride : int
        Distance between neighbouring members.
    count : int or None
        Members along an axis. None means as many as fit, so that the group spans the whole map.
    """

    stride: int
    count: int | None

    def members(self, length: int) -> int:
        """Count the members of a group along an axis of `length` positions.

        Raises
        ------
        ValueError
            If the lattice does not tile the axis.
        """
        count = length // self.stride if self.count is None else self.count
        if count == 0 or length % (count * self.stride):
            raise ValueError(f"{self} does not tile {length} positions")
        return count

    def group_size(self, height: int, width: int) -> int:
        """Count the positions in one group of a map of height x width."""
        return self.members(height) * self.members(width)


def decompose(size: int, threshold: int, first: int = 8, further: int = 4) -> tuple[int, ...]:
    """Interlacing factors of the multi-level decomposition, for a size x size map.

    The long-range affinity matrix is decomposed again while its groups have more than `threshold`
    positions ("If the size of the sparse affinity sub-matrix is larger than the threshold, the
    sub-matrix continues to decompose itself in the same way").

    Returns
    -------
    tuple of int
        ``()`` is dense self-attention, ``(8,)`` SSA, ``(8, 4)`` the paper's AAL.
    """
    factors: tuple[int, ...] = ()
    while (size // math.prod(factors)) ** 2 > threshold:
        factor = further if factors else first
        if size % (math.prod(factors) * factor):
            break
        factors += (factor,)
    return factors


def lattices(factors: tuple[int, ...]) -> list[Lattice]:
    """Return lattices in the order in which attention runs, from long range to short.

    For ``(8, 4)``: the whole map at stride 32, 4x4 positions at stride 8, 8x8
    adjacent positions, i.e. long(long, short), then short.
    """
    strides = [math.prod(factors[:level]) for level in range(len(factors) + 1)]
    shorter = [Lattice(stride, factor) for stride, factor in zip(strides, factors, strict=False)]
    return [Lattice(strides[-1], None), *reversed(shorter)]


class SelfAttention(nn.Module):
    """Self-attention within the groups of a lattice (eq. 1-3, and 5-6 for each group).

    ``y = gamma * v softmax(q k^T / sqrt(C / 2)) + x`` with 1x1 convolutions
    for q and k (C/8 channels) and v (C channels); gamma starts at 0.
    """

    def __init__(self, channels: int, lattice: Lattice) -> None:
        super().__init__()
        self.lattice = lattice
        self.query = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.key = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))
        self.scale = (channels / 2) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, C, H, W) to the same shape; H and W are tiled by the lattice."""
        q, k, v = (self._group(m(x)) for m in (self.query, self.key, self.value))
        affinity = torch.softmax(q @ k.transpose(1, 2) * self.scale, dim=-1)
        return self.gamma * self._ungroup(affinity @ v, x.shape) + x

    @torch.no_grad()
    def fast_(self, x: Tensor) -> Tensor:
        """Do :meth:`forward` in place on a channels-last tensor, for inference on a CPU.

        One projection gives query, key and value together. Groups are processed in chunks that
        stay in the cache, so the logits and the softmax never exist for the whole map.

        Parameters
        ----------
        x : Tensor
            (batch, C, H, W), dense in ``torch.channels_last``; overwritten.
        """
        batch, channels, height, width = x.shape
        rows, columns = self.lattice.members(height), self.lattice.members(width)
        stride = self.lattice.stride
        depth = self.query.out_channels
        size = rows * columns
        weight, bias = self._projection(x.dtype)
        # (batch, row block, row offset, column block, column offset, rows, columns, C)
        groups = x.permute(0, 2, 3, 1).view(
            batch, height // (rows * stride), rows, stride,
            width // (columns * stride), columns, stride, channels,
        ).permute(0, 1, 3, 4, 6, 2, 5, 7)  # fmt: skip
        count = math.prod(groups.shape[:5])
        per_group = size * (size + 2 * channels + 2 * depth) * x.element_size()
        step = min(max(1, CHUNK_BYTES // per_group), count)
        members = x.new_empty(step, size, channels)
        projections = x.new_empty(step * size, weight.shape[1])
        affinities = x.new_empty(step, size, size)
        for target in _chunks(groups, step):
            n = math.prod(target.shape[:5])
            inside, affinity = members[:n], affinities[:n]
            inside.view(target.shape).copy_(target)
            projected = projections[: n * size]
            torch.addmm(bias, inside.view(-1, channels), weight, out=projected)
            projected = projected.view(n, size, -1)
            q, k = projected[..., :depth], projected[..., depth : 2 * depth]
            v = projected[..., 2 * depth :]
            torch.bmm(q, k.transpose(1, 2), out=affinity)
            torch.softmax(affinity, dim=-1, out=affinity)
            torch.baddbmm(inside, affinity, v, out=inside)
            target.copy_(inside.view(target.shape))
        return x

    def _projection(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight (C, 2 C/8 + C) and bias that give q, k and v, with scale and gamma included."""
        rows = []
        for conv, factor in ((self.query, self.scale), (self.key, 1.0), (self.value, self.gamma)):
            assert conv.bias is not None
            rows.append(torch.cat((conv.weight.flatten(1), conv.bias[:, None]), dim=1) * factor)
        projection = torch.cat(rows).t().to(dtype)
        return projection[:-1].contiguous(), projection[-1].contiguous()

    def _group(self, x: Tensor) -> Tensor:
        """(batch, C, H, W) to (groups, members, C)."""
        batch, channels, height, width = x.shape
        rows, columns = self.lattice.members(height), self.lattice.members(width)
        stride = self.lattice.stride
        x = x.reshape(
            batch, channels, height // (rows * stride), rows, stride,
            width // (columns * stride), columns, stride,
        )  # fmt: skip
        return x.permute(0, 2, 4, 5, 7, 3, 6, 1).reshape(-1, rows * columns, channels)

    def _ungroup(self, x: Tensor, shape: torch.Size) -> Tensor:
        """Invert :meth:`_group`."""
        batch, channels, height, width = shape
        rows, columns = self.lattice.members(height), self.lattice.members(width)
        stride = self.lattice.stride
        x = x.reshape(
            batch, height // (rows * stride), stride, width // (columns * stride), stride,
            rows, columns, channels,
        )  # fmt: skip
        return x.permute(0, 7, 1, 5, 2, 3, 6, 4).reshape(shape)


class AttentionAwareLayer(nn.Module):
    """Multi-level sparse self-attention: every position sees every other.

    Parameters
    ----------
    channels : int
        Channels C of the map.
    factors : tuple of int
        Interlacing factors, level by level; see :func:`decompose`.
    """

    def __init__(self, channels: int, factors: tuple[int, ...] = (8, 4)) -> None:
        super().__init__()
        self.stages = nn.ModuleList(SelfAttention(channels, lat) for lat in lattices(factors))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, C, H, W) to the same shape.

        On a CPU without gradients this takes the fast path, which gives the same
        values. `x` does not change.
        """
        if torch.is_grad_enabled() or x.device.type != "cpu":
            for stage in self.stages:
                x = stage(x)
            return x
        return self.fast_(x.clone(memory_format=torch.channels_last))

    def fast_(self, x: Tensor) -> Tensor:
        """Run :meth:`SelfAttention.fast_` of all stages in turn."""
        for stage in self.stages:
            cast(SelfAttention, stage).fast_(x)
        return x


def _chunks(groups: Tensor, step: int, axis: int = 0) -> Iterator[Tensor]:
    """Split into parts with at most `step` groups each; the first five axes count groups.

    Parts are as large as possible: all threads synchronize once per operation on a
    part, which costs a time slice when another program holds a core.
    """
    inner = math.prod(groups.shape[axis + 1 : 5])
    for part in torch.split(groups, max(1, step // inner), dim=axis):
        if inner > step:
            yield from _chunks(part, step, axis + 1)
        else:
            yield part
