"""The whole network: siamese branches, warp heads, hybrid network, and its configuration.

Two neighbouring sections go in, the section between them comes out
(Wang et al. 2021, Fig. 1). Both branches share all weights and run as one
batch. The hybrid mask is built from the same branch-symmetric parts, so that
swapping the two inputs swaps the branches exactly and leaves the synthesized
section as it is: the direction in which a stack was cut carries no meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from napari_ssan.network.attention import AttentionAwareLayer, decompose
from napari_ssan.network.residual_dense import ResidualDenseNetwork, convolution

#: Largest group of positions in a long-range attention before it is decomposed again.
GROUP_THRESHOLD = 256
#: Channels of the convolutions that work at the sections' own resolution.
HEAD_CHANNELS = 32


class SSANConfig(BaseModel):
    """Everything that determines the network's shape; round-trips to JSON.

    Attributes
    ----------
    scale : {1, 2}
        1 works at the sections' resolution as the paper does; 2 at half of it
        (lossless pixel-unshuffle in, pixel-shuffle out), for machines without a GPU.
    features, blocks, layers, growth : int
        Channels of the features, and D, C, G of the residual dense network.
    attention : tuple of int or None
        Interlacing factors of the attention-aware layer: ``(8, 4)`` is the
        paper's, ``(8,)`` interlaced sparse self-attention, ``()`` dense; None
        leaves attention out.
    warp : {"residual", "displaced"}
        How a head makes a warped section: by a correction added to its own
        input, or by displacing the pixels of its own input and then correcting.
    displacement : float
        Largest displacement of the middle section along an axis, in pixels;
        elsewhere it grows with the distance from the branch's own section.
    position_input : bool
        Tell the network where between the two sections the wanted one lies.
        Without it the network only knows the middle.
    normalization : {"none", "batch"}
        Batch normalization as in the paper's text, or none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Literal[1, 2] = 2
    features: int = Field(64, ge=8, multiple_of=8)
    blocks: int = Field(4, ge=1)
    layers: int = Field(3, ge=1)
    growth: int = Field(32, ge=1)
    attention: tuple[int, ...] | None = (8, 4)
    warp: Literal["residual", "displaced"] = "displaced"
    displacement: float = Field(24.0, gt=0)
    position_input: bool = True
    normalization: Literal["none", "batch"] = "none"

    @property
    def multiple(self) -> int:
        """Height and width of an input are multiples of this, in pixels."""
        lattice = 1
        for factor in self.attention or ():
            lattice *= factor
        return lattice * self.scale


def preset(name: str) -> SSANConfig:
    """Return a named configuration.

    ``half`` works at half resolution and suits CPUs; ``paper`` is the paper's
    full-resolution network without batch normalization, ``paper-bn`` with it.

    Raises
    ------
    KeyError
        If there is no preset of that name.
    """
    paper = SSANConfig(
        scale=1,
        attention=decompose(512, GROUP_THRESHOLD),
        warp="residual",
        position_input=False,
    )
    return {
        "half": SSANConfig(attention=decompose(256, GROUP_THRESHOLD)),
        "paper": paper,
        "paper-bn": paper.model_copy(update={"normalization": "batch"}),
    }[name]


