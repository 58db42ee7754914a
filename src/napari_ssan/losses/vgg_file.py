"""Reads files with VGG16 weights, and knows the preprocessing that each kind expects.

Two kinds of ``.safetensors`` are read: with torchvision's names
(``features.0.weight`` ...) and with those of Caffe and Keras (``conv1_1.weight`` ...).
The only pickled file that is ever opened is torchvision's own, after its checksum has
been verified. :mod:`~napari_ssan.losses.vgg_weights` finds or downloads the file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ssan.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".safetensors"
#: The file that torchvision publishes, and its SHA-256.
PUBLISHED = "vgg16-397923af.pth"
SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"

#: Convolutions of each block by torchvision's numbers, with 2x2 max-pooling between blocks.
#: The last activation of a block is a tap: relu1_2, relu2_2, relu3_3, relu4_3.
BLOCKS = {
    "relu1_2": (0, 2),
    "relu2_2": (5, 7),
    "relu3_3": (10, 12, 14),
    "relu4_3": (17, 19, 21),
}


@dataclass(frozen=True)
class Convention:
    """A kind of VGG16 weights: names of the convolutions, and the input they expect.

    Attributes
    ----------
    name : str
        ``"torchvision"`` or ``"caffe"``.
    keys : dict of int to str
        Names of the convolutions by torchvision's numbers.
    mean, std : tuple of float
        Subtracted from the channels of an image in [0, 1], which are then divided by
        `std`. In the order in which the weights take the channels.
    divisor : float
        Divides the biases, so that weights trained on 0 to 255 can take [0, 1]. A
        network of convolutions, ReLU and max-pooling is homogeneous: its activations
        shrink by this factor, and nothing else changes.
    """

    name: str
    keys: dict[int, str]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    divisor: float = 1.0


TORCHVISION = Convention(
    "torchvision",
    {number: f"features.{number}" for numbers in BLOCKS.values() for number in numbers},
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)
#: Takes blue, green, red from 0 to 255, with the mean subtracted.
CAFFE = Convention(
    "caffe",
    {
        number: f"conv{block}_{place}"
        for block, numbers in enumerate(BLOCKS.values(), 1)
        for place, number in enumerate(numbers, 1)
    },
    (103.939 / 255, 116.779 / 255, 123.68 / 255),
    (1.0, 1.0, 1.0),
    255.0,
)


@dataclass(frozen=True)
class Weights:
    """The first blocks of VGG16, as many as a file has.

    Attributes
    ----------
    convention : Convention
        Kind of the weights, with the input that they expect.
    blocks : dict of str to list of (Tensor, Tensor)
        Weight (C_out, C_in, 3, 3) and bias (C_out,) of each convolution, float32,
        by tap. The biases fit an image in [0, 1].
    """

    convention: Convention
    blocks: dict[str, list[tuple[Tensor, Tensor]]]


def read_weights(path: Path) -> Weights:
    """Read the convolutions up to the fourth tap.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` with at least the first block, or torchvision's ``.pth``.

    Raises
    ------
    BadInput
        If the file cannot be read or holds no such weights. Pickled files other than
        torchvision's are not opened.
    """
    if not path.is_file():
        raise _refuse(path, "does not exist")
    try:
        tensors = _safetensors(path) if path.suffix == SUFFIX else _published(path)
    except OSError as error:
        raise _refuse(path, f"cannot be read: {error.strerror or error}") from None
    convention = CAFFE if f"{CAFFE.keys[0]}.weight" in tensors else TORCHVISION
    blocks: dict[str, list[tuple[Tensor, Tensor]]] = {}
    channels = 3
    for tap, numbers in BLOCKS.items():
        keys = [convention.keys[number] for number in numbers]
        if not all(f"{key}.{part}" in tensors for key in keys for part in ("weight", "bias")):
            break
        blocks[tap] = []
        for key in keys:
            weight, bias = tensors[f"{key}.weight"].float(), tensors[f"{key}.bias"].float()
            if weight.shape[1:] != (channels, 3, 3) or bias.shape != weight.shape[:1]:
                raise _refuse(path, f"is not VGG16: {key} has the shape {tuple(weight.shape)}")
            if not (weight.isfinite().all() and bias.isfinite().all()):
                raise _refuse(path, f"is damaged: {key} has values that are not finite")
            channels = len(weight)
            blocks[tap].append((weight, bias / convention.divisor))
    if not blocks:
        raise _refuse(path, "has no VGG16 weights with torchvision's or Caffe's names")
    return Weights(convention, blocks)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    wanted = {
        f"{key}.{part}"
        for convention in (TORCHVISION, CAFFE)
        for key in convention.keys.values()
        for part in ("weight", "bias")
    }
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in wanted & set(file.keys())}
    except SafetensorError as error:
        raise _refuse(path, f"is not a complete safetensors file ({error})") from None


def _published(path: Path) -> dict[str, Tensor]:
    """Read torchvision's own file. Its old torch format cannot be mapped into memory."""
    import torch

    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise _refuse(
                path,
                f"is neither a {SUFFIX} file nor torchvision's original {PUBLISHED} "
                "(other pickled files could run code and are not opened)",
            )
        file.seek(0)
        tensors: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return tensors


def _refuse(path: Path, why: str) -> BadInput:
    return BadInput(f"The file {path.name} {why}; choose another file with VGG16 weights.")
