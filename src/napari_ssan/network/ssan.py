"""The whole network: siamese branches, warp heads, hybrid network, and its configuration.

Two neighbouring sections go in, the section between them comes out (Wang et al. 2021, Fig. 1).
Both branches share all weights and run as one batch. The network is symmetric: swapping the two
inputs swaps the branches and does not change the synthesized section, because the direction in
which a stack was cut has no meaning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from napari_ssan.network.attention import AttentionAwareLayer, decompose
from napari_ssan.network.residual_dense import ResidualDenseNetwork, convolution

#: A long-range attention with groups of more positions than this is decomposed again.
GROUP_THRESHOLD = 256
#: Channels of the heads, before the pixel-shuffle to the sections' own resolution.
HEAD_CHANNELS = 32


class SSANConfig(BaseModel):
    """Everything that determines the network's shape; round-trips to JSON.

    Attributes
    ----------
    scale : {1, 2}
        1 works at the sections' resolution, as in the paper; 2 at half of it (lossless
        pixel-unshuffle in, pixel-shuffle out), for machines without a GPU.
    features, blocks, layers, growth : int
        Channels of the features, and D, C, G of the residual dense network.
    attention : tuple of int or None
        Interlacing factors of the attention-aware layer: ``(8, 4)`` is the paper's, ``(8,)``
        interlaced sparse self-attention, ``()`` dense self-attention. None leaves attention out.
    warp : {"residual", "displaced"}
        How a head makes a warped section: ``residual`` adds a correction to the
        branch's own section; ``displaced`` first displaces its pixels.
    displacement : float
        Largest displacement along an axis, in pixels, for a section in the middle.
        It grows with the distance from the branch's own section.
    position_input : bool
        Tell the network where the wanted section lies between the two.
        Without it the network only makes the middle one.
    normalization : {"none", "batch"}
        Batch normalization as in the paper's text, or none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Literal[1, 2] = 2
    features: int = Field(64, ge=8, multiple_of=8)
    blocks: int = Field(4, ge=1)
    layers: int = Field(3, ge=1)
    growth: int = Field(32, ge=1)
    attention: tuple[Annotated[int, Field(ge=1)], ...] | None = (8, 4)
    warp: Literal["residual", "displaced"] = "displaced"
    displacement: float = Field(24.0, gt=0, allow_inf_nan=False)
    position_input: bool = True
    normalization: Literal["none", "batch"] = "none"

    @property
    def multiple(self) -> int:
        """Height and width of an input must be multiples of this, in pixels."""
        return math.prod(self.attention or ()) * self.scale


def preset(name: str) -> SSANConfig:
    """Return a named configuration.

    ``half`` works at half resolution and suits CPUs; ``large`` does so with five times the
    weights, for GPUs; ``paper`` is the paper's full-resolution network without batch
    normalization, ``paper-bn`` with it.

    Raises
    ------
    KeyError
        If there is no preset of that name.
    """
    paper = SSANConfig(
        scale=1, attention=decompose(512, GROUP_THRESHOLD), warp="residual", position_input=False
    )
    half = SSANConfig(attention=decompose(256, GROUP_THRESHOLD))
    wide = {"features": 128, "blocks": 6, "layers": 4, "growth": 48}
    return {
        "half": half,
        "large": half.model_copy(update=wide),
        "paper": paper,
        "paper-bn": paper.model_copy(update={"normalization": "batch"}),
    }[name]


@dataclass(frozen=True)
class Synthesis:
    """The network's output for a section: (batch, 1, H, W) each.

    Attributes
    ----------
    image : Tensor
        The synthesized section.
    warp0, warp1 : Tensor
        The section as warped from the previous and from the next one.
    mask : Tensor
        Share of `warp0` in `image`, 0 to 1.
    """

    image: Tensor
    warp0: Tensor
    warp1: Tensor
    mask: Tensor


