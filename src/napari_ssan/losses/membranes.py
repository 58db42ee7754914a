"""The membrane loss: whether a segmenter finds the same membranes; not in the paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def membrane_loss(image: Tensor, target: Tensor, segmenter: nn.Module) -> Tensor:
    """One minus the soft Dice of the membranes found in both sections, averaged over the batch.

    Dice counts only membrane pixels, although they are few. A membrane that fades costs as
    much as one that is drawn where there is none.

    Parameters
    ----------
    image, target : Tensor
        (batch, 1, H, W), the synthesized and the real section, on the same grey scale.
    segmenter : nn.Module
        Maps sections of mean 0 and standard deviation 1 to logits, positive on
        membranes; both (batch, 1, H, W).

    Returns
    -------
    Tensor
        Scalar, 0 to 1.
    """
    level, spread = target.mean((2, 3), keepdim=True), target.std((2, 3), keepdim=True)
    found, real = (
        torch.sigmoid(segmenter((x - level) / (spread + 1e-6)).float()).flatten(1)
        for x in (image, target)
    )
    overlap = (2 * (found * real).sum(1) + 1) / (found.sum(1) + real.sum(1) + 1)
    return (1 - overlap).mean()
