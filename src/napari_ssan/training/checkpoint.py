"""A training run on disk: one checkpoint file, from which the run continues bit for bit.

A checkpoint belongs to one run: settings, data and starting network must be the same, else it
is refused. What it holds is gathered in :mod:`~napari_ssan.training.state`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from napari_ssan.atomic import write_atomically
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.json_text import dump_json
from napari_ssan.paths import check_input
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.events import Checkpointed, Report
from napari_ssan.training.state import Checkpoint, Facts

#: Version of the metadata's layout; files with a higher one are refused.
FORMAT = 1
KIND = "napari-ssan checkpoint"
SUFFIX = ".checkpoint"


def checkpoint_path(output: Path) -> Path:
    """Path of the checkpoint of a run that writes the model `output`: beside it."""
    return output.with_suffix(SUFFIX)


def save_checkpoint(path: Path, checkpoint: Checkpoint, identity: dict[str, Any]) -> None:
    """Write a checkpoint; the previous one stays until the new one is complete.

    Parameters
    ----------
    path : Path
    checkpoint : Checkpoint
    identity : dict
        Everything that must be the same when the run continues: settings, data, the
        starting network. JSON-serializable.

    Raises
    ------
    OSError
        If it cannot be written. The previous checkpoint is kept.
    """
    tensors = {name: tensor.cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    text = {"facts": _dump(checkpoint.facts.model_dump()), "identity": _dump(identity)}
    metadata = {"kind": KIND, "format": str(FORMAT), **text, "sha256": digest(text, tensors)}
    write_atomically(path, serialize(tensors, metadata))


def load_checkpoint(path: Path, identity: dict[str, Any]) -> Checkpoint:
    """Read a checkpoint of a run with the same settings, data and starting network.

    Raises
    ------
    BadInput
        If the file is truncated, altered, no checkpoint, or belongs to another run.
    """
    check_input(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _refuse(path, f"it is not a complete file ({error})") from None
    if metadata.get("kind") != KIND:
        raise _refuse(path, "it is not a checkpoint of napari-ssan")
    if not re.fullmatch("[0-9]{1,9}", metadata.get("format", str(FORMAT))):
        raise _refuse(path, "its format is not a number")
    if int(metadata.get("format", FORMAT)) > FORMAT:
        raise BadInput(f"{path.name} was written by a newer version; update napari-ssan.")
    text = {name: metadata.get(name, "") for name in ("facts", "identity")}
    if digest(text, tensors) != metadata.get("sha256"):
        raise _refuse(path, "its content does not match its checksum")
    try:
        facts = Facts.model_validate(json.loads(text["facts"]))
        _compare(path, json.loads(text["identity"]), json.loads(_dump(identity)))
    except ValidationError as error:
        raise _refuse(path, f"its record cannot be read ({error.errors()[0]['msg']})") from None
    except BadInput:
        raise
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise _refuse(path, f"its record cannot be read ({error})") from None
    return Checkpoint(tensors, facts)


def as_begun(config: TrainingConfig, path: Path) -> TrainingConfig:
    """The settings with `inspect` as it was when the run began that left a checkpoint.

    Versions before had no inspection. What else differs is up to :func:`load_checkpoint`, also
    if the file cannot be read.
    """
    check_input(path)
    try:
        with safe_open(path, framework="pt") as file:
            settings = json.loads(file.metadata()["identity"])["settings"]
        began = bool({"inspect": False, **settings}["inspect"])
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RecursionError):
        return config
    return config.model_copy(update={"inspect": began})


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Refuse a checkpoint, whole as it is, whose content a run cannot take up."""
    try:
        yield
    except (ValueError, TypeError, KeyError, RuntimeError, OverflowError) as error:
        raise _refuse(path, f"its content does not fit ({error})") from None


class CheckpointWriter:
    """Writes checkpoints during a run. If the disk is full, the run continues without.

    Parameters
    ----------
    path : Path
    identity : dict
        As for :func:`save_checkpoint`.
    report : callable
        Receives :class:`Checkpointed`, or a notice if a checkpoint cannot be written.
    """

    def __init__(self, path: Path, identity: dict[str, Any], report: Report) -> None:
        self.path, self.identity, self.report = path, identity, report
        self._failed = False

    def begin(self, checkpoint: Checkpoint) -> None:
        """Write the first checkpoint.

        Raises
        ------
        BadInput
            If it cannot be written.
        """
        try:
            save_checkpoint(self.path, checkpoint, self.identity)
        except OSError as error:
            raise BadInput(
                f"The checkpoint {self.path} cannot be written ({error.strerror or error}): "
                "choose another folder for the output, or free some disk space."
            ) from None

    def keep(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; if that fails, send a notice once."""
        try:
            save_checkpoint(self.path, checkpoint, self.identity)
        except OSError as error:
            if not self._failed:
                self.report(
                    Notice(
                        f"The checkpoint cannot be written ({error.strerror or error}): training "
                        "continues, but a crash would lose progress; free some disk space."
                    )
                )
            self._failed = True
        else:
            self._failed = False
            self.report(Checkpointed(checkpoint.facts.step, self.path))


def _compare(path: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse a checkpoint of another run."""
    then = then | {"settings": _completed(then["settings"])}
    differing = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    if not differing:
        return
    key = differing[0]
    old, new = then.get(key), now.get(key)
    if isinstance(old, dict) and isinstance(new, dict):
        part = min(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        key, old, new = f"{key}: {part}", old.get(part), new.get(part)
    was = f" ({_short(old)} before, {_short(new)} now)" if key.startswith("settings") else ""
    raise BadInput(
        f"{path.name} belongs to a run with other {key.replace('_', ' ')}{was}: resume with the "
        "same ones, or start again (--overwrite)."
    )


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    """Add today's defaults to the settings of a run that an older version began."""
    try:
        before = {"inspect": False, **settings}
        return TrainingConfig.model_validate(before).model_dump(mode="json")
    except ValidationError:
        return settings


def _short(value: Any) -> str:
    text = dump_json(value)
    return text if len(text) < 60 else f"{text[:57]}..."


def _dump(content: dict[str, Any]) -> str:
    return dump_json(content, sort_keys=True)


def digest(text: dict[str, str], tensors: dict[str, Tensor]) -> str:
    """Compute the SHA-256 of named texts and tensors."""
    hashed = hashlib.sha256(_dump(text).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def _refuse(path: Path, reason: str) -> BadInput:
    return BadInput(
        f"{path.name} cannot be resumed: {reason}; start again (--overwrite) to replace it."
    )
