"""Settings of a fine-tune run, and the training settings that follow from them.

The user sets few things; learning rate, batch, schedule and scales were measured and are
constants here. Settings of training in general are in :mod:`napari_ssan.training.config`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_ssan.losses.config import BETAS, LossConfig, Weight
from napari_ssan.network.model_file import DEFAULT_MODEL
from napari_ssan.stack.augmentation import Augmentation
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.machine import cores

if TYPE_CHECKING:
    from napari_ssan.stack.triplets import Match

#: Aims, as users see them, and the loss of each.
AIMS = {"faithful": "L_1", "natural": "L_s"}
#: Default model to start from for each loss: one that was trained for this aim.
PREFERRED = {"L_1": "ssan-fidelity", "L_f": "ssan-fidelity", "L_s": "ssan-realistic"}

#: Side of the training crops in pixels; less if sections are smaller.
CROP = 128
#: Triplets per step on a CPU and on a GPU.
BATCH, BATCH_GPU = 4, 16
LEARNING_RATE = 5e-4
#: Scales on which natural texture is compared: grain, and the coarse structure of membranes.
SCALES = (1, 2)
#: Weight of the structural similarity: it raises SSIM and costs no PSNR.
STRUCTURE = 0.1
#: The moving average remembers about this share of the steps, so that it keeps up in a short run.
MEMORY = 0.2
#: Held-out sections in each validation, in all blocks together.
SECTIONS = 6
#: Seconds between two checkpoints.
CHECKPOINT = 15.0
#: Minutes between two validations; a run has at least two and at most ten.
VALIDATE = 0.5
#: Steps per minute on one thread of a CPU, roughly, and the exponent of their growth with threads.
STEPS_A_MINUTE, GROWTH = 65.0, 0.7
#: VGG16 terms make a step longer by this factor: 1.4 s instead of 0.6 on two scales.
VGG_FACTOR = 2.2


class FineTuneConfig(BaseModel):
    """Settings of a fine-tune run, the same for the dock and the command line.

    Attributes
    ----------
    base : str
        Model to start from: a name or a path.
    loss : {"L_1", "L_f", "L_s"}
        The aim: faithful sections or natural texture; see :data:`AIMS`.
    minutes : float
        Budget for training, without preparation and judging.
    share : float
        Share of the sections that is held out for judging.
    device : str
        ``auto``, ``cpu``, ``cuda:0`` ... or ``mps``.
    style, feature : float or None
        The paper's alpha: weights of the terms. None takes those that fit the VGG16 weights.
    balance : (float, float, float)
        The paper's beta: weights of the style of the previous, the wanted and the next section.
    seed : int
        Seed of the triplets.
    steps : int or None
        Budget in steps, instead of `minutes`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
        """Make the settings of the training run.

        Parameters
        ----------
        crop : int
            Side of the crops, in pixels.
        blocks : int
            Number of blocks of held-out sections.
        match : {"mean", "histogram"}
            How grey values of the base model's results are fitted to the neighbours.
        threads : int or None
            Threads on a CPU; None on a GPU.
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
            # No zoom: the stack has one voxel size, and resampling would smooth its grain.
            augmentation=Augmentation(zoom=1.0),
            match=match,
            inspect=False,  # the stack was inspected when it was divided
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
        """Estimate the steps within the budget, on threads of a CPU or, if None, on a GPU."""
        if self.steps:
            return self.steps
        rate = STEPS_A_MINUTE * (threads**GROWTH if threads else 10)
        return max(1, round(self.minutes * rate / (1 if self.loss == "L_1" else VGG_FACTOR)))


def aim_of(loss: str) -> str:
    """Return the aim of a loss in a word; if it has none, the loss itself."""
    return next((aim for aim, means in AIMS.items() if means == loss), loss)


def default_minutes(device: str) -> float:
    """Return the default budget on a device: 10 minutes on a CPU, 5 on a GPU."""
    if device == "auto":
        from napari_ssan.network.device import choose_device

        device = choose_device("auto").type
    return 10.0 if device.startswith("cpu") else 5.0


def spare_threads() -> int:
    """Return the number of threads that leaves a core to the viewer, but at least one."""
    return max(1, cores() - 1)
