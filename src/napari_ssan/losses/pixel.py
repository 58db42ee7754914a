"""Pixel-wise loss."""

import torch
from torch import Tensor

#: The square of the paper's epsilon is 1e-12; 1e-6 is what its authors' code uses.
EPSILON_SQUARED = 1e-6


def charbonnier(image: Tensor, target: Tensor, epsilon_squared: float = EPSILON_SQUARED) -> Tensor:
    """Mean Charbonnier penalty sqrt(d^2 + eps^2) of the difference (eq. 17), a scalar."""
    return torch.sqrt((image - target).square() + epsilon_squared).mean()
