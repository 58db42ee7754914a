"""All systems by name, as the paper's tables call them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from napari_ssan.network.residual_dense import ResidualDenseNetwork
from napari_ssan.network.ssan import SSAN, HybridNetwork, SSANConfig, WarpHead
from systems.depth_aware import DepthAware
from systems.kernel_estimation import TAPS, KernelHead
from systems.single_branch import SepConv, SingleBranch, in_channels
from systems.unet import UNet

#: Extractors (Table 1), synthesis layers (Tables 2, 3), whole methods (Tables 4, 5).
#: "displaced" is SSAN with the warps that the bundled models have, which move real pixels.
EXTRACTORS = ("U-Net", "SU-Net", "RDN", "SRDN")
LAYERS = ("KEL", "SA", "SSA", "AAL")
METHODS = ("SepConv", "DAIN", "SSAN", "displaced")
#: SSAN without attention, or with the mean of both warps in the place of the hybrid mask.
LESS = ("no-attention", "mean")
SYSTEMS = (*EXTRACTORS, *LAYERS, *METHODS, *LESS)
#: What Tables 1 and 3 call the whole network.
CANONICAL = {"SRDN": "SSAN", "AAL": "SSAN"}


def build(name: str, config: SSANConfig, taps: int = TAPS) -> nn.Module:
    """Make a system with random weights.

    Parameters
    ----------
    name : str
        One of :data:`SYSTEMS`.
    config : SSANConfig
        What the systems have in common; SRDN, AAL and SSAN are this network itself.
    taps : int
        Length of an estimated kernel along an axis.

    Returns
    -------
    Module
        ``forward(previous, following, position=None) -> Synthesis``, sections
        of (batch, 1, H, W). Without position it synthesizes the middle.

    Raises
    ------
    KeyError
        If there is no such system.
    """
    width = config.features
    match CANONICAL.get(name, name):
        case "SSAN":
            return SSAN(config)
        case "displaced":
            return SSAN(config.model_copy(update={"warp": "displaced"}))
        case "no-attention":
            return SSAN(config.model_copy(update={"attention": None}))
        case "mean":
            network = SSAN(config)
            network.hybrid = cast(HybridNetwork, NoVotes())
            return network
        case "SA":
            return SSAN(config.model_copy(update={"attention": ()}))
        case "SSA":
            return SSAN(config.model_copy(update={"attention": (config.attention or ())[:1]}))
        case "KEL":
            network = SSAN(config.model_copy(update={"attention": None}))
            head = KernelHead(config.features, config.scale, taps)
            network.warp_head = cast(WarpHead, head)
            return network
        case "SU-Net":
            network = SSAN(config)
            unet = UNet(in_channels(config), config.features, width)
            network.extractor = cast(ResidualDenseNetwork, unet)
            return network
        case "U-Net":
            return SingleBranch(config, UNet(in_channels(config), config.features, width))
        case "RDN":
            extractor = ResidualDenseNetwork(
                in_channels(config), config.features, config.blocks, config.layers, config.growth
            )
            return SingleBranch(config, extractor)
        case "SepConv":
            return SepConv(config, taps, width)
        case "DAIN":
            return DepthAware(config)
    raise KeyError(name)


class NoVotes(nn.Module):
    """In the place of the hybrid network: each warp counts by how near its own section lies."""

    def forward(self, features: Tensor, warped: Tensor, own: Tensor) -> Tensor:
        """(batch, 1, H, W) of zeros."""
        return torch.zeros_like(warped)
