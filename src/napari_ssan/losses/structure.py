"""Structural similarity as a loss, differentiable; :mod:`napari_ssan.metrics` measures it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Size of the Gaussian window in pixels, and its standard deviation.
WINDOW, SIGMA = 11, 1.5
#: Constants of the similarity, for the network's scale: a data range of 1.
C1, C2 = 0.01**2, 0.03**2


def structure_loss(image: Tensor, target: Tensor) -> Tensor:
    """One minus the mean structural similarity, over all windows inside the section.

    Parameters
    ----------
    image, target : Tensor
        (batch, 1, H, W), on the network's scale; H and W at least 11.

    Returns
    -------
    Tensor
        Scalar: 0 for equal sections, 1 for unrelated ones, up to 2 for inverted ones.
    """
    # centred at 0, so that the variances below lose no digits
    x, y = image - 0.5, target - 0.5
    mean_x, mean_y, xx, yy, xy = (_window(each) for each in (x, y, x * x, y * y, x * y))
    deviation_x, deviation_y = xx - mean_x.square(), yy - mean_y.square()
    covariance = xy - mean_x * mean_y
    mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    structure = (2 * covariance + C2) / (deviation_x + deviation_y + C2)
    return 1 - (luminance * structure).mean()


def _window(x: Tensor) -> Tensor:
    """Gaussian means over all windows inside: (batch, 1, H - 10, W - 10)."""
    offsets = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    gaussian = torch.exp(-offsets.square() / (2 * SIGMA**2))
    gaussian = gaussian / gaussian.sum()
    return F.conv2d(F.conv2d(x, gaussian.view(1, 1, -1, 1)), gaussian.view(1, 1, 1, -1))
