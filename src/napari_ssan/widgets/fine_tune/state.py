"""What the dock "Fine-tune" shows, in words. Knows neither Qt nor napari.

The view renders a `FineTuneState`; the controller makes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from napari_ssan.widgets.shared.state import HeaderState, time_text

Aim = Literal["natural", "faithful"]
Phase = Literal["idle", "running", "judged"]

AIMS: dict[Aim, str] = {"natural": "Natural texture", "faithful": "Faithful"}
ADVICE: dict[Aim, str] = {
    "natural": "Grain and contrast like the neighbours. For viewing next to real slices.",
    "faithful": "Closest to the real slice in each pixel, but smooth. For segmenting or measuring.",
}
#: Endings of file names that a stack may be named after.
ENDINGS = re.compile(r"(\.ome)?\.(tiff?|zarr|h5|hdf5?)$", re.IGNORECASE)
WITHOUT = "Without VGG16, only pixels are compared: the result is smoother than natural texture."


@dataclass(frozen=True)
class Base:
    """A model to start from: name of its file, name in plain words, description."""

    name: str
    label: str
    tooltip: str


@dataclass(frozen=True)
class LeftOut:
    """Sections that are not trained on, and why."""

    sections: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class TrainingData:
    """What a training would learn from, and its cost."""

    #: What is used, or why nothing can be used.
    text: str = ""
    #: Time, steps and loss.
    cost: str = ""
    left_out: tuple[LeftOut, ...] = ()
    #: What is being checked, and the progress; if `total` is 0 the bar only moves.
    busy: str = ""
    done: int = 0
    total: int = 0
    #: Whether to offer the check, because it would take long.
    offer: bool = False
    #: Whether training can begin, as far as is known.
    ready: bool = True


@dataclass(frozen=True)
class RunState:
    """A training that runs or has ended."""

    #: Judged: there is a result, and the user has to decide on it.
    phase: Phase = "idle"
    #: Stack, aim, base model and time.
    about: str = ""
    #: What is being done, and the share that is done, 0 to 1; if it is None the bar only moves.
    busy: str = ""
    share: float | None = None
    can_stop: bool = False
    can_discard: bool = False
    #: Notices of the run while it trained, and before.
    notes: str = ""
    details: str = ""
    #: The result, whether there is a model to keep, and the name that is proposed for it.
    verdict: str = ""
    better: bool = False
    name: str = ""


@dataclass(frozen=True)
class FineTuneState(HeaderState):
    """All that the view shows. Rendering it twice changes nothing.

    The question of the header is whether to continue a run that was interrupted.
    """

    #: Layers whose shapes or labels may limit the region to learn from.
    regions: tuple[str, ...] = ()
    bases: tuple[Base, ...] = ()
    #: Where training will run, in a word, and why.
    where: str = ""
    where_why: str = ""
    #: Whether the user has decided to train without VGG16, or has yet to say where to get it.
    without: bool = False
    wants_vgg: bool = False
    data: TrainingData = TrainingData()
    run: RunState = RunState()

    @property
    def can_train(self) -> bool:
        """Whether Train can be pressed."""
        return not self.refusal and self.data.ready and not self.wants_vgg and bool(self.bases)


def about_text(stack: str, aim: str, base: str, minutes: float) -> str:
    """Describe a run in two lines."""
    return f"{stack}\n{aim}, from {base}, {minutes:g} min"


def step_text(step: int, seconds_left: float, memory: str = "") -> str:
    """Progress of training."""
    left = f"{time_text(seconds_left)} left" if seconds_left >= 1 else "almost done"
    return " · ".join(part for part in (f"step {step}", left, memory) if part)


def share_text(text: str, done: int, total: int) -> str:
    """What is being done, and how much of it is done."""
    sentence = text[:1].upper() + text[1:]
    return f"{sentence}, {100 * done // total} %" if total else f"{sentence}…"


def megabytes_text(done: int, total: int) -> str:
    """Progress of a download."""
    return f"Downloading VGG16: {done / 2**20:.0f} of {total / 2**20:.0f} MB"


def ranges_text(sections: Sequence[int]) -> str:
    """List sections, as in ``3, 10–14``."""
    parts: list[list[int]] = []
    for z in sorted(set(sections)):
        if parts and z == parts[-1][-1] + 1:
            parts[-1].append(z)
        else:
            parts.append([z])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}–{p[-1]}" for p in parts)


def model_name(stack: str, aim: str) -> str:
    """Propose a name for a model."""
    return f"{ENDINGS.sub('', stack).strip() or 'my stack'} {aim}"
