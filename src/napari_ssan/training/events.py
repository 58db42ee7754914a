"""What a training run says while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_ssan.events import Notice
from napari_ssan.stack.intensity import Float

#: Means over the held-out sections, by name of the metric.
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Preparing:
    """Something is done before the first step; `done` of `total` parts of it."""

    text: str
    done: int
    total: int


@dataclass(frozen=True)
class Compared:
    """What the baselines reach on the held-out sections: scores of ``average`` and ``tvl1``."""

    baselines: Mapping[str, Scores]


@dataclass(frozen=True)
class StepDone:
    """After each step.

    Attributes
    ----------
    step : int
        Steps done.
    share : float
        Of the budget that is spent, 0 to 1.
    seconds_left : float
        Estimate.
    losses : dict of str to float
        Terms of this step's loss as they enter it, and their ``total``.
    gammas : tuple of float
        How much each stage of the attention contributes.
    learning_rate : float
        Of this step.
    """

    step: int
    share: float
    seconds_left: float
    losses: dict[str, float]
    gammas: tuple[float, ...]
    learning_rate: float


@dataclass(frozen=True)
class Validated:
    """The network was judged on the held-out sections.

    Attributes
    ----------
    step : int
        Steps done; 0 is the network that training starts from.
    scores : mapping of str to float
        ``psnr`` (dB), ``ssim``, ``ie``, ``psnr_lowpass`` (dB), ``hf_ratio``.
    best : bool
        Whether it is the best so far.
    """

    step: int
    scores: Scores
    best: bool


@dataclass(frozen=True)
class Preview:
    """A held-out section as it is and as it is synthesized.

    Attributes
    ----------
    section : int
        Its number in its stack.
    real, before, now : ndarray of float32, (height, width)
        Grey values, of the stack's scale: real, by the network that training
        starts from, and by the one that it has come to.
    """

    section: int
    real: Float
    before: Float
    now: Float


@dataclass(frozen=True)
class RolledBack:
    """The loss was no number: training went back and goes on more slowly.

    Attributes
    ----------
    step : int
        Steps done.
    reason : str
        What happened and what to do, a sentence.
    """

    step: int
    reason: str


@dataclass(frozen=True)
class Checkpointed:
    """All that is needed to go on from `step` is on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Finished:
    """The model is written.

    Attributes
    ----------
    step : int
        Steps done.
    minutes : float
        Spent training.
    scores, start_scores : mapping of str to float
        Of the network that is handed over and of the one that training started from.
    better : bool
        Whether training made it better than it was.
    reason : str
        Why it ended before its budget, a sentence; else empty.
    """

    step: int
    minutes: float
    scores: Scores
    start_scores: Scores
    better: bool
    reason: str


Event = (
    Preparing
    | Notice
    | Compared
    | StepDone
    | Validated
    | Preview
    | RolledBack
    | Checkpointed
    | Finished
)
Report = Callable[[Event], object]
Note = Callable[[Notice], object]