class SSAN(nn.Module):
    """Sparse self-attention aggregation network.

    Parameters
    ----------
    config : SSANConfig
    """

    def __init__(self, config: SSANConfig) -> None:
        super().__init__()
        self.config = config
        frames = 2 * config.scale**2 + (1 if config.position_input else 0)
        rdn = config.features, config.blocks, config.layers, config.growth
        self.extractor = ResidualDenseNetwork(frames, *rdn, config.normalization == "batch")
        self.attention: nn.Module = nn.Identity()
        if config.attention is not None:
            self.attention = AttentionAwareLayer(config.features, config.attention)
        self.warp_head = WarpHead(config)
        self.hybrid = HybridNetwork(config)

    def forward(
        self, previous: Tensor, following: Tensor, position: Tensor | None = None
    ) -> Synthesis:
        """Synthesize the section between two.

        Parameters
        ----------
        previous, following : Tensor
            (batch, 1, H, W), the sections before and after, with normalized
            intensities; H and W are multiples of ``config.multiple``.
        position : Tensor, optional
            (batch,), where the wanted section lies: 0 at `previous`, 1 at
            `following`. Default is the middle.
        """
        batch = len(previous)
        if position is None:
            position = previous.new_full((batch,), 0.5)
        own = torch.cat((previous, following))
        other = torch.cat((following, previous))
        distance = torch.cat((position, 1 - position)).to(own.dtype).view(-1, 1, 1, 1)

        warped, votes = self.branch(own, other, distance)

        # Before training, the mask weighs each warp by how close its own section lies.
        prior = torch.logit(1 - distance[:batch], eps=1e-3)
        mask = torch.sigmoid(votes[:batch] - votes[batch:] + prior)
        warp0, warp1 = warped[:batch], warped[batch:]
        return Synthesis(mask * warp0 + (1 - mask) * warp1, warp0, warp1, mask)

    def branch(self, own: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Run one siamese branch, or both as one batch.

        Parameters
        ----------
        own, other : Tensor
            (batch, 1, H, W), the section to warp and the one across the gap.
        distance : Tensor
            (batch, 1, 1, 1), distance of the wanted section from `own`: 0 at `own`, 1 at `other`.

        Returns
        -------
        warped, votes : Tensor
            (batch, 1, H, W) each, float32: the section as warped from `own`, and
            the log-odds in favour of it.
        """
        x = functional.pixel_unshuffle(torch.cat((own, other), dim=1), self.config.scale)
        if self.config.position_input:
            x = torch.cat((x, distance.expand(-1, 1, *x.shape[2:])), dim=1)
        features = self.attention(self.extractor(x.to(next(self.parameters()).dtype)))
        warped = self.warp_head(features, own, other, distance)
        return warped, self.hybrid(features, warped, own)


class Head(nn.Module):
    """From the features of a branch to maps at the sections' resolution.

    The last convolutions work at that resolution and take sections themselves; with a
    pixel-shuffle alone, its grid would be visible.
    """

    def __init__(self, config: SSANConfig, outputs: int) -> None:
        super().__init__()
        self.scale = config.scale
        batch_norm = config.normalization == "batch"
        self.reduce = convolution(config.features, HEAD_CHANNELS, batch_norm)
        channels = HEAD_CHANNELS // config.scale**2
        self.refine = convolution(channels + 2, channels, batch_norm)
        self.out = nn.Conv2d(channels, outputs, 3, padding=1)

    def maps(self, features: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Map (batch, features, H/scale, W/scale) and sections to (batch, outputs, H, W)."""
        x = functional.pixel_shuffle(torch.relu(self.reduce(features)), self.scale)
        x = torch.relu(self.refine(torch.cat((x, first.to(x.dtype), second.to(x.dtype)), dim=1)))
        maps: Tensor = self.out(x).float()
        return maps


class WarpHead(Head):
    """Turns the features of a branch into its warped section."""

    def __init__(self, config: SSANConfig) -> None:
        super().__init__(config, 3 if config.warp == "displaced" else 1)
        # The largest displacement; none at all if the section is only corrected.
        self.limit = config.displacement if config.warp == "displaced" else None
        # Start from the branch's own section, unmoved and uncorrected.
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, own: Tensor, other: Tensor, distance: Tensor) -> Tensor:
        """Map (batch, features, H/scale, W/scale) and the sections to (batch, 1, H, W)."""
        return self.warp(self.maps(features, own, other), own, distance)

    def warp(self, maps: Tensor, own: Tensor, distance: Tensor) -> Tensor:
        """Displace and correct the branch's own section."""
        own = own.float()
        if self.limit is not None:
            # tanh bounds the displacement of the middle section, which lies at distance 0.5.
            field = 2 * distance.float() * self.limit * torch.tanh(maps[:, 1:] / self.limit)
            own = displace(own, field)
        return own + maps[:, :1]


class HybridNetwork(Head):
    """A branch's vote for its own warp, pixel by pixel, from features, warp and own section."""

    def __init__(self, config: SSANConfig) -> None:
        super().__init__(config, 1)

    def forward(self, features: Tensor, warped: Tensor, own: Tensor) -> Tensor:
        """Map (batch, features, H/scale, W/scale) and sections to votes (batch, 1, H, W)."""
        return self.maps(features, warped, own)


def displace(image: Tensor, field: Tensor) -> Tensor:
    """Sample an image at displaced positions, with bicubic interpolation and repeated border.

    Parameters
    ----------
    image : Tensor
        (batch, 1, H, W).
    field : Tensor
        (batch, 2, H, W), displacement in pixels along x, then y.
    """
    height, width = image.shape[2:]
    y = torch.arange(height, device=image.device, dtype=image.dtype).view(-1, 1)
    x = torch.arange(width, device=image.device, dtype=image.dtype).view(1, -1)
    grid_x = (x + field[:, 0] + 0.5) * (2 / width) - 1
    grid_y = (y + field[:, 1] + 0.5) * (2 / height) - 1
    grid = torch.stack((grid_x, grid_y), dim=-1)
    return functional.grid_sample(
        image, grid, mode="bicubic", padding_mode="border", align_corners=False
    )
