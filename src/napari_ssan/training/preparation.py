"""Checks before a run begins: output files, VGG16 weights, a checkpoint to resume from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.losses.total import TotalLoss
from napari_ssan.network.model_file import SUFFIX
from napari_ssan.network.ssan import SSAN
from napari_ssan.stack.source import Source
from napari_ssan.training.checkpoint import checkpoint_path, digest, load_checkpoint
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.data import source_record
from napari_ssan.training.events import Note
from napari_ssan.training.log import table_path
from napari_ssan.training.state import Checkpoint


def check_files(output: Path, resume: bool, overwrite: bool) -> None:
    """Check, before any work is done, that a run may write its files.

    Raises
    ------
    BadInput
        If it may not. The parameters are those of :func:`~napari_ssan.training.run.run`.
    """
    if output.suffix != SUFFIX or not output.parent.is_dir():
        raise BadInput(f"The output must be a {SUFFIX} file in an existing folder.")
    if overwrite:
        return
    if output.exists():
        raise BadInput(
            f"{output} exists already; allow it to be replaced (--overwrite) "
            "or choose another name."
        )
    if resume:
        return
    if checkpoint_path(output).exists():
        raise BadInput(
            f"An interrupted run left {checkpoint_path(output).name}: resume that run "
            "(--resume), or start again (--overwrite)."
        )
    if table_path(output).exists():
        raise BadInput(
            f"{table_path(output)} of another run exists already; allow it to be replaced "
            "(--overwrite) or choose another name for the output."
        )


def without_vgg(config: TrainingConfig, vgg: Path | None, note: Note) -> TrainingConfig:
    """Return the settings, with the loss L_1 if VGG16 is needed but has no weights."""
    if config.loss.preset == "L_1" or vgg is not None:
        return config
    note(
        Notice(
            f"The loss {config.loss.preset} needs VGG16 weights, and there are none: training "
            "uses L_1 instead, which makes smoother slices."
        )
    )
    loss = config.loss.model_copy(update={"preset": "L_1"})
    return config.model_copy(update={"loss": loss})


def identify(
    config: TrainingConfig,
    train: Sequence[Source],
    held: Sequence[Source],
    start: SSAN,
    loss: TotalLoss,
) -> dict[str, Any]:
    """Collect everything that must be the same to resume a run."""
    return {
        "settings": config.model_dump(mode="json"),
        "training data": [source_record(source) for source in train],
        "validation data": [source_record(source) for source in held],
        "network": digest({"config": start.config.model_dump_json()}, dict(start.state_dict())),
        "VGG16 weights": loss.vgg.taps if loss.vgg is not None else (),
        "segmenter": digest({}, loss.segmenter.state_dict()) if loss.segmenter else None,
    }


def find_checkpoint(output: Path, identity: dict[str, Any], note: Note) -> Checkpoint | None:
    """Read the checkpoint of an interrupted run; if there is none, send a notice and return None.

    Raises
    ------
    BadInput
        If there is a checkpoint that cannot be resumed.
    """
    path = checkpoint_path(output)
    if path.exists():
        return load_checkpoint(path, identity)
    note(Notice(f"There is no {path.name} to resume from: training starts from the beginning"))
    return None
