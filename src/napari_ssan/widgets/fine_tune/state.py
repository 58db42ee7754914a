"""What the dock "Fine-tune" shows, in words. Knows neither Qt nor napari."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from napari_ssan.widgets.repair.state import HeaderState, time_text

Aim = Literal["natural", "faithful"]
Phase = Literal["idle", "running", "judged"]

AIMS: dict[Aim, str] = {"natural": "Natural texture", "faithful": "Faithful"}
ADVICE: dict[Aim, str] = {
    "natural": "Grain and contrast like the neighbours': to look at, beside real slices.",
    "faithful": "Closest to the real slice pixel by pixel, but smooth: to segment, and to measure.",
}
#: What a name of a stack may end in.
ENDINGS = re.compile(r"(\.ome)?\.(tiff?|zarr|h5|hdf5?)$", re.IGNORECASE)
EMPTY = "Open a stack, or try the sample."
WITHOUT = "Without VGG16 it learns pixels alone: smoother than natural texture."


@dataclass(frozen=True)
class Base:
    """A model to start from.

    Attributes
    ----------
    name : str
        By which the core knows it.
    label, tooltip : str
        In plain words, and what its card says.
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
        What matters.
    minutes : float
        Budget.
    share : float
        Of the sections, held out to judge by.
    style, feature : float or None
        Weights of the loss; None takes those that fit.
    balance : (float, float, float)
        Weights of the style of the previous, the wanted and the next section.
    device : str
        As for :func:`napari_ssan.repair`.
    apart : bool
        Whether to train in a process of its own.
    first, last : int
        Sections to learn from, both included.
    region : int
        Place in the list of layers; 0 is the whole section.
    """

    base: str
    aim: Aim
    minutes: float
    share: float
    style: float | None
    feature: float | None
    balance: tuple[float, float, float]
    device: str
    apart: bool
    first: int
    last: int
    region: int


@dataclass(frozen=True)
class LeftOut:
    """Sections that are not learned from, and why."""

    sections: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Uses:
    """What a training would use, and cost.

    Attributes
    ----------
    text : str
        What is used, what is being found out, or why nothing can be.
    cost : str
        How long it takes, and what is compared.
    left_out : tuple of LeftOut
        What is not used.
    busy : bool
        Whether it is being found out.
    done, total : int
        How far that is; a total of 0 is a bar that only moves.
    offer : bool
        Whether to offer to find out, where that would take long.
    ready : bool
        Whether training can begin, as far as is known.
    """

    text: str = ""
    cost: str = ""
    left_out: tuple[LeftOut, ...] = ()
    busy: bool = False
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
        Judged: there is a verdict that waits for the user.
    about : str
        What is trained on, from what, how long.
    busy : str
        What is going on.
    share : float or None
        How far it is, 0 to 1; None is a bar that only moves.
    can_stop, can_discard : bool
        What can be pressed.
    notes, details : str
        What the run had to say while it trained, and before that.
    verdict : str
        What has come of it.
    better : bool
        Whether there is a model to keep.
    name : str
        Proposed for it.
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
    """All that the view needs beside its head; rendering it twice changes nothing.

    The question of the head is whether to go on with a run that was interrupted.

    Attributes
    ----------
    regions : tuple of str
        Layers whose shapes or labels may narrow what is learned from.
    bases : tuple of Base
        What training may start from.
    where, where_why : str
        Where it runs, in a word, and why.
    without : bool
        Whether VGG16 is wanted and absent, and the user has taken to go without.
    wants_vgg : bool
        Whether the user has still to say where VGG16 comes from.
    uses : Uses
        What a training would use, and cost.
    run : RunState
        The training.
    """

    regions: tuple[str, ...] = ()
    bases: tuple[Base, ...] = ()
    where: str = ""
    where_why: str = ""
    without: bool = False
    wants_vgg: bool = False
    uses: Uses = Uses()
    run: RunState = RunState()

    @property
    def can_train(self) -> bool:
        """Whether Train can be pressed."""
        return not self.refusal and self.uses.ready and not self.wants_vgg and bool(self.bases)


def about_text(stack: str, aim: str, base: str, minutes: float) -> str:
    """Say what a run is about, in two lines."""
    return f"{stack}\n{aim}, from {base}, {minutes:g} min"


def step_text(step: int, seconds_left: float, memory: str = "") -> str:
    """Say how far training is."""
    left = f"{time_text(seconds_left)} left" if seconds_left >= 1 else "nearly done"
    return " · ".join(part for part in (f"step {step}", left, memory) if part)


def share_text(text: str, done: int, total: int) -> str:
    """Say what is prepared, and how much of it is done."""
    sentence = text[:1].upper() + text[1:]
    return f"{sentence}, {100 * done // total} %" if total else f"{sentence}…"


def megabytes_text(done: int, total: int) -> str:
    """Say how much of a download is there."""
    return f"Downloading VGG16: {done / 2**20:.0f} of {total / 2**20:.0f} MB"


def ranges_text(sections: Sequence[int]) -> str:
    """Say which sections, as in ``3, 10–14``."""
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
