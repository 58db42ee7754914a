"""A trained system as a way to synthesize sections, judged like all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from napari_ssan.engine.methods import OVERLAP
from napari_ssan.network.device import autocast
from napari_ssan.network.model_file import ModelInfo
from napari_ssan.stack.intensity import Float


class SystemMethod:
    """A system in the role of :class:`~napari_ssan.engine.methods.Method`.

    Parameters
    ----------
    network : Module
        A system; is moved to the device.
    card : dict
        Its ``system``, ``tile`` and ``match``.
    device : torch.device
        Where to run.
    """

    def __init__(self, network: nn.Module, card: dict[str, Any], device: torch.device) -> None:
        self.name = str(card["system"])
        self.model: ModelInfo | None = None
        self.tile = int(card["tile"])
        self.overlap = min(OVERLAP, self.tile // 2)
        self.match, self.views = str(card["match"]), 1
        self.batch = 8 if device.type != "cpu" else 1
        self._network, self._device = network.to(device).eval(), device

    @torch.no_grad()
    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """See :meth:`Method.synthesize`."""
        views = torch.from_numpy(np.stack((previous, following))).to(self._device)
        first, second = views.unsqueeze(2)
        with autocast(self._device, True):
            image = self._network(first, second, first.new_full((len(first),), position)).image
        unit: Float = image[:, 0].float().cpu().numpy()
        return unit
