"""The total loss of a training run (eq. 12): weights the terms, bins, and sums them.

Each term is a function in a module of its own. Weights left open in the configuration
depend on the kind of VGG16 weights that are loaded.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from napari_ssan.losses.config import CALIBRATED, LossConfig
from napari_ssan.losses.membranes import membrane_loss
from napari_ssan.losses.perceptual import feature_loss, style_balance, style_loss
from napari_ssan.losses.pixel import charbonnier
from napari_ssan.losses.structure import structure_loss
from napari_ssan.losses.vgg import VGG16
from napari_ssan.network.device import autocast


class TotalLoss(nn.Module):
    """Weighted sum of the terms.

    Parameters
    ----------
    config : LossConfig
        Terms and weights.
    vgg : Path or None
        File with the weights of VGG16; not needed for ``L_1``.
    segmenter : nn.Module or None
        Finds membranes, see :func:`~napari_ssan.losses.membranes.membrane_loss`. Needed
        only if ``config.membranes`` is not 0. It is copied.

    Attributes
    ----------
    vgg : VGG16 or None
        Gives the activations that the feature and style terms compare.
    weights : dict of str to float
        Weight of each term in use: ``pixel``, ``structure``, ``membranes``,
        ``feature``, ``style``.

    Raises
    ------
    BadInput
        If the file holds no VGG16 weights.
    """

    def __init__(
        self, config: LossConfig, vgg: Path | None = None, segmenter: nn.Module | None = None
    ) -> None:
        super().__init__()
        if config.preset != "L_1" and vgg is None:
            raise ValueError(f"{config.preset} needs the weights of VGG16")
        if config.membranes and segmenter is None:
            raise ValueError("the membrane term needs a segmenter")
        self.config = config
        self.segmenter = None
        if segmenter is not None and config.membranes:
            self.segmenter = copy.deepcopy(segmenter).eval().requires_grad_(False)
        self.vgg = VGG16(vgg) if vgg is not None and config.preset != "L_1" else None
        if self.vgg is not None:
            convert_conv2d_weight_memory_format(self.vgg, torch.channels_last)
        self.weights = _weights(config, self.vgg)

    def forward(
        self, image: Tensor, target: Tensor, previous: Tensor, following: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of synthesized sections, (batch, 1, H, W) each, and its terms.

        Terms are by name, weighted, and summed over the scales, as they enter the total. They are
        scalars without gradient on the sections' device, so that nothing waits for a GPU.
        Membranes are compared at full resolution only. Style balance adds the signed
        terms of eq. 15 as ``style_0``, ``style_1`` and ``style_2``.
        """
        terms: dict[str, Tensor] = {}
        for scale in self.config.scales:
            sections = [
                functional.avg_pool2d(x, scale) for x in (image, target, previous, following)
            ]
            for name, value in self._terms(*sections).items():
                terms[name] = terms[name] + value if name in terms else value
        if self.segmenter is not None:
            with autocast(image.device, True):
                found = membrane_loss(image, target, self.segmenter)
            terms["membranes"] = self.weights["membranes"] * found
        total = torch.stack([terms[name] for name in self.weights]).sum()
        return total, {name: value.detach() for name, value in terms.items()}

    def _terms(
        self, image: Tensor, target: Tensor, previous: Tensor, following: Tensor
    ) -> dict[str, Tensor]:
        """Weighted terms on one scale, and the signed terms of the style balance."""
        losses = {"pixel": charbonnier(image, target, self.config.epsilon_squared)}
        if "structure" in self.weights:
            losses["structure"] = structure_loss(image, target)
        signed: tuple[Tensor, ...] = ()
        if self.vgg is not None:
            made, real = self._activations(self.vgg, image), self._known(self.vgg, target)
            losses["feature"] = feature_loss(made, real)
            if "style" in self.weights and self.config.balance:
                before, after = (self._known(self.vgg, x) for x in (previous, following))
                balance = style_balance(made, real, before, after, self.config.betas)
                losses["style"], signed = balance.loss, balance.signed
            elif "style" in self.weights:
                losses["style"] = style_loss(made, real)
        terms = {name: self.weights[name] * loss for name, loss in losses.items()}
        for j, value in enumerate(signed):
            terms[f"style_{j}"] = self.weights["style"] * value
        return terms

    @staticmethod
    def _activations(vgg: VGG16, grey: Tensor) -> list[Tensor]:
        with autocast(grey.device, True):
            return cast(list[Tensor], vgg(grey))

    @torch.no_grad()
    def _known(self, vgg: VGG16, grey: Tensor) -> list[Tensor]:
        return self._activations(vgg, grey)


def _weights(config: LossConfig, vgg: VGG16 | None) -> dict[str, float]:
    weights = {"pixel": config.pixel}
    if config.structure:
        weights["structure"] = config.structure
    if config.membranes:
        weights["membranes"] = config.membranes
    if vgg is None:
        return weights
    style, feature = CALIBRATED[vgg.convention]
    weights["feature"] = feature if config.feature is None else config.feature
    if config.preset != "L_f":
        weights["style"] = style if config.style is None else config.style
    return weights
