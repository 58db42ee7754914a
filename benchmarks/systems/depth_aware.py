"""Interpolation by flow and depth, in the manner of DAIN (Bao et al. 2019).

DAIN takes its flow and depth from networks that others have trained on other
images. Here both are small, learned with the rest, and nothing is loaded: flow
coarse to fine, an inverse depth that says which of two flows prevails where
they meet, local kernels, warped context, and a network that corrects the
average of both warped sections.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_ssan.network.residual_dense import ResidualDenseNetwork
from napari_ssan.network.ssan import SSANConfig, Synthesis, displace
from systems.kernel_estimation import KernelEstimation
from systems.single_branch import place
from systems.unet import UNet

#: Resolutions of the flow, each half the next; the finest is that of the features.
LEVELS = 3
#: Taps of the local kernels along each axis; DAIN's have four.
TAPS = 5
#: A hole that no flow reaches takes its own flow with this weight.
HOLE = 1e-3


class FlowNetwork(nn.Module):
    """Optical flow between two maps, coarse to fine, by residuals at each resolution.

    Parameters
    ----------
    channels : int
        Of a map.
    width : int
        Of the convolutions.
    """

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        self.stages = nn.ModuleList(_flow_stage(2 * channels + 2, width) for _ in range(LEVELS))

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """(batch, channels, H, W) twice to (batch, 2, H, W): own(p) = other(p + flow)."""
        coarsest = 2 ** (LEVELS - 1)
        flow = own.new_zeros(len(own), 2, own.shape[2] // coarsest, own.shape[3] // coarsest)
        for level, stage in enumerate(self.stages):
            factor = 2 ** (LEVELS - 1 - level)
            near, far = (functional.avg_pool2d(x, factor) for x in (own, other))
            if level:
                flow = 2 * _enlarge(flow, 2)
            residual: Tensor = stage(torch.cat((near, displace(far, flow), flow), dim=1))
            flow = flow + residual.float()
        return flow


def _flow_stage(channels: int, width: int) -> nn.Sequential:
    last = nn.Conv2d(width, 2, 3, padding=1)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(
        nn.Conv2d(channels, width, 5, padding=2),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 5, padding=2),
        nn.ReLU(),
        nn.Conv2d(2 * width, width, 5, padding=2),
        nn.ReLU(),
        last,
    )


def project(flow: Tensor, weight: Tensor, share: Tensor) -> Tensor:
    """Depth-aware flow projection: the flow from the wanted section back to this one.

    Every position sends its flow `share` of the way along it; where several
    arrive they are averaged by weight, the inverse of their depth, and where
    none does a position takes its own.

    Parameters
    ----------
    flow : Tensor
        (batch, 2, H, W), from this section to the other, x then y.
    weight : Tensor
        (batch, 1, H, W), positive.
    share : Tensor
        (batch, 1, 1, 1), how far along the wanted section lies.

    Returns
    -------
    Tensor
        (batch, 2, H, W).
    """
    batch, _, height, width = flow.shape
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype).view(-1, 1)
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    step = share * flow
    x, y = columns + step[:, 0], rows + step[:, 1]
    total = torch.cat((flow, torch.ones_like(weight)), dim=1) * weight * HOLE
    arrived = total.new_zeros(batch, 3, height * width)
    sent = torch.cat((flow, torch.ones_like(weight)), dim=1) * weight
    for down in (0, 1):
        for right in (0, 1):
            row, column = y.floor() + down, x.floor() + right
            near = (1 - (y - row).abs()) * (1 - (x - column).abs())
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            target = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long()
            values = sent * (near * inside)[:, None]
            index = target.flatten(1)[:, None].expand(-1, 3, -1)
            arrived = arrived.scatter_add(2, index, values.flatten(2))
    total = total + arrived.view_as(total)
    return -share * total[:, :2] / total[:, 2:]


class DepthAware(nn.Module):
    """Flow, depth, kernels and context together, in the manner of DAIN.

    Flow, depth, context and kernels are the same for both sections; the
    synthesis sees them in their order.

    Parameters
    ----------
    config : SSANConfig
        Resolution and size; its attention and heads are not used.
    """

    def __init__(self, config: SSANConfig) -> None:
        super().__init__()
        self.config = config
        planes, width = config.scale**2, config.features // 2
        self.flow = FlowNetwork(planes, width)
        self.depth = UNet(planes, 1, max(8, width // 2), LEVELS)
        self.context = nn.Sequential(
            nn.Conv2d(planes, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
        )
        self.kernels = KernelEstimation(2 * width, config.scale, TAPS)
        # For each section: itself, its context, flow and inverse depth.
        self.synthesis = ResidualDenseNetwork(
            2 * (planes + width + 3), config.features, config.blocks, config.layers, config.growth
        )
        self.correction = nn.Conv2d(config.features, planes, 3, padding=1)
        for parameter in self.correction.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, previous: Tensor, following: Tensor, position: Tensor | None = None
    ) -> Synthesis:
        """See :meth:`SSAN.forward`."""
        scale, batch = self.config.scale, len(previous)
        position = place(previous, position).float()
        own = torch.cat((previous, following)).float()
        other = torch.cat((following, previous)).float()
        share = torch.cat((position, 1 - position))
        maps, others = (functional.pixel_unshuffle(x, scale) for x in (own, other))

        flow = self.flow(maps, others)
        # Bounded, so that no section of a batch drowns another's weight.
        weight = torch.exp(2 * torch.tanh(self.depth(maps).float()))
        back = project(flow, weight, share)
        guides = torch.cat((self.context(maps).float(), weight), dim=1)
        guides = torch.cat((displace(guides, back), back), dim=1)
        moved = displace(own, scale * _enlarge(back, scale))

        width = self.config.features // 2
        swapped = torch.cat((guides[batch:], guides[:batch]))
        warped = self.kernels(torch.cat((guides[:, :width], swapped[:, :width]), dim=1), moved)
        warp0, warp1 = warped[:batch], warped[batch:]

        seen = torch.cat((functional.pixel_unshuffle(warped, scale), guides), dim=1)
        features = self.synthesis(torch.cat((seen[:batch], seen[batch:]), dim=1))
        residual = functional.pixel_shuffle(self.correction(features), scale).float()
        mask = (1 - position).expand_as(warp0)
        return Synthesis(mask * warp0 + (1 - mask) * warp1 + residual, warp0, warp1, mask)


def _enlarge(field: Tensor, factor: int) -> Tensor:
    return functional.interpolate(field, scale_factor=factor, mode="bilinear", align_corners=False)