@dataclass(frozen=True)
class Synthesis:
    """What the network says of a section: (batch, 1, H, W) each.

    Attributes
    ----------
    image : Tensor
        The synthesized section.
    warp0, warp1 : Tensor
        The section as seen from the previous and from the next one.
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
        The network's shape.
    """

    def __init__(self, config: SSANConfig) -> None:
        super().__init__()
        self.config = config
        frames = 2 * config.scale**2 + (1 if config.position_input else 0)
        self.extractor = ResidualDenseNetwork(
            frames,
            config.features,
            config.blocks,
            config.layers,
            config.growth,
            config.normalization == "batch",
        )
        self.attention = (
            nn.Identity()
            if config.attention is None
            else AttentionAwareLayer(config.features, config.attention)
        )
        self.warp_head = WarpHead(config)
        self.hybrid = HybridNetwork(config)

    def forward(
        self, previous: Tensor, following: Tensor, position: Tensor | None = None
    ) -> Synthesis:
        """Synthesize the section between two.

        Parameters
        ----------
        previous, following : Tensor
            (batch, 1, H, W), the sections before and after, intensities
            normalized; H and W are multiples of ``config.multiple``.
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

        # Unlearned, the mask weighs each warp by how near its own section lies.
        prior = torch.logit(1 - distance[:batch], eps=1e-3)
        mask = torch.sigmoid(votes[:batch] - votes[batch:] + prior)
        warp0, warp1 = warped[:batch], warped[batch:]
        return Synthesis(mask * warp0 + (1 - mask) * warp1, warp0, warp1, mask)

    def branch(self, own: Tensor, other: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """One siamese branch, or both as one batch.

        Parameters
        ----------
        own, other : Tensor
            (batch, 1, H, W), the section to be warped and the one across the gap.
        distance : Tensor
            (batch, 1, 1, 1), of the wanted section from `own`: 0 there, 1 at `other`.

        Returns
        -------
        warped, votes : Tensor
            (batch, 1, H, W) each, float32: the section as seen from `own`, and
            the log-odds by which it is preferred.
        """
        x = functional.pixel_unshuffle(torch.cat((own, other), dim=1), self.config.scale)
        if self.config.position_input:
            x = torch.cat((x, distance.expand(-1, 1, *x.shape[2:])), dim=1)
        features = self.attention(self.extractor(x.to(self.warp_head.out.weight.dtype)))
        warped = self.warp_head(features, own, other, distance)
        return warped, self.hybrid(features, warped, own)


class WarpHead(nn.Module):
    """Features of a branch to its warped section.

    The last convolutions work at the sections' resolution and see the
    sections themselves: after a pixel-shuffle alone its grid would show.
    """

    def __init__(self, config: SSANConfig) -> None:
        super().__init__()
        self.config = config
        batch_norm = config.normalization == "batch"
        self.reduce = convolution(config.features, HEAD_CHANNELS, batch_norm)
        channels = HEAD_CHANNELS // config.scale**2
        self.refine = convolution(channels + 2, channels, batch_norm)
        self.out = nn.Conv2d(channels, 3 if config.warp == "displaced" else 1, 3, padding=1)
        # Start from the branch's own section, unmoved and uncorrected.
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, own: Tensor, other: Tensor, distance: Tensor) -> Tensor:
        """(batch, features, H/scale, W/scale) and the sections to (batch, 1, H, W)."""
        x = functional.pixel_shuffle(torch.relu(self.reduce(features)), self.config.scale)
        x = torch.relu(self.refine(torch.cat((x, own.to(x.dtype), other.to(x.dtype)), dim=1)))
        raw: Tensor = self.out(x).float()
        own = own.float()
        if self.config.warp == "displaced":
            limit = self.config.displacement
            # The displacement is that to the other section, of which the wanted
            # one has come as far as it is distant.
            field = 2 * distance.float() * limit * torch.tanh(raw[:, 1:] / limit)
            own = displace(own, field)
        return own + raw[:, :1]


class HybridNetwork(nn.Module):
    """A branch's vote for its own warp, pixel by pixel, from its features and its warp."""

    def __init__(self, config: SSANConfig) -> None:
        super().__init__()
        self.scale = config.scale
        batch_norm = config.normalization == "batch"
        self.reduce = convolution(config.features, HEAD_CHANNELS, batch_norm)
        channels = HEAD_CHANNELS // config.scale**2
        self.refine = convolution(channels + 2, channels, batch_norm)
        self.out = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, features: Tensor, warped: Tensor, own: Tensor) -> Tensor:
        """(batch, features, H/scale, W/scale) and (batch, 1, H, W) to votes (batch, 1, H, W)."""
        x = functional.pixel_shuffle(torch.relu(self.reduce(features)), self.scale)
        x = torch.relu(self.refine(torch.cat((x, warped.to(x.dtype), own.to(x.dtype)), dim=1)))
        votes: Tensor = self.out(x).float()
        return votes


def displace(image: Tensor, field: Tensor) -> Tensor:
    """Sample an image at displaced positions, bicubic, the border repeated.

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
