"""What the dock "Fine-tune" shows, in words. Knows neither Qt nor napari.

The view renders a `FineTuneState`; the controller makes it. `Settings` go the other way.
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
    """A model to start from.

    Attributes
    ----------
    name : str
        Of its file.
    label, tooltip : str
        Its name in plain words, and its description.
    """

    name: str
    label: str
    tooltip: str


@dataclass(frozen=True)
class Settings:
    """What the user has set.

    Attributes
    ----------
    base : str
        Name of the model to start from; empty if there is none.
    aim : {"natural", "faithful"}
        What matters to the user.
    minutes : float
        Training time.
    share : float
        Share of the sections that is held out for validation, 0 to 1.
    style, feature : float or None
        Weights of the losses; None is the calibrated default.
    balance : (float, float, float)
        Weights of the style of the previous, the wanted and the next section.
    device : str
        As for :func:`napari_ssan.repair`.
    separate : bool
        Whether to train in a separate process.
    first, last : int
        Sections to learn from, both included.
    region : int
        Index in the list of layers; 0 is the whole section.
    """

    base: str
    aim: Aim
    minutes: float
    share: float
    style: float | None
    feature: float | None
    balance: tuple[float, float, float]
    device: str
    separate: bool
    first: int
    last: int
    region: int


@dataclass(frozen=True)
class LeftOut:
    """Sections that are not trained on, and why."""

    sections: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class TrainingData:
    """What a training would learn from, and its cost.

    Attributes
    ----------
    text : str
        What is used, or why nothing can be used.
    cost : str
        Time, steps and loss.
    left_out : tuple of LeftOut
        What is not used.
    busy : str
        What is being checked; empty if nothing is.
    done, total : int
        Progress; if the total is 0 the bar only moves.
    offer : bool
        Whether to offer the check, because it would take long.
    ready : bool
        Whether training can begin, as far as is known.
    """

    text: str = ""
    cost: str = ""
    left_out: tuple[LeftOut, ...] = ()
    busy: str = ""
    done: int = 0
    total: int = 0
    offer: bool = False
    ready: bool = True


@dataclass(frozen=True)
class RunState:
    """A training that runs or has ended.

    Attributes
    ----------
    phase : {"idle", "running", "judged"}
        Judged: there is a result, and the user has to decide on it.
    about : str
        Stack, aim, base model and time.
    busy : str
        What is being done.
    share : float or None
        Progress, 0 to 1; if it is None the bar only moves.
    can_stop, can_discard : bool
        What can be pressed.
    notes, details : str
        Notices of the run while it trained, and before.
    verdict : str
        The result.
    better : bool
        Whether there is a model to keep.
    name : str
        Proposed for the model.
    """

    phase: Phase = "idle"
    about: str = ""
    busy: str = ""
    share: float | None = None
    can_stop: bool = False
    can_discard: bool = False
    notes: str = ""
    details: str = ""
    verdict: str = ""
    better: bool = False
    name: str = ""


@dataclass(frozen=True)
class FineTuneState(HeaderState):
    """All that the view shows. Rendering it twice changes nothing.

    The question of the header is whether to continue a run that was interrupted.

    Attributes
    ----------
    regions : tuple of str
        Layers whose shapes or labels may limit the region to learn from.
    bases : tuple of Base
        The models to start from.
    where, where_why : str
        Where training will run, in a word, and why.
    without : bool
        Whether the user has decided to train without VGG16.
    wants_vgg : bool
        Whether the user has to decide where to get VGG16 from.
    data : TrainingData
        What a training would learn from, and its cost.
    run : RunState
        The training.
    """

    regions: tuple[str, ...] = ()
    bases: tuple[Base, ...] = ()
    where: str = ""
    where_why: str = ""
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
