"""The events that a training run reports while it runs.

Their order: :class:`Preparing`, :class:`Compared`, then :class:`StepDone` with
:class:`Validated`, :class:`Preview` and :class:`Checkpointed` in between, then :class:`Finished`.
"""

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
    """Preparation before the first step: `text` says what, and `done` of `total` parts are done."""

    text: str
    done: int
    total: int


@dataclass(frozen=True)
class Compared:
    """Scores of the baselines ``average`` and ``tvl1`` on the held-out sections."""

    baselines: Mapping[str, Scores]


@dataclass(frozen=True)
class StepDone:
    """Training steps are done: one, or all since the last event of this kind.

    They come at most ten times a second.

    Attributes
    ----------
    step : int
        Steps done.
    share : float
        Share of the budget that is spent, 0 to 1.
    seconds_left : float
        Estimated time left, in seconds.
    losses : dict of str to float
        Weighted terms of the loss, and their ``total``: means over these steps.
    gammas : tuple of float
        Gamma of each stage of the attention: how much the stage contributes.
    learning_rate : float
        Learning rate of the last step.
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
        Steps done; 0 for the network that training starts from.
    scores : mapping of str to float
        ``psnr`` (dB), ``ssim``, ``ie``, ``psnr_lowpass`` (dB), ``hf_ratio``.
    best : bool
        Whether the network is the best so far.
    """

    step: int
    scores: Scores
    best: bool


@dataclass(frozen=True)
class Preview:
    """A held-out section, real and synthesized.

    Attributes
    ----------
    section : int
        Its number in its stack.
    real, before, now : ndarray of float32, (height, width)
        Grey values on the stack's scale: the real section, the section by the network
        that training starts from, and the section by the current network.
    """

    section: int
    real: Float
    before: Float
    now: Float


@dataclass(frozen=True)
class RolledBack:
    """The loss was not finite: training went back, and continues at a lower learning rate.

    Attributes
    ----------
    step : int
        Steps done.
    reason : str
        One sentence: what happened and what to do.
    """

    step: int
    reason: str


@dataclass(frozen=True)
class Checkpointed:
    """The checkpoint of `step` is on disk at `path`."""

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
        Time spent in training, in minutes.
    scores, start_scores : mapping of str to float
        Scores of the written network, and of the network that training started from.
    better : bool
        Whether training improved the network.
    reason : str
        One sentence: why training ended early; empty if the budget was spent.
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
