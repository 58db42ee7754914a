"""The settings of a training run: typed, validated, round-trips to JSON.

Responsible for the keys, their defaults and limits, and what follows from them: the budget in
steps and the learning rate at each point. The loss's settings are in :mod:`losses.config`, how
crops are varied in :mod:`stack.augmentation`. The text below a field is also its comment in a
configuration file of ``napari-ssan train``. Easy to get wrong: a checkpoint stores all of these
settings, so a field that is renamed or removed makes older checkpoints unusable.
"""

from __future__ import annotations

import math
from typing import Any, Literal

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
    """Settings of a training run. The dock, the command line and the checkpoint share them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    minutes: float | None = Field(None, gt=0, allow_inf_nan=True)
    """Budget in minutes of training and validation, over all parts of an interrupted run.
    Set exactly one of minutes, epochs and steps."""
    epochs: float | None = Field(None, gt=0)
    """Budget in epochs. An epoch is as many steps as it takes to draw, on average, every crop
    of every good triplet of adjacent sections once."""
    steps: int | None = Field(None, ge=1)
    """Budget in steps."""
    crop: int = Field(128, ge=32)
    """Height and width of the training crops, in pixels."""
    batch: int = Field(4, ge=1, le=1024)
    """Crops in each step."""
    learning_rate: float = Field(1e-3, gt=0, le=1)
    """Highest learning rate: the first one, or with the "warm" schedule that after the warm-up."""
    schedule: Literal["cosine", "paper", "warm"] = "cosine"
    """How the learning rate falls. "cosine": to a hundredth along a half cosine. "paper": to a
    tenth after 3/5 of the budget. "warm": a short rise, then the cosine; for a trained model."""
    betas: tuple[float, float] = (0.9, 0.999)
    """The two decay rates of the Adam optimizer."""
    clip: float = Field(1.0, gt=0)
    """Gradients with a larger norm are scaled down to this norm."""
    average: float = Field(0.999, ge=0, lt=1)
    """Decay of the moving average of the weights. The model is made from this average."""
    augmentation: Augmentation = Augmentation()
    """How training crops are varied."""
    match: Literal["mean", "histogram"] = "mean"
    """How the grey values of neighbours, and later of the model's results, are matched: by mean
    and contrast ("mean") or by the whole histogram ("histogram")."""
    select: bool = True
    """Align the sections of a triplet."""
    inspect: bool = True
    """Leave out slices and regions that an inspection finds broken with a probability of .9 or
    more. A run that is resumed goes on as it began."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of the random numbers: the first weights and the training crops."""
    loss: LossConfig = LossConfig()
    """What training minimizes."""
    validation_share: float = Field(0.15, gt=0, lt=1)
    """Share of each stack's sections that is held out if no stack is named for validation."""
    sections: int = Field(4, ge=1)
    """Number of held-out sections of each stack in a validation, evenly spread."""
    validate_every: float = Field(0.05, gt=0, le=1)
    """Share of the budget between two validations. With a budget in minutes they are rarer if
    they would take more than about a tenth of the time."""
    checkpoint_every: float = Field(30.0, gt=0)
    """Seconds between two checkpoints."""
    preview_every: float = Field(30.0, gt=0)
    """Seconds between two previews in the dock."""

    @model_validator(mode="before")
    @classmethod
    def _without_views(cls, settings: Any) -> Any:
        """Pass over a key of older versions: how many views to average is up to a repair now."""
        if isinstance(settings, dict):
            return {key: value for key, value in settings.items() if key != "views"}
        return settings

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
