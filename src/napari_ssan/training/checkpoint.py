"""A training run on disk: one file, whole or not at all, from which it goes on bit for bit."""

from __future__ import annotations

import hashlib
import json
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
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.events import Checkpointed, Report
from napari_ssan.training.state import Checkpoint, Facts

#: Layout of the metadata; a file with a higher one is refused.
FORMAT = 1
KIND = "napari-ssan checkpoint"
SUFFIX = ".checkpoint"


def checkpoint_path(output: Path) -> Path:
    """Where the checkpoint of a run lies that makes the model `output`: beside it."""
    return output.with_suffix(SUFFIX)


def save_checkpoint(path: Path, checkpoint: Checkpoint, identity: dict[str, Any]) -> None:
    """Write a checkpoint; the one that is there survives until the new one is complete.

    Parameters
    ----------
    path : Path
        Where.
    checkpoint : Checkpoint
        The run at one moment.
    identity : dict
        What must be the same when it goes on: settings, data, the network at the
        start. JSON-serializable.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left of it then.
    """
    tensors = {name: tensor.cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    text = {"facts": _dump(checkpoint.facts.model_dump()), "identity": _dump(identity)}
    metadata = {"kind": KIND, "format": str(FORMAT), **text, "sha256": digest(text, tensors)}
    write_atomically(path, serialize(tensors, metadata))


def load_checkpoint(path: Path, identity: dict[str, Any]) -> Checkpoint:
    """Read a checkpoint of a run with the same settings, data and start.

    Raises
    ------
    BadInput
        If the file is truncated, altered, foreign, or of another run.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _refuse(path, f"it is no complete file ({error})") from None
    if metadata.get("kind") != KIND:
        raise _refuse(path, "it is no checkpoint of napari-ssan")
    if int(metadata.get("format", FORMAT)) > FORMAT:
        raise BadInput(f"{path.name} was written by a newer version; update napari-ssan.")
    text = {name: metadata.get(name, "") for name in ("facts", "identity")}
    if digest(text, tensors) != metadata.get("sha256"):
        raise _refuse(path, "its content does not match its checksum")
    try:
        facts = Facts.model_validate(json.loads(text["facts"]))
    except ValidationError as error:
        raise _refuse(path, f"its record cannot be read ({error.errors()[0]['msg']})") from None
    _compare(path, json.loads(text["identity"]), json.loads(_dump(identity)))
    return Checkpoint(tensors, facts)


class CheckpointWriter:
    """Writes checkpoints while a run goes on; that the disk is full then does not end it.

    Parameters
    ----------
    path : Path
        Where.
    identity : dict
        As for :func:`save_checkpoint`.
    report : callable
        Receives :class:`Checkpointed`, or a notice when checkpoints cannot be written any more.
    """

    def __init__(self, path: Path, identity: dict[str, Any], report: Report) -> None:
        self.path, self.identity, self.report = path, identity, report
        self._failed = False

    def begin(self, checkpoint: Checkpoint) -> None:
        """Write the first checkpoint.

        Raises
        ------
        BadInput
            If there can be none.
        """
        try:
            save_checkpoint(self.path, checkpoint, self.identity)
        except OSError as error:
            raise BadInput(
                f"The checkpoint {self.path} cannot be written ({error.strerror or error}): "
                "choose another place for the output, or make room."
            ) from None

    def keep(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, or say once that it cannot be."""
        try:
            save_checkpoint(self.path, checkpoint, self.identity)
        except OSError as error:
            if not self._failed:
                self.report(
                    Notice(
                        f"The checkpoint cannot be written ({error.strerror or error}): training "
                        "goes on, but a crash would set it back; make room."
                    )
                )
            self._failed = True
        else:
            self._failed = False
            self.report(Checkpointed(checkpoint.facts.step, self.path))


def _compare(path: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with what is not the run that was interrupted."""
    then = then | {"settings": _completed(then["settings"])}
    differing = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    if not differing:
        return
    key = differing[0]
    old, new = then.get(key), now.get(key)
    if isinstance(old, dict) and isinstance(new, dict):
        part = min(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        key, old, new = f"{key}: {part}", old.get(part), new.get(part)
    was = f" ({_short(old)} then, {_short(new)} now)" if key.startswith("settings") else ""
    raise BadInput(
        f"{path.name} is of a run with other {key.replace('_', ' ')}{was}: go on with the same "
        "ones, or start anew (--overwrite)."
    )


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run that a version began which did not know all of today's."""
    try:
        return TrainingConfig.model_validate(settings).model_dump(mode="json")
    except ValidationError:
        return settings


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else f"{text[:57]}..."


def _dump(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)


def digest(text: dict[str, str], tensors: dict[str, Tensor]) -> str:
    """SHA-256 of texts and tensors, by their names."""
    hashed = hashlib.sha256(_dump(text).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def _refuse(path: Path, reason: str) -> BadInput:
    return BadInput(
        f"{path.name} cannot be gone on from: {reason}; start anew (--overwrite) to replace it."
    )
