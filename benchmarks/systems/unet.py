"""The U-Net as a feature extractor (Ronneberger et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class UNet(nn.Module):
    """Encoder and decoder over four resolutions, with skip connections.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the features.
    width : int
        Channels at the finest resolution; each coarser one has twice as many.
    levels : int
        Resolutions. Height and width are multiples of ``2 ** (levels - 1)``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, width: int = 64, levels: int = 4
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            _pair(before, after)
            for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * after, after, 2, stride=2) for after in reversed(widths[:-1])
        )
        self.merge = nn.ModuleList(_pair(2 * after, after) for after in reversed(widths[:-1]))
        self.out = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, H, W) to (batch, out_channels, H, W)."""
        skips: list[Tensor] = []
        for stage in self.down:
            x = stage(nn.functional.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat((up(x), skips.pop()), dim=1))
        features: Tensor = self.out(x)
        return features


def _pair(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.ReLU(),
    )
