"""How well a network that is being trained does on sections that it is not trained on."""

from __future__ import annotations

import copy

import numpy as np
import torch

from napari_ssan.evaluation.metrics import psnr
from napari_ssan.network.ssan import SSAN
from napari_ssan.stack.intensity import measure, to_dtype
from napari_ssan.stack.triplets import Source

#: Sections of a stack that are looked at, evenly spread.
SECTIONS = 4
#: Side of the field in the middle of a section that is synthesized, in pixels.
FIELD = 384


@torch.no_grad()
def validate(network: SSAN, sources: list[Source]) -> float:
    """Mean PSNR in dB over a few sections of each source, from their direct neighbours."""
    network = copy.deepcopy(network).cpu().eval()
    scores = []
    for source in sources:
        stack, spacing = source.stack, source.spacing
        inner = range(source.start + spacing, source.stop - spacing)
        size = [min(n, FIELD) // network.config.multiple * network.config.multiple
                for n in stack.shape[1:]]  # fmt: skip
        window = tuple(
            slice((n - s) // 2, (n - s) // 2 + s)
            for n, s in zip(stack.shape[1:], size, strict=True)
        )
        for z in inner[:: max(1, len(inner) // SECTIONS)][:SECTIONS]:
            outer = [z - spacing, z + spacing]
            intensities = [measure(stack, at) for at in outer]
            views = [
                torch.from_numpy(i.normalize(stack.read(at, (window[0], window[1]))))[None, None]
                for at, i in zip(outer, intensities, strict=True)
            ]
            unit = network(*views).image[0, 0].numpy()
            made = to_dtype(
                intensities[0].blend(intensities[1], 0.5).denormalize(unit), stack.dtype
            )
            scores.append(psnr(stack.read(z, (window[0], window[1])), made))
    return float(np.mean(scores))
