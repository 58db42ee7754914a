"""What a fine-tuning is to do: a few settings, and what training makes of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_ssan.losses.config import BETAS, LossConfig, Weight
from napari_ssan.network.model_file import DEFAULT_MODEL
from napari_ssan.stack.augmentation import Augmentation
from napari_ssan.training.config import TrainingConfig

if TYPE_CHECKING:
    from napari_ssan.stack.triplets import Match

#: What matters to the user, in plain words, and the loss that means it.
AIMS = {"faithful": "L_1", "natural": "L_s"}
#: Model to start from, unless the user chooses another: one that has the aim already.
PREFERRED = {"L_1": "ssan-fidelity", "L_f": "ssan-fidelity", "L_s": "ssan-realistic"}

#: Side of the training crops in pixels, where sections are that large.
CROP = 128
#: Triplets a step.
BATCH, BATCH_GPU = 4, 16
LEARNING_RATE = 5e-4
#: Natural texture is compared on these scales: grain, and the coarse structure of membranes.
SCALES = (1, 2)
#: Weight of the structural similarity: it raises SSIM and costs no PSNR.
STRUCTURE = 0.1
#: The moving average remembers about this share of the steps: a short run must not lag behind.
MEMORY = 0.2
#: Held-out sections that are looked at in each validation, of all blocks together.
SECTIONS = 6
#: Seconds between two checkpoints.
CHECKPOINT = 15.0
#: Minutes between two validations, but at least two and at most ten in a run.
VALIDATE = 0.5
#: Steps a minute on one thread of a CPU, about, and how they grow with threads.
STEPS_A_MINUTE, GROWTH = 65.0, 0.7
#: Terms on VGG16 make a step so much longer: 1.4 s instead of 0.6 on two scales.
VGG_FACTOR = 2.2


class FineTuneConfig(BaseModel):
    """Settings of a fine-tuning. The dock and the command line build the same object.

    Attributes
    ----------
    base : str
        Model to start from: a name, or a path.
    loss : {"L_1", "L_f", "L_s"}
        What matters: faithful sections, or natural texture; see :data:`AIMS`.
    minutes : float
        Budget of the training itself, without what goes before and after.
    share : float
        Of the sections, held out to judge by.
    device : str
        ``auto``, ``cpu``, ``cuda:0`` ... or ``mps``.
    style, feature : float or None
        The paper's alpha: weights of the terms; if None, those that fit VGG16's weights.
    balance : (float, float, float)
        The paper's beta: weights of the style of the previous, the wanted and the next section.
    seed : int
        Of the triplets.
    steps : int or None
        Budget in steps, in the place of `minutes`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = DEFAULT_MODEL
    loss: Literal["L_1", "L_f", "L_s"] = "L_1"
    minutes: float = Field(10.0, gt=0)
    share: float = Field(0.15, gt=0, le=0.5)
    device: str = "auto"
    style: float | None = Field(None, ge=0)
    feature: float | None = Field(None, ge=0)
    balance: tuple[Weight, Weight, Weight] = BETAS
    seed: int = Field(0, ge=0, lt=2**63)
    steps: int | None = Field(None, ge=1)

    def training(self, crop: int, blocks: int, match: Match, threads: int | None) -> TrainingConfig:
        """Settings of the training run.

        Parameters
        ----------
        crop : int
            Side of the crops, in pixels.
        blocks : int
            Number of blocks of held-out sections.
        match : {"mean", "histogram"}
            How the base model's results are fitted.
        threads : int or None
            Of the CPU; None on a GPU.
        """
        remembered = max(1.0, MEMORY * self.expected_steps(threads))
        return TrainingConfig(
            minutes=None if self.steps else self.minutes,
            steps=self.steps,
            crop=crop,
            batch=BATCH if threads else BATCH_GPU,
            learning_rate=LEARNING_RATE,
            schedule="warm",
            average=min(max(1 - 1 / remembered, 0.9), 0.998),
            # The volume has one voxel size, and resampling would smooth its grain.
            augmentation=Augmentation(zoom=1.0),
            match=match,
            seed=self.seed,
            loss=LossConfig(
                preset=self.loss,
                style=self.style,
                feature=self.feature,
                betas=self.balance,
                structure=STRUCTURE,
                scales=SCALES if self.loss == "L_s" else (1,),
            ),
            sections=max(1, round(SECTIONS / blocks)),
            checkpoint_every=CHECKPOINT,
            validate_every=min(0.5, max(0.1, VALIDATE / self.minutes)),
        )

    def expected_steps(self, threads: int | None) -> int:
        """About how many steps the budget allows, on threads of a CPU or, if None, on a GPU."""
        if self.steps:
            return self.steps
        rate = STEPS_A_MINUTE * (threads**GROWTH if threads else 10)
        return max(1, round(self.minutes * rate / (1 if self.loss == "L_1" else VGG_FACTOR)))


def aim_of(loss: str) -> str:
    """What a loss is about, in a word; the loss itself where there is none."""
    return next((aim for aim, means in AIMS.items() if means == loss), loss)


def default_minutes(device: str) -> float:
    """Budget that makes sense on a device of this name: 10 minutes on a CPU, 5 on a GPU."""
    if device == "auto":
        from napari_ssan.network.device import choose_device

        device = choose_device("auto").type
    return 10.0 if device.startswith("cpu") else 5.0


def cores() -> int:
    """How many cores of the CPU this process may use."""
    if hasattr(os, "sched_getaffinity"):  # a cluster or a container may grant fewer than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spare_threads() -> int:
    """Threads that leave a core to the viewer, where there is more than one."""
    return max(1, cores() - 1)
