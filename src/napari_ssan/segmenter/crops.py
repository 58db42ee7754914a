"""Varied crops of labelled sections, from which a segmenter learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.ndimage import gaussian_filter
from skimage.transform import resize

from napari_ssan.errors import BadInput
from napari_ssan.stack.intensity import Float
from napari_ssan.stack.region import Mask
from napari_ssan.stack.sections import Array


class Jitter(BaseModel):
    """How much crops are varied. All are mirrored and turned by multiples of 90°.

    Crops are not blurred: a segmenter that tolerates blur could not tell a blurred
    section from a sharp one.

    Attributes
    ----------
    smaller, larger : float
        Range of the factor by which half of the crops are zoomed.
    contrast : float
        Standard deviation of the random gain, exponent and offset. The offset is in
        standard deviations of the section.
    noise : float
        Highest standard deviation of the added noise, in standard deviations of the section.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    smaller: float = Field(0.9, gt=0, le=1)
    larger: float = Field(1.1, ge=1)
    contrast: float = Field(0.1, ge=0, lt=1)
    noise: float = Field(0.2, ge=0)


def membranes_of(labels: Sequence[Array]) -> list[Mask]:
    """Find the membranes in labels with two values.

    Membranes are the rarer of the two values, for example 0 of 0 and 255, or True
    of False and True.

    Parameters
    ----------
    labels : sequence of ndarray, (height, width) each
        Labels of all sections, of any dtype. The values are counted over all of them.

    Raises
    ------
    BadInput
        If they do not have exactly two values.
    """
    counts: dict[float, int] = {}
    for section in labels:
        values, numbers = np.unique(section, return_counts=True)
        for value, number in zip(values.tolist(), numbers.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + number
        if len(counts) > 2:
            raise BadInput(
                "The labels have more than two values; give membranes in one value "
                "and cells in another, such as 0 and 255."
            )
    if len(counts) < 2:
        raise BadInput(
            "The labels have only one value; give membranes in one value and cells in another."
        )
    membrane = min(counts, key=lambda value: counts[value])
    return [np.asarray(section) == membrane for section in labels]


def crops(
    sections: Sequence[Float],
    membranes: Sequence[Mask],
    jitter: Jitter,
    batch: int,
    size: int,
    seed: int,
) -> Iterator[tuple[Float, Float]]:
    """Make endless batches of varied crops.

    Parameters
    ----------
    sections : sequence of ndarray of float32, (height, width) each
        Normalized to mean 0 and standard deviation 1.
    membranes : sequence of ndarray of bool
        Of the same shapes.
    jitter : Jitter
        How much crops are varied.
    batch, size : int
        Crops in a batch, and their height and width in pixels.
    seed : int
        The same seed gives the same batches.

    Yields
    ------
    (ndarray, ndarray) of float32, (batch, size, size)
        Images, and their membranes: 1 on membranes, else 0.
    """
    random = np.random.default_rng(seed)
    while True:
        drawn = []
        for _ in range(batch):
            number = int(random.integers(len(sections)))
            image, truth = _crop(sections[number], membranes[number], jitter, size, random)
            drawn.append((_disturbed(image, jitter, random), truth))
        images, truths = (np.stack(parts) for parts in zip(*drawn, strict=True))
        yield images, truths


def _crop(
    section: Float, membranes: Mask, jitter: Jitter, size: int, random: np.random.Generator
) -> tuple[Float, Float]:
    """Crop a square and zoom, turn and mirror it; a small section is padded by mirroring."""
    zoom = 1.0
    if random.random() < 0.5:
        zoom = np.exp(random.uniform(np.log(jitter.smaller), np.log(jitter.larger)))
    extent = round(size / zoom)
    pads = [(0, max(extent - length, 0)) for length in section.shape]
    top, left = (int(random.integers(max(length - extent, 0) + 1)) for length in section.shape)
    part = slice(top, top + extent), slice(left, left + extent)
    pair = [
        np.pad(image[part].astype(np.float32), pads, mode="symmetric")
        for image in (section, membranes)
    ]
    if extent != size:
        pair = [resize(image, (size, size), order=1, anti_aliasing=zoom < 1) for image in pair]
    turns, flip = int(random.integers(4)), random.random() < 0.5
    image, truth = (np.rot90(x, turns)[:, :: -1 if flip else 1] for x in pair)
    return image, (truth > 0.5).astype(np.float32)


def _disturbed(image: Float, jitter: Jitter, random: np.random.Generator) -> Float:
    noise = random.standard_normal(image.shape, dtype=np.float32)
    if random.random() < 0.5:  # Grain has a size; the factor keeps its deviation.
        noise = gaussian_filter(noise, 0.7) * 2.4
    image = image + random.uniform(0, jitter.noise) * noise
    gain, exponent, offset = jitter.contrast * random.standard_normal(3)
    unit = np.clip((image + 3) / 6, 0, 1) ** np.exp(exponent)
    varied: Float = ((unit * 6 - 3) * np.exp(gain) + offset).astype(np.float32)
    return varied
