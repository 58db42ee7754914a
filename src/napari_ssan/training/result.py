"""The result of a run: the best network, written as a model file with its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from napari_ssan.errors import BadInput
from napari_ssan.losses.total import TotalLoss
from napari_ssan.network.device import device_name
from napari_ssan.network.model_file import ModelInfo, save_model
from napari_ssan.network.ssan import SSAN
from napari_ssan.training.checkpoint import checkpoint_path
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.log import table_path
from napari_ssan.training.state import Facts, TrainingState
from napari_ssan.training.validation import Validation, is_better
from napari_ssan.version import __version__


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes
    ----------
    network : SSAN
        The network that was written, on the CPU, in evaluation mode.
    info : ModelInfo
        Its file.
    scores, start_scores : dict of str to float
        Scores on the held-out sections of `network`, and of the network that training
        started from.
    baselines : dict of str to dict of str to float
        Scores of the average and of TV-L1 flow.
    better : bool
        Whether training improved the network.
    steps : int
        Steps done.
    minutes : float
        Time spent in the training loop, in all parts of the run.
    reason : str
        One sentence: why training ended early; empty if the budget was spent.
    """

    network: SSAN
    info: ModelInfo
    scores: dict[str, float]
    start_scores: dict[str, float]
    baselines: dict[str, dict[str, float]]
    better: bool
    steps: int
    minutes: float
    reason: str


def discard(output: Path) -> None:
    """Remove the checkpoint and the table that a cancelled run left beside `output`."""
    checkpoint_path(output).unlink(missing_ok=True)
    table_path(output).unlink(missing_ok=True)


def describe_run(
    config: TrainingConfig,
    facts: Facts,
    loss: TotalLoss,
    validation: Validation,
    device: torch.device,
) -> dict[str, Any]:
    """Write the part of the model's card that follows from the run."""
    return {
        "tile": config.crop,
        "match": config.match,
        "loss": config.loss.preset,
        "loss_weights": loss.weights,
        "vgg_taps": loss.vgg.taps if loss.vgg is not None else (),
        "training": config.model_dump(mode="json"),
        "version": __version__,
        "device": device_name(device),
        "steps": facts.step,
        "minutes": facts.seconds / 60,
        "curve": facts.curve,
        "validation": {
            "sections": [[each.source, each.section] for each in validation.held_out],
            "start": facts.start_scores,
            **facts.baselines,
        },
    }


def hand_over(
    state: TrainingState,
    start: SSAN,
    output: Path,
    card: dict[str, Any],
    preset: str,
    keep_start: bool,
    reason: str,
) -> Result:
    """Write the model file, and remove the checkpoint."""
    facts = state.facts
    if not state.best and not keep_start:
        discard(output)
        raise BadInput(reason or "Training did no step, so there is no model to keep.")
    better = bool(state.best) and is_better(facts.best_scores, facts.start_scores, preset)
    unchanged = keep_start and not better
    network = SSAN(start.config).eval()
    network.load_state_dict(start.state_dict() if unchanged else state.best)
    scores = facts.start_scores if unchanged else facts.best_scores
    card = card | {"better": better, "unchanged": unchanged, "best_step": facts.best_step}
    card["validation"]["model"] = scores
    if reason:
        card["ended"] = reason
    try:
        info = save_model(output, network, card)
    except OSError as error:
        raise BadInput(
            f"{output} could not be written ({error.strerror or error}): free some disk space "
            f"and resume the run, whose last state is in {checkpoint_path(output).name}."
        ) from None
    checkpoint_path(output).unlink(missing_ok=True)
    return Result(
        network,
        info,
        scores,
        facts.start_scores,
        facts.baselines,
        better,
        facts.step,
        facts.seconds / 60,
        reason,
    )
