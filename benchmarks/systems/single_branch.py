"""What is not siamese: one look at both sections, from which both warps are made."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_ssan.network.attention import AttentionAwareLayer
from napari_ssan.network.ssan import HybridNetwork, SSANConfig, Synthesis, WarpHead
from systems.kernel_estimation import KernelEstimation
from systems.unet import UNet


def in_channels(config: SSANConfig) -> int:
    """Channels in which an extractor gets both sections, and the position where it is told."""
    return 2 * config.scale**2 + (1 if config.position_input else 0)


def pair(previous: Tensor, following: Tensor, position: Tensor, config: SSANConfig) -> Tensor:
    """Both sections at the features' resolution: (batch, channels, H/scale, W/scale).

    Parameters
    ----------
    previous, following : Tensor
        (batch, 1, H, W).
    position : Tensor
        (batch, 1, 1, 1), of the wanted section.
    config : SSANConfig
        Scale, and whether the position goes along.
    """
    x = functional.pixel_unshuffle(torch.cat((previous, following), dim=1), config.scale)
    if config.position_input:
        x = torch.cat((x, position.expand(-1, 1, *x.shape[2:])), dim=1)
    return x


def place(previous: Tensor, position: Tensor | None) -> Tensor:
    """Position as (batch, 1, 1, 1); the middle if it is not given."""
    if position is None:
        position = previous.new_full((len(previous),), 0.5)
    return position.to(previous.dtype).view(-1, 1, 1, 1)


class SingleBranch(nn.Module):
    """SSAN without its siamese form: features of concat(previous, following), made once.

    Each section has a warp head and a vote of its own, since the features no
    longer tell whose they are.

    Parameters
    ----------
    config : SSANConfig
        Attention, heads and resolution.
    extractor : Module
        (batch, :func:`in_channels`, H/scale, W/scale) to as many maps as
        ``config.features``.
    """

    def __init__(self, config: SSANConfig, extractor: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.extractor = extractor
        self.attention = (
            nn.Identity()
            if config.attention is None
            else AttentionAwareLayer(config.features, config.attention)
        )
        self.warp_heads = nn.ModuleList(WarpHead(config) for _ in range(2))
        self.hybrids = nn.ModuleList(HybridNetwork(config) for _ in range(2))

    def forward(
        self, previous: Tensor, following: Tensor, position: Tensor | None = None
    ) -> Synthesis:
        """See :meth:`SSAN.forward`."""
        position = place(previous, position)
        features = self.attention(self.extractor(pair(previous, following, position, self.config)))
        warps, votes = [], []
        sections = ((previous, following, position), (following, previous, 1 - position))
        for head, hybrid, (own, other, distance) in zip(
            self.warp_heads, self.hybrids, sections, strict=True
        ):
            warps.append(head(features, own, other, distance))
            votes.append(hybrid(features, warps[-1], own))
        prior = torch.logit(1 - position.float(), eps=1e-3)
        mask = torch.sigmoid(votes[0] - votes[1] + prior)
        warp0, warp1 = warps
        return Synthesis(mask * warp0 + (1 - mask) * warp1, warp0, warp1, mask)


class SepConv(nn.Module):
    """Adaptive separable convolution: U-Net features, four lines of taps a pixel.

    The section is the mean of both convolved ones, as in Niklaus et al. 2017:
    their sum, with kernels twice as strong. No mask weighs them.

    Parameters
    ----------
    config : SSANConfig
        Features and resolution; its attention and heads are not used.
    taps : int
        Length of a kernel along an axis.
    width : int
        Of the U-Net.
    """

    def __init__(self, config: SSANConfig, taps: int, width: int) -> None:
        super().__init__()
        self.config = config
        self.extractor = UNet(in_channels(config), config.features, width)
        self.kernels = nn.ModuleList(
            KernelEstimation(config.features, config.scale, taps) for _ in range(2)
        )

    def forward(
        self, previous: Tensor, following: Tensor, position: Tensor | None = None
    ) -> Synthesis:
        """See :meth:`SSAN.forward`."""
        position = place(previous, position)
        features = self.extractor(pair(previous, following, position, self.config))
        first, second = self.kernels
        warp0, warp1 = first(features, previous), second(features, following)
        return Synthesis((warp0 + warp1) / 2, warp0, warp1, torch.full_like(warp0, 0.5))
