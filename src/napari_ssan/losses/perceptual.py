"""Feature reconstruction, style reconstruction, style balance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_ssan.losses.config import BETAS


def feature_loss(image: list[Tensor], target: list[Tensor]) -> Tensor:
    """Mean squared difference of activations, summed over the taps (eq. 16), a scalar."""
    return torch.stack(
        [(_wide(a) - _wide(b)).square().mean() for a, b in zip(image, target, strict=True)]
    ).sum()


def gram(activation: Tensor) -> Tensor:
    """Gram matrix of (batch, C, H, W), divided by C H W (eq. 13): (batch, C, C)."""
    flat = _wide(activation).flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def style_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Mean squared difference of Gram matrices, summed over the taps.

    Equation 14 sums over the entries of a matrix; the weight of 10^6 that the
    paper gives it fits their mean.

    Parameters
    ----------
    a, b : list of Tensor
        Gram matrices (batch, C, C), tap by tap.

    Returns
    -------
    Tensor
        (batch,).
    """
    return torch.stack([(p - q).square().mean(dim=(1, 2)) for p, q in zip(a, b, strict=True)]).sum(
        dim=0
    )


def style_loss(image: list[Tensor], target: list[Tensor]) -> Tensor:
    """Style reconstruction loss (eq. 14) of activations, tap by tap, a scalar."""
    return style_distance([gram(a) for a in image], [gram(a) for a in target]).mean()


@dataclass(frozen=True)
class StyleBalance:
    """The style balance loss.

    Attributes
    ----------
    loss : Tensor
        Scalar, never negative, zero where each style distance of the image is
        that of the target. Its gradient is that of eq. 15.
    signed : tuple of float
        The three terms of eq. 15, weighted, as the paper's Fig. 4 plots them.
    """

    loss: Tensor
    signed: tuple[float, float, float]


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
    It has the gradient of ``sum_j beta_j |L(1', j) - L(1, j)|``, which is
    continuous and bounded below, and is what is returned. For j = 1 that is the
    plain style reconstruction loss.

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
        signed.append(float(beta * (torch.sign(own - real) * own).detach().mean()))
    return StyleBalance(torch.stack(losses).sum(), (signed[0], signed[1], signed[2]))


def _wide(activation: Tensor) -> Tensor:
    """At least float32: sums over thousands of pixels are too much for half precision."""
    return activation.to(torch.promote_types(activation.dtype, torch.float32))
