"""VGG16's activations, which the feature and style losses compare.

:mod:`~napari_ssan.losses.vgg_file` reads the weights. Activations of different kinds of
weights differ in size, so a loss weight fits only one kind.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_ssan.losses.vgg_file import read_weights


class VGG16(nn.Module):
    """The first blocks of VGG16, as many as the file has weights for; never trained.

    Parameters
    ----------
    path : Path
        A file that :func:`~napari_ssan.losses.vgg_file.read_weights` can read.

    Attributes
    ----------
    taps : tuple of str
        Names of the available activations, ``"relu1_2"`` first.
    convention : str
        Kind of the weights, ``"torchvision"`` or ``"caffe"``. The size of the
        activations depends on it.

    Raises
    ------
    BadInput
        If the file holds no VGG16 weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        weights = read_weights(path)
        self.taps, self.convention = tuple(weights.blocks), weights.convention.name
        self.blocks = nn.ModuleList(
            nn.ModuleList(_convolution(weight, bias) for weight, bias in block)
            for block in weights.blocks.values()
        )
        for name in ("mean", "std"):
            value = torch.tensor(getattr(weights.convention, name)).view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)
        self.requires_grad_(False)

    def forward(self, grey: Tensor) -> list[Tensor]:
        """Map (batch, 1, H, W), grey around [0, 1], to the activations at the taps."""
        x = (grey.expand(-1, 3, -1, -1) - self.mean) / self.std
        activations: list[Tensor] = []
        for block in self.blocks:
            x = F.max_pool2d(x, 2) if activations else x
            for conv in block:  # type: ignore[attr-defined]
                x = torch.relu(conv(x))
            activations.append(x)
        return activations


def _convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
    conv.weight.data, conv.bias.data = weight, bias  # type: ignore[union-attr]
    return conv
