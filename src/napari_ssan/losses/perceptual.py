"""Losses on VGG16's activations: feature and style reconstruction, style balance (eq. 13-16).

They take activations; :mod:`~napari_ssan.losses.vgg` makes these from sections.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_ssan.losses.config import BETAS


def feature_loss(image: list[Tensor], target: list[Tensor]) -> Tensor:
    """Feature reconstruction loss: mean squared difference, summed over taps (eq. 16), a scalar."""
    pairs = zip(image, target, strict=True)
    return torch.stack([(_wide(a) - _wide(b)).square().mean() for a, b in pairs]).sum()


def gram(activation: Tensor) -> Tensor:
    """Gram matrix of (batch, C, H, W), divided by C H W (eq. 13): (batch, C, C)."""
    flat = _wide(activation).flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def style_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Mean squared difference of Gram matrices, summed over the taps.

    Equation 14 sums over the entries of a matrix, but the paper's weight of 10^6
    fits their mean.

    Parameters
    ----------
    a, b : list of Tensor
        Gram matrices (batch, C, C), tap by tap.

    Returns
    -------
    Tensor
        (batch,).
    """
    distances = [(p - q).square().mean(dim=(1, 2)) for p, q in zip(a, b, strict=True)]
    return torch.stack(distances).sum(dim=0)


def style_loss(image: list[Tensor], target: list[Tensor]) -> Tensor:
    """Style reconstruction loss (eq. 14) of activations, tap by tap, a scalar."""
    return style_distance([gram(a) for a in image], [gram(a) for a in target]).mean()


@dataclass(frozen=True)
class StyleBalance:
    """The style balance loss.

    Attributes
    ----------
    loss : Tensor
        Scalar, 0 or more; 0 if each style distance of the image equals that of the
        target. It has the gradient of eq. 15.
    signed : tuple of Tensor
        The three weighted terms of eq. 15, as plotted in the paper's Fig. 4; scalars.
    """

    loss: Tensor
    signed: tuple[Tensor, Tensor, Tensor]


def style_balance(
    image: list[Tensor],
    target: list[Tensor],
    previous: list[Tensor],
    following: list[Tensor],
    betas: tuple[float, float, float] = BETAS,
) -> StyleBalance:
    """Style balance loss (eq. 15) of activations, tap by tap.

    Equation 15 is ``sum_j beta_j sign(L(1', j) - L(1, j)) L(1', j)`` with the
    style distances L of the image 1' and the target 1 to the sections j = 0, 1, 2.
    This returns ``sum_j beta_j |L(1', j) - L(1, j)|``, which has the same gradient
    and is continuous and bounded below. For j = 1 it is the plain style
    reconstruction loss.

    Parameters
    ----------
    image, target, previous, following : list of Tensor
        Activations (batch, C, H, W) of the synthesized, the real, and the neighbouring sections.
    betas : (float, float, float)
        Weights of the distances to the previous, the wanted and the following section.
    """
    grams = [[gram(a) for a in each] for each in (image, target, previous, following)]
    made, wanted, before, after = grams
    losses, signed = [], []
    for beta, other in zip(betas, (before, wanted, after), strict=True):
        own, real = style_distance(made, other), style_distance(wanted, other)
        losses.append(beta * (own - real).abs().mean())
        signed.append(beta * (torch.sign(own - real) * own).detach().mean())
    return StyleBalance(torch.stack(losses).sum(), (signed[0], signed[1], signed[2]))


def _wide(activation: Tensor) -> Tensor:
    """Convert to at least float32; half precision cannot sum thousands of pixels."""
    return activation.to(torch.promote_types(activation.dtype, torch.float32))
