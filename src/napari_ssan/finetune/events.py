"""Events of a fine-tune run, in addition to those of every training run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_ssan.training.events import Event


@dataclass(frozen=True)
class Judging:
    """Both models are compared on whole held-out sections: `done` of `total` tiles are done."""

    done: int
    total: int


@dataclass(frozen=True)
class MemoryUsed:
    """Memory in use: `used` bytes, `where` is ``CPU`` or ``GPU``."""

    used: int
    where: str


FineTuneEvent = Event | Judging | MemoryUsed
FineTuneReport = Callable[[FineTuneEvent], object]
