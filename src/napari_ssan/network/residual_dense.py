"""Residual dense network (RDN): the feature extractor of both siamese branches.

After Zhang et al., *Residual Dense Network for Image Restoration* (2020): shallow
features, D residual dense blocks, dense feature fusion. The upsampler is left out.
There is no pooling, so features stay in place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResidualDenseBlock(nn.Module):
    """C convolutions, each taking all previous outputs, then a local fusion and a residual.

    Parameters
    ----------
    features : int
        Channels that enter and leave the block.
    layers : int
        Number C of 3x3 convolutions.
    growth : int
        Channels G that each convolution adds.
    batch_norm : bool
        Normalize after every convolution, as in the paper's text.
    """

    def __init__(self, features: int, layers: int, growth: int, batch_norm: bool) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            convolution(features + i * growth, growth, batch_norm) for i in range(layers)
        )
        self.fusion = nn.Conv2d(features + layers * growth, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, features, H, W) to the same shape."""
        dense = x
        for conv in self.convolutions:
            dense = torch.cat((dense, torch.relu(conv(dense))), dim=1)
        fused: Tensor = self.fusion(dense)
        return fused + x


class ResidualDenseNetwork(nn.Module):
    """Extracts hierarchical features from a pair of sections.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    features, blocks, layers, growth : int
        Channels of the feature maps, and D, C and G of the RDN.
    batch_norm : bool
        Normalize after every 3x3 convolution of the blocks.
    """

    def __init__(
        self,
        in_channels: int,
        features: int,
        blocks: int,
        layers: int,
        growth: int,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.shallow1 = nn.Conv2d(in_channels, features, 3, padding=1)
        self.shallow2 = nn.Conv2d(features, features, 3, padding=1)
        self.blocks = nn.ModuleList(
            ResidualDenseBlock(features, layers, growth, batch_norm) for _ in range(blocks)
        )
        self.fusion = nn.Sequential(
            nn.Conv2d(blocks * features, features, 1), nn.Conv2d(features, features, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, H, W) to (batch, features, H, W)."""
        shallow: Tensor = self.shallow1(x)
        x = self.shallow2(shallow)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        fused: Tensor = self.fusion(torch.cat(outputs, dim=1))
        return fused + shallow


def convolution(in_channels: int, out_channels: int, batch_norm: bool) -> nn.Module:
    """Make a 3x3 convolution that keeps height and width, with or without batch norm."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels)) if batch_norm else conv
