"""A model on disk: one ``.safetensors`` file with weights, configuration, card and digest.

The header can be read without torch, so that a list of models opens at once. The file's
name is the model's name and not part of the digest.
:mod:`~napari_ssan.network.model_library` keeps the user's folder of models.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import numpy as np
from platformdirs import user_data_path
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from napari_ssan.atomic import write_atomically
from napari_ssan.errors import BadInput
from napari_ssan.json_text import dump_json
from napari_ssan.network.between import (
    FAITHFUL,
    NATURAL,
    Weights,
    card_between,
    name_of,
    percent_of,
    weights_between,
)

if TYPE_CHECKING:
    from napari_ssan.network.ssan import SSAN

#: Version of the metadata's layout; files with a higher one are refused.
FORMAT = 1
#: Height and width of tiles, at most, in pixels; more is no tile but a slip or an attack.
LARGEST_TILE = 4096
SUFFIX = ".safetensors"
DEFAULT_MODEL = "ssan-fidelity"


@dataclass(frozen=True)
class ModelInfo:
    """Everything that a model file holds, except the weights.

    Attributes
    ----------
    name : str
        The file's name without suffix.
    path : Path
        The file. Models between the bundled ones have none; it would be there.
    config : dict
        The network's configuration, as JSON.
    card : dict
        Data, terms, training, metrics. ``tile`` is the tile size in training, in pixels.
    sha256 : str
        Digest of configuration, card and weights.
    """

    name: str
    path: Path
    config: dict[str, Any]
    card: dict[str, Any]
    sha256: str

    @property
    def bundled(self) -> bool:
        """Whether it is part of napari-ssan; if so, it cannot be renamed or deleted."""
        return self.path.parent in model_folders()

    @property
    def reference(self) -> str:
        """What `load_model` takes: the path, or the name if there is no file."""
        return str(self.path) if percent_of(self.name) in (None, 0, 100) else self.name


@dataclass(frozen=True)
class Model:
    """A network that is ready to run, and its card."""

    network: SSAN
    info: ModelInfo

    @property
    def tile(self) -> int:
        """Height and width of the tiles that the network was trained on, in pixels."""
        return int(self.info.card["tile"])


def model_folders() -> list[Path]:
    """Folder of the bundled models, in the wheel or the source tree; empty if there is none."""
    package = Path(__file__).resolve().parent.parent
    candidates = [package / "models", package.parent.parent / "models"]
    return [folder for folder in candidates if any(folder.glob(f"*{SUFFIX}"))][:1]


def own_folder() -> Path:
    """Folder of the user's own models; created when the first one is saved."""
    return user_data_path("napari-ssan") / "models"


def named_models(folders: list[Path]) -> dict[str, Path]:
    """Model files in folders by name, sorted; none of them is read."""
    paths = [path for folder in folders for path in folder.glob(f"*{SUFFIX}")]
    # Some systems change the Unicode form of a file's name.
    return {normalize("NFC", path.stem): path for path in sorted(paths) if path.name[0] != "."}


def find_model(name_or_path: str | Path) -> Path:
    """Find a model file: bundled by name, the user's own by name, or any file by its path.

    Models between the bundled ones have none; :func:`read_info` and :func:`load_model` know them.

    Raises
    ------
    BadInput
        If there is no such model.
    """
    bundled, own = named_models(model_folders()), named_models([own_folder()])
    name = normalize("NFC", str(name_or_path))
    if found := bundled.get(name) or own.get(name):
        return found
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    yours = f", or one of your own: {', '.join(own)}" if own else ""
    raise BadInput(
        f"There is no model {str(name_or_path)!r}; give the path of a {SUFFIX} file "
        f"or one of the bundled models: {', '.join(bundled) or 'none'}{yours}."
    )


