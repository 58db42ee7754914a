"""What a training run is to do: typed, validated, round-trips to JSON."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_ssan.losses.config import LossConfig
from napari_ssan.stack.augmentation import Augmentation

#: Share of the budget in which the ``warm`` schedule rises to its full learning rate.
WARM_UP = 0.05
#: Height and width, in pixels, down to which a crop may be binned for the loss.
LEAST = 16
#: The learning rate falls to this share of itself.
FLOOR = 0.01


class TrainingConfig(BaseModel):
    """Settings of a training run.

    The same object drives the dock, the command line and the checkpoint.

    Attributes
    ----------
    minutes, epochs, steps : float, float, int or None
        The budget; exactly one of them. Minutes are those spent in the training
        loop, with its validations, in all parts of an interrupted run together.
        An epoch is as many steps as it takes to draw, on average, every crop of
        every triplet of adjacent sections once: triplets that were found good,
        times the crops that fit side by side into a section, over the batch.
    crop : int
        Height and width of the training crops, in pixels. Sections are later
        synthesized in tiles of this size.
    batch : int
        Triplets a step.
    learning_rate : float
        At the start; with ``warm`` after the warm-up.
    schedule : {"cosine", "paper", "warm"}
        Down to a hundredth along a half cosine; the paper's two stages, a tenth
        of it after 3/5 of the budget; or a short warm-up and then the cosine,
        for a network that is trained already.
    betas : (float, float)
        Of Adam.
    clip : float
        Largest norm of a step's gradient.
    average : float
        Decay of the moving average of the weights that makes the model.
    augmentation : Augmentation
        How crops are varied.
    match : {"mean", "histogram"}
        How sections of a triplet, and later the model's results, are made alike
        in their grey values.
    views : {1, 2, 4, 8}
        Mirrored and turned views that the model's results will be averages of;
        validations look at one.
    select : bool
        Leave out triplets whose sections do not belong together or are blurred.
    seed : int
        Of the weights and of the triplets.
    loss : LossConfig
        What is made small.
    validation_share : float
        Of each stack's sections, held out where no stack is named for validation.
    sections : int
        Held-out sections of each stack that are looked at, evenly spread.
    validate_every : float
        Share of the budget between two validations; with a budget of time they are
        rarer where they would take more than about a tenth of it.
    checkpoint_every : float
        Seconds between two checkpoints.
    preview_every : float
        Seconds between two previews.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minutes: float | None = Field(None, gt=0)
    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, ge=1)
    crop: int = Field(128, ge=32)
    batch: int = Field(4, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["cosine", "paper", "warm"] = "cosine"
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = Field(1.0, gt=0)
    average: float = Field(0.999, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    match: Literal["mean", "histogram"] = "mean"
    views: Literal[1, 2, 4, 8] = 1
    select: bool = True
    seed: int = Field(0, ge=0, lt=2**63)
    loss: LossConfig = LossConfig()
    validation_share: float = Field(0.15, gt=0, lt=1)
    sections: int = Field(4, ge=1)
    validate_every: float = Field(0.05, gt=0, le=1)
    checkpoint_every: float = Field(30.0, gt=0)
    preview_every: float = Field(30.0, gt=0)

    @model_validator(mode="after")
    def _one_budget(self) -> TrainingConfig:
        if sum(each is not None for each in (self.minutes, self.epochs, self.steps)) != 1:
            raise ValueError("give either minutes, epochs or steps")
        return self

    @model_validator(mode="after")
    def _wide_enough(self) -> TrainingConfig:
        coarsest = max(self.loss.scales)
        if self.crop < LEAST * coarsest:
            raise ValueError(
                f"crops of {self.crop} pixels are too small to be binned by {coarsest}; "
                f"use at least {LEAST * coarsest}"
            )
        return self

    def budget(self, crops: int) -> int | None:
        """The budget in steps, None where it is one of time.

        Parameters
        ----------
        crops : int
            Those of an epoch: good triplets times crops in a section.
        """
        if self.epochs is None:
            return self.steps
        return max(1, math.ceil(self.epochs * crops / self.batch))

    def rate(self, done: float) -> float:
        """Learning rate when `done` of the budget (0 to 1) is spent."""
        if self.schedule == "paper":
            return self.learning_rate * (1 if done < 0.6 else 0.1)
        if self.schedule == "warm":
            if done < WARM_UP:
                return self.learning_rate * max(FLOOR, done / WARM_UP)
            done = (done - WARM_UP) / (1 - WARM_UP)
        return self.learning_rate * max(FLOOR, (1 + math.cos(math.pi * min(done, 1.0))) / 2)
