"""What is seen to before a run begins: files, weights of VGG16, a checkpoint to go on from."""

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
    """See, before any work is done, whether a run may write what it has to.

    Raises
    ------
    BadInput
        If it may not; parameters are those of :func:`run`.
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
            f"A run that was interrupted left {checkpoint_path(output).name}: go on with it "
            "(--resume), or begin anew (--overwrite)."
        )
    if table_path(output).exists():
        raise BadInput(
            f"{table_path(output)} of another run exists already; allow it to be replaced "
            "(--overwrite) or choose another name for the output."
        )


def without_vgg(config: TrainingConfig, vgg: Path | None, note: Note) -> TrainingConfig:
    """The settings; with L_1 where VGG16 is wanted and absent."""
    if config.loss.preset == "L_1" or vgg is not None:
        return config
    note(
        Notice(
            f"There are no weights of VGG16, which {config.loss.preset} needs: training with L_1 "
            "instead, which makes smoother sections."
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
    """What must be the same for a run to go on."""
    return {
        "settings": config.model_dump(mode="json"),
        "training data": [source_record(source) for source in train],
        "validation data": [source_record(source) for source in held],
        "network": digest({"config": start.config.model_dump_json()}, dict(start.state_dict())),
        "VGG16 weights": loss.vgg.taps if loss.vgg is not None else (),
        "segmenter": digest({}, loss.segmenter.state_dict()) if loss.segmenter else None,
    }


def find_checkpoint(output: Path, identity: dict[str, Any], note: Note) -> Checkpoint | None:
    """What a run that was interrupted goes on from; None if nothing is there, which is noted.

    Raises
    ------
    BadInput
        If what is there cannot be gone on from.
    """
    path = checkpoint_path(output)
    if path.exists():
        return load_checkpoint(path, identity)
    note(Notice(f"There is no {path.name} to go on from: beginning anew"))
    return None
