"""Gram distance: how much the texture of a synthesized section differs from the real one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.stack.intensity import Float, measure
from napari_ssan.stack.sections import Array, SliceStack

if TYPE_CHECKING:
    from torch import Tensor

    from napari_ssan.losses.vgg import VGG16

#: Largest height and width of the tiles in which a section is processed, in pixels.
TILE = 256


def gram_distance(real: Array, synthesized: Array, vgg_path: Path) -> float:
    """Style distance of two sections: between their Gram matrices in VGG16, over the taps.

    Only distances that were measured with the same VGG16 weights can be compared.

    Parameters
    ----------
    real, synthesized : ndarray, (height, width)
        Any dtype, of the same shape; at least 8 pixels high and wide. Both are normalized
        by the mean and the standard deviation of the real one.
    vgg_path : Path
        File with the weights of VGG16.

    Raises
    ------
    BadInput
        If the real section is constant or not finite, or the file holds no usable weights.
    """
    from napari_ssan.losses.perceptual import style_distance
    from napari_ssan.losses.vgg import VGG16

    intensity = measure(SliceStack(real[np.newaxis]), 0)
    if not intensity.usable:
        raise BadInput(
            "The real slice is constant or not finite; choose another slice to compare with."
        )
    vgg = VGG16(vgg_path)
    grams = [_grams(vgg, intensity.normalize(section)) for section in (real, synthesized)]
    distance = float(style_distance(*grams))
    if not np.isfinite(distance):
        raise BadInput(f"{vgg_path.name} gives distances that are not finite; use other weights.")
    return distance


def _grams(vgg: VGG16, unit: Float) -> list[Tensor]:
    """Gram matrices (1, C, C) of a whole section, tap by tap: the mean of its tiles by area."""
    import torch

    from napari_ssan.losses.perceptual import gram

    rows, columns = (_parts(length) for length in unit.shape)
    sums: list[Tensor] = []
    for row in rows:
        for column in columns:
            tile = torch.from_numpy(np.ascontiguousarray(unit[row, column]))
            with torch.no_grad():
                share = tile.numel() / unit.size
                grams = [share * gram(tap) for tap in vgg(tile[None, None])]
            sums = [a + b for a, b in zip(sums, grams, strict=True)] if sums else grams
    return sums


def _parts(length: int) -> list[slice]:
    """Split into parts of about equal length; a thin part at the end would be only border."""
    count = -(-length // TILE)
    ends = [length * part // count for part in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]
