"""A trained U-Net that finds the membranes of a section, and the file that holds it.

It normalizes sections itself, so it takes any grey scale.
:mod:`~napari_ssan.segmenter.training` trains it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from napari_ssan.errors import BadInput
from napari_ssan.json_text import dump_json
from napari_ssan.network.model_file import SUFFIX, digest
from napari_ssan.network.writing import new_file
from napari_ssan.stack.intensity import SAMPLE, Float
from napari_ssan.stack.region import Mask
from napari_ssan.stack.sections import Array

if TYPE_CHECKING:
    from napari_ssan.segmenter.unet import UNet

#: The bundled segmenter, for stacks without labels.
BUNDLED = Path(__file__).with_name("membranes.safetensors")
#: Side of the tiles in which a section is processed, in pixels.
TILE = 512
#: Grey values are clipped to these quantiles of a section before it is normalized.
CLIPPED = (0.01, 0.99)


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Finds membranes. It runs in float32 on the CPU, so that every run gives the same.

    Attributes
    ----------
    network : UNet
        In evaluation mode.
    card : dict
        Its training data and settings, JSON-serializable.
    """

    network: UNet
    card: dict[str, Any] = field(default_factory=dict)

    def probability(self, section: Array) -> Float:
        """Compute the probability that a pixel lies on a membrane.

        Parameters
        ----------
        section : ndarray, (height, width)
            Any dtype and grey scale; it is normalized by its own mean and standard deviation.

        Returns
        -------
        ndarray of float32, (height, width)
            0 to 1; 0 everywhere in a constant section.

        Raises
        ------
        BadInput
            If the section has pixels that are not finite.
        """
        import torch

        found = np.zeros(section.shape, np.float32)
        levels = Levels.of(section)
        if levels.std == 0:
            return found
        # No seams: margins hold all that a tile depends on, and tiles start on the pooling grid.
        multiple = self.network.multiple
        margin = -(-self.network.reach // multiple) * multiple
        pads = [(margin, margin + -length % multiple) for length in section.shape]
        padded = np.pad(section, pads, mode="symmetric")
        with torch.inference_mode():
            for top in range(0, section.shape[0], TILE):
                for left in range(0, section.shape[1], TILE):
                    tile = levels.normalize(
                        padded[top : top + TILE + 2 * margin, left : left + TILE + 2 * margin]
                    )
                    logits = self.network(torch.from_numpy(tile)[None, None])[0, 0]
                    place = found[top : top + TILE, left : left + TILE]
                    inner = logits[margin:, margin:][: place.shape[0], : place.shape[1]]
                    place[:] = torch.sigmoid(inner).numpy()
        return found

    def membranes(self, section: Array) -> Mask:
        """Mask of pixels with a :meth:`probability` above 0.5, bool (height, width)."""
        return self.probability(section) > 0.5


@dataclass(frozen=True)
class Levels:
    """Grey scale of a section, without its extremes.

    Attributes
    ----------
    low, high : float
        Grey values are clipped to this range.
    mean, std : float
        Mean and standard deviation of the clipped values.
    """

    low: float
    high: float
    mean: float
    std: float

    @classmethod
    def of(cls, section: Array) -> Levels:
        """Measure a section from a regular sample of its pixels.

        Raises
        ------
        BadInput
            If a pixel is not finite.
        """
        if not np.isfinite(section).all():
            raise BadInput(
                "The segmenter cannot process a section with pixels that are NaN or infinite; "
                "choose another section."
            )
        step = max(1, section.size // SAMPLE)
        values = section.reshape(-1)[::step].astype(np.float64)
        low, high = np.quantile(values, CLIPPED)
        values = np.clip(values, low, high)
        return cls(float(low), float(high), float(values.mean()), float(values.std()))

    def normalize(self, pixels: Array) -> Float:
        """Normalize grey values to mean 0 and standard deviation 1."""
        clipped = np.clip(pixels.astype(np.float64), self.low, self.high)
        return ((clipped - self.mean) / (self.std or 1)).astype(np.float32)


def bundled_segmenter() -> Segmenter:
    """Load the bundled segmenter, for stacks without labels; see its card."""
    return load_segmenter(BUNDLED)


def save_segmenter(path: str | Path, segmenter: Segmenter) -> None:
    """Write a segmenter as ``.safetensors``, whole or not at all; an existing file is replaced.

    Raises
    ------
    BadInput
        If it cannot be written.
    """
    network = segmenter.network
    weights = {key: value.contiguous().numpy() for key, value in network.state_dict().items()}
    about = {"channels": list(network.channels), "card": segmenter.card}
    text = dump_json(about, sort_keys=True)
    metadata = {"segmenter": text, "sha256": digest(text, weights)}
    with new_file(path, SUFFIX, overwrite=True) as temporary:
        temporary.write_bytes(serialize(weights, metadata))


def load_segmenter(path: str | Path) -> Segmenter:
    """Read what :func:`save_segmenter` wrote.

    Raises
    ------
    BadInput
        If there is no such file, it is truncated or altered, or it is not a segmenter.
    """
    import torch

    from napari_ssan.segmenter.unet import UNet

    path = Path(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _refuse(path, f"it is not a complete safetensors file: {error}") from None
    if not {"segmenter", "sha256"} <= metadata.keys():
        raise _refuse(path, "its metadata is not that of a segmenter")
    if digest(metadata["segmenter"], weights) != metadata["sha256"]:
        raise _refuse(path, "its content does not match its checksum; it was altered")
    about = json.loads(metadata["segmenter"])
    network = UNet(about["channels"])
    network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    return Segmenter(network.eval().requires_grad_(False), about["card"])


def _refuse(path: Path, reason: str) -> BadInput:
    return BadInput(f"{path.name} cannot be used as a segmenter: {reason}.")
