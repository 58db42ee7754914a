"""A trained system as a way to synthesize sections, judged like all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_ssan.engine.methods import TILING, Method
from napari_ssan.engine.tiles import Tiling
from napari_ssan.network.device import autocast
from napari_ssan.stack.intensity import Float


@dataclass(frozen=True, kw_only=True, eq=False)
class SystemMethod(Method):
    """A system as a method.

    Attributes
    ----------
    network : Module
        The system, on its device.
    device : torch.device
        Where it runs.
    """

    network: nn.Module
    device: torch.device

    @classmethod
    def of(cls, network: nn.Module, card: dict[str, Any], device: torch.device) -> SystemMethod:
        """Move a system to a device; its card has ``system``, ``tile`` and ``match``."""
        tile = int(card["tile"])
        return cls(
            str(card["system"]),
            # Tiles of the size that it was trained on, and no other.
            tiling=Tiling(tile, min(TILING.overlap, tile // 2), multiple=tile),
            batch=8 if device.type != "cpu" else 1,
            match=str(card["match"]),
            network=network.to(device).eval(),
            device=device,
        )

    @torch.no_grad()
    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """See :meth:`Method.synthesize`."""
        views = torch.from_numpy(np.stack((previous, following))).to(self.device)
        first, second = views.unsqueeze(2)
        with autocast(self.device, True):
            image = self.network(first, second, first.new_full((len(first),), position)).image
        unit: Float = image[:, 0].float().cpu().numpy()
        return unit

    def with_error(self, previous: Float, following: Float, position: float) -> tuple[Float, Float]:
        """Not to be had this way."""
        raise NotImplementedError
