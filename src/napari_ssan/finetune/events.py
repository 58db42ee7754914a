"""What a fine-tuning says beside what every training run says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_ssan.training.events import Event


@dataclass(frozen=True)
class Judging:
    """Base and trained model are compared on whole held-out sections: `done` tiles of `total`."""

    done: int
    total: int


@dataclass(frozen=True)
class MemoryUsed:
    """How much memory the work takes: `used` bytes of the CPU's or the GPU's."""

    used: int
    where: str


FineTuneEvent = Event | Judging | MemoryUsed
FineTuneReport = Callable[[FineTuneEvent], object]
