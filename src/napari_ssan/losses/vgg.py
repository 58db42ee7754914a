"""VGG16's activations: what the feature and style losses compare."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_ssan.errors import BadInput

#: Convolutions of each block under torchvision's numbers; a 2x2 max-pooling lies between blocks.
#: The last activation of a block is a tap: relu1_2, relu2_2, relu3_3, relu4_3.
BLOCKS = {
    "relu1_2": (0, 2),
    "relu2_2": (5, 7),
    "relu3_3": (10, 12, 14),
    "relu4_3": (17, 19, 21),
}
#: What torchvision's weights expect of an RGB image in [0, 1]. Weights with another
#: preprocessing are converted to this one before they are used here, nowhere else.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class VGG16(nn.Module):
    """The first blocks of VGG16, as many as the weights have; never trained.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file under torchvision's names (``features.0.weight``
        ...) with at least the first block.

    Attributes
    ----------
    taps : tuple of str
        Activations that are there.

    Raises
    ------
    BadInput
        If the file holds no such weights.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            weights = load_file(path)
        except (OSError, SafetensorError) as error:
            raise BadInput(f"The VGG16 weights in {path.name} cannot be read: {error}.") from None
        self.blocks = nn.ModuleList()
        taps = []
        for tap, numbers in BLOCKS.items():
            if any(f"features.{number}.weight" not in weights for number in numbers):
                break
            taps.append(tap)
            self.blocks.append(nn.ModuleList(_convolution(weights, number) for number in numbers))
        if not taps:
            raise BadInput(f"{path.name} holds no VGG16 weights under torchvision's names.")
        self.taps = tuple(taps)
        self.mean = nn.Buffer(torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.std = nn.Buffer(torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
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


def _convolution(weights: dict[str, Tensor], number: int) -> nn.Conv2d:
    weight, bias = weights[f"features.{number}.weight"], weights[f"features.{number}.bias"]
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
    conv.weight.data, conv.bias.data = weight, bias  # type: ignore[union-attr]
    return conv
