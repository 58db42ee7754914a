"""Pixel-wise loss."""

import torch
from torch import Tensor


def charbonnier(image: Tensor, target: Tensor, epsilon_squared: float = 1e-6) -> Tensor:
    """Mean Charbonnier penalty sqrt(d^2 + eps^2) of the difference (eq. 17), a scalar."""
    return torch.sqrt((image - target).square() + epsilon_squared).mean()
