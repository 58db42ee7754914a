"""What a training run is to do: typed, validated, round-trips to JSON."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_ssan.losses.config import LossConfig


class TrainingConfig(BaseModel):
    """Settings of a training run.

    Attributes
    ----------
    minutes, steps : float, int or None
        The budget; exactly one of them.
    crop : int
        Height and width of the training crops, in pixels. Sections are later
        synthesized in tiles of this size.
    batch : int
        Triplets a step.
    learning_rate : float
        At the start.
    schedule : {"cosine", "paper"}
        Down to a hundredth along a half cosine, or the paper's: a tenth of it
        after 3/5 of the budget.
    average : float
        Decay of the moving average of the weights that makes the model.
    clip : float
        Largest norm of a step's gradient.
    zoom : float
        Crops are magnified or reduced by up to this factor.
    seed : int
        Of the weights and of the triplets.
    loss : LossConfig
        What is made small.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minutes: float | None = Field(None, gt=0)
    steps: int | None = Field(None, ge=1)
    crop: int = Field(128, ge=32)
    batch: int = Field(4, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["cosine", "paper"] = "cosine"
    average: float = Field(0.999, ge=0, lt=1)
    clip: float = Field(1.0, gt=0)
    zoom: float = Field(1.6, ge=1)
    seed: int = 0
    loss: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _one_budget(self) -> TrainingConfig:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("give either minutes or steps")
        return self

    def rate(self, done: float) -> float:
        """Learning rate when `done` of the budget (0 to 1) is spent."""
        if self.schedule == "paper":
            return self.learning_rate * (1 if done < 0.6 else 0.1)
        return self.learning_rate * max(0.01, (1 + math.cos(math.pi * min(done, 1.0))) / 2)
