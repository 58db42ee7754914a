"""The total loss of a training run (eq. 12)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from napari_ssan.losses.config import LossConfig
from napari_ssan.losses.perceptual import BETAS, feature_loss, style_balance
from napari_ssan.losses.pixel import charbonnier
from napari_ssan.losses.vgg import VGG16
from napari_ssan.network.device import autocast


class TotalLoss(nn.Module):
    """Weighted sum of the terms.

    Parameters
    ----------
    config : LossConfig
        Terms and weights.
    vgg : Path or None
        Weights of VGG16; not needed for ``L_1``.
    """

    def __init__(self, config: LossConfig, vgg: Path | None = None) -> None:
        super().__init__()
        if config.preset != "L_1" and vgg is None:
            raise ValueError(f"{config.preset} needs the weights of VGG16")
        self.config = config
        self.vgg = VGG16(vgg) if vgg is not None and config.preset != "L_1" else None

    def forward(
        self, image: Tensor, target: Tensor, previous: Tensor, following: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Loss of synthesized sections, (batch, 1, H, W) each, and its terms by name.

        Terms are weighted as they enter the total; ``style_0``, ``style_1`` and
        ``style_2`` are the signed ones of eq. 15.
        """
        config = self.config
        pixel = config.pixel * charbonnier(image, target, config.epsilon_squared)
        total, terms = pixel, {"pixel": pixel.item()}
        if self.vgg is not None:
            with autocast(image.device, True):
                made = self.vgg(image)
                with torch.no_grad():
                    real, before, after = (self.vgg(x) for x in (target, previous, following))
            feature = config.feature * feature_loss(made, real)
            total, terms["feature"] = total + feature, feature.item()
            if config.preset == "L_s":
                betas = BETAS if config.balance else (0.0, 1.0, 0.0)
                balance = style_balance(made, real, before, after, betas)
                style = config.style * balance.loss
                total, terms["style"] = total + style, style.item()
                for number, value in enumerate(balance.signed):
                    terms[f"style_{number}"] = config.style * value
        return total, terms