def read_info(name_or_path: str | Path) -> ModelInfo:
    """Read a model file's configuration and card, but not its weights.

    Raises
    ------
    BadInput
        If the file is not an SSAN model.
    """
    if _is_between(name_or_path):
        return _between(str(name_or_path))[0]
    path = find_model(name_or_path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _refuse(path, f"it is not a complete safetensors file: {error}") from None
    try:
        newer = int(metadata["format"]) > FORMAT
        config, card = json.loads(metadata["config"]), json.loads(metadata["card"])
        wrong = _complaint(card)
        sha256 = metadata["sha256"]
    except (LookupError, RecursionError, TypeError, ValueError):
        raise _refuse(path, "its metadata is not that of an SSAN model") from None
    if newer:
        raise _refuse(path, "it was written by a newer version; update napari-ssan")
    if wrong:
        raise _refuse(path, f"its metadata is not that of an SSAN model: {wrong}")
    return ModelInfo(normalize("NFC", path.stem), path, config, card, sha256)


def _complaint(card: Any) -> str:
    """What is wrong with the entries of a card that the program relies on; empty if nothing."""
    if not isinstance(card, dict):
        return "the card has no entries"
    tile = card.get("tile")
    if not isinstance(tile, int) or not 1 < tile <= LARGEST_TILE:
        return f"the tile must have 2 to {LARGEST_TILE} pixels"
    for key in ("summary", "terms", "match"):
        if not isinstance(card.get(key, ""), str):
            return f"{key!r} must be text"
    return ""


def load_model(name_or_path: str | Path = DEFAULT_MODEL) -> Model:
    """Load a model by its name or path.

    Parameters
    ----------
    name_or_path : str or Path
        ``"ssan-fidelity"``, ``"ssan-natural-40"`` for 40 % of the way from it to
        ``"ssan-realistic"``, the name of one of the user's own models, or the path of a
        ``.safetensors`` file.

    Returns
    -------
    Model
        The network, on the CPU and in evaluation mode, and its card.

    Raises
    ------
    BadInput
        If there is no such model, or its file is truncated, was altered, or is not a model.
    """
    import torch

    from napari_ssan.network.ssan import SSAN, SSANConfig

    if _is_between(name_or_path):
        info, weights = _between(str(name_or_path))
    else:
        info = read_info(name_or_path)
        weights = _weights(info)
    try:
        config = SSANConfig.model_validate(info.config)
        # a few digits of a configuration may ask for all memory: only for what there is
        if config.blocks * config.layers > len(weights) or config.multiple > LARGEST_TILE:
            raise ValueError("too many layers")
        with torch.device("meta"):
            shapes = {key: tuple(v.shape) for key, v in SSAN(config).state_dict().items()}
        if shapes != {key: value.shape for key, value in weights.items()}:
            raise ValueError("other shapes")
        network = SSAN(config)
        network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    except (ArithmeticError, RuntimeError, TypeError, ValueError):
        raise _refuse(info.path, "its weights do not fit its configuration") from None
    return Model(network.eval(), info)


def _weights(info: ModelInfo) -> Weights:
    """Read a file's weights, and refuse them if they are damaged."""
    try:
        with safe_open(info.path, framework="numpy") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    # TypeError: of numbers that numpy lacks, such as bfloat16
    except (SafetensorError, OSError, TypeError) as error:
        raise _refuse(info.path, f"it is not a complete safetensors file: {error}") from None
    if digest(_text(info.config, info.card), weights) != info.sha256:
        raise _refuse(info.path, "its content does not match its checksum; it was altered")
    if not _finite(weights):
        raise _refuse(info.path, "its weights are not finite; its training failed, do it anew")
    return weights


def _is_between(name_or_path: str | Path) -> bool:
    """Whether it names no file, but a model between the bundled ones."""
    return percent_of(str(name_or_path)) not in (None, 0, 100)


def _between(name: str) -> tuple[ModelInfo, Weights]:
    """A model between the bundled ones."""
    percent = percent_of(name)
    assert percent is not None  # _is_between
    first, last = read_info(FAITHFUL), read_info(NATURAL)
    card = card_between(last.card, percent)
    weights = weights_between(_weights(first), _weights(last), percent)
    sha256 = digest(_text(first.config, card), weights)
    path = last.path.with_name(name_of(percent) + SUFFIX)
    return ModelInfo(name, path, first.config, card, sha256), weights


def save_model(path: str | Path, network: SSAN, card: dict[str, Any]) -> ModelInfo:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file to write. An existing one is replaced.
    network : SSAN
    card : dict
        JSON-serializable. ``tile`` is required: the tile size in training, in pixels.

    Raises
    ------
    BadInput
        If its weights are not finite.
    OSError
        If it cannot be written, for example because the disk is full.
    """
    path = Path(path)
    weights = {
        key: value.detach().cpu().contiguous().numpy()
        for key, value in network.state_dict().items()
    }
    if not _finite(weights):
        raise BadInput(
            f"The model {path.name} is not written, as its weights are not finite; lower the "
            "learning rate and train it anew."
        )
    config = json.loads(network.config.model_dump_json())
    card = json.loads(dump_json(card))
    sha256 = digest(_text(config, card), weights)
    text = {"config": dump_json(config), "card": dump_json(card)}
    metadata = {"format": str(FORMAT), **text, "sha256": sha256}
    write_atomically(path, serialize(weights, metadata))
    return ModelInfo(normalize("NFC", path.stem), path, config, card, sha256)


def copy_model(name_or_path: str | Path, target: Path) -> None:
    """Write a model to another file, byte for byte if it has one.

    Raises
    ------
    BadInput
        If there is no such model, or it was altered.
    OSError
        If the file cannot be written.
    """
    model = load_model(name_or_path)
    if _is_between(name_or_path):
        save_model(target, model.network, model.info.card)
    else:
        shutil.copyfile(model.info.path, target)


def _finite(weights: dict[str, np.ndarray[Any, Any]]) -> bool:
    return all(bool(np.isfinite(value).all()) for value in weights.values())


def digest(text: str, weights: dict[str, np.ndarray[Any, Any]]) -> str:
    """Compute the SHA-256 of a text and of weights by name."""
    hashed = hashlib.sha256(text.encode())
    for key in sorted(weights):
        value = weights[key]
        hashed.update(f"{key} {value.dtype} {value.shape}".encode())
        hashed.update(np.ascontiguousarray(value).tobytes())
    return hashed.hexdigest()


def _text(config: dict[str, Any], card: dict[str, Any]) -> str:
    return json.dumps([config, card], sort_keys=True)


def _refuse(path: Path, reason: str) -> BadInput:
    return BadInput(f"{path.name} cannot be used as a model: {reason}.")
