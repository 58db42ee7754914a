"""Adds up the losses of steps where they are, so that no step waits for a GPU to tell them.

Easy to get wrong: to take the sums is to wait for the GPU, so that is for a few times a second.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Tally:
    """Sums of named losses over some steps."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sums: Tensor | None = None
        self._steps = 0

    def add(self, losses: Mapping[str, Tensor | float]) -> None:
        """Count a step, whose losses are scalars on one device. Their names stay the same."""
        now = torch.stack([torch.as_tensor(value).float() for value in losses.values()])
        self._names, self._steps = tuple(losses), self._steps + 1
        self._sums = now if self._sums is None else self._sums + now

    def take(self) -> tuple[dict[str, float], int]:
        """Return the sums and the number of steps, and begin anew."""
        values = [] if self._sums is None else self._sums.tolist()
        sums = dict(zip(self._names, values, strict=False))
        steps, self._sums, self._steps = self._steps, None, 0
        return sums, steps
