"""A model on disk: one ``.safetensors`` file with weights, configuration, card and hash.

The header can be read without torch, so that a list of models opens at once.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import numpy as np
from platformdirs import user_data_path
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize

from napari_ssan.atomic import write_atomically
from napari_ssan.errors import BadInput

if TYPE_CHECKING:
    from napari_ssan.network.ssan import SSAN

#: Layout of the metadata; a file with a higher one is refused.
FORMAT = 1
SUFFIX = ".safetensors"
DEFAULT_MODEL = "ssan-fidelity"


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself.

    Attributes
    ----------
    name : str
        The file's name without suffix.
    path : Path
        Where it lies.
    config : dict
        The network's configuration, as JSON.
    card : dict
        Data, terms, training, metrics; ``tile`` is the size trained on, in pixels.
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
        """Whether it came along; such a model is neither renamed nor deleted."""
        return self.path.parent in model_folders()


@dataclass(frozen=True)
class Model:
    """A network that is ready to run, and what its file says of it."""

    network: SSAN
    info: ModelInfo
    #: Height and width of the tiles that the network was trained on, in pixels.
    tile: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tile", int(self.info.card["tile"]))


def model_folders() -> list[Path]:
    """Folders with the models that come along: in the wheel, or in the source tree."""
    package = Path(__file__).resolve().parent.parent
    candidates = [package / "models", package.parent.parent / "models"]
    return [folder for folder in candidates if any(folder.glob(f"*{SUFFIX}"))][:1]


def own_folder() -> Path:
    """Folder with the user's own models; it is made with the first of them."""
    return user_data_path("napari-ssan") / "models"


def named_models(folders: list[Path]) -> dict[str, Path]:
    """Model files of folders by name, in the order of the names; none of them is read."""
    paths = [path for folder in folders for path in folder.glob(f"*{SUFFIX}")]
    # Some systems keep a file's name in another form of Unicode than it was given in.
    return {normalize("NFC", path.stem): path for path in sorted(paths) if path.name[0] != "."}


def find_model(name_or_path: str | Path) -> Path:
    """Path of a model: a bundled one by its name, the user's own by its name, any by its path.

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
    yours = f", or one of yours: {', '.join(own)}" if own else ""
    raise BadInput(
        f"There is no model {str(name_or_path)!r}; give the path of a {SUFFIX} file "
        f"or one of the bundled models: {', '.join(bundled) or 'none'}{yours}."
    )


def read_info(name_or_path: str | Path) -> ModelInfo:
    """Read what a model file says of itself; the weights are not read.

    Raises
    ------
    BadInput
        If the file is no model of ours.
    """
    path = find_model(name_or_path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _refuse(path, f"it is no complete safetensors file: {error}") from None
    try:
        if int(metadata["format"]) > FORMAT:
            raise _refuse(path, "it was written by a newer version; update napari-ssan")
        config, card = json.loads(metadata["config"]), json.loads(metadata["card"])
        int(card["tile"])
        return ModelInfo(normalize("NFC", path.stem), path, config, card, metadata["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise _refuse(path, "its metadata are not those of an SSAN model") from None


def load_model(name_or_path: str | Path = DEFAULT_MODEL) -> Model:
    """Load a model by its name, or any by its path.

    Parameters
    ----------
    name_or_path : str or Path
        ``"ssan-fidelity"``, the name of one of the user's own, or a ``.safetensors`` file.

    Returns
    -------
    Model
        The network, on the CPU and in evaluation mode, and what is known of it.

    Raises
    ------
    BadInput
        If there is no such model, or its file is truncated, altered or foreign.
    """
    import torch
    from pydantic import ValidationError

    from napari_ssan.network.ssan import SSAN, SSANConfig

    info = read_info(name_or_path)
    try:
        with safe_open(info.path, framework="numpy") as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _refuse(info.path, f"it is no complete safetensors file: {error}") from None
    if _digest(info.config, info.card, weights) != info.sha256:
        raise _refuse(info.path, "its content does not match its checksum; it was altered")
    try:
        network = SSAN(SSANConfig.model_validate(info.config))
        network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    except (ValidationError, RuntimeError):
        raise _refuse(info.path, "its weights do not fit its configuration") from None
    return Model(network.eval(), info)


def save_model(path: str | Path, network: SSAN, card: dict[str, Any]) -> ModelInfo:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Where; an existing file is replaced at the end.
    network : SSAN
        What to write.
    card : dict
        JSON-serializable; ``tile`` is required, the size trained on in pixels.

    Raises
    ------
    OSError
        If it cannot be written, as when the disk is full.
    """
    path = Path(path)
    weights = {
        key: value.detach().cpu().contiguous().numpy()
        for key, value in network.state_dict().items()
    }
    config = json.loads(network.config.model_dump_json())
    card = json.loads(json.dumps(card))
    sha256 = _digest(config, card, weights)
    metadata = {
        "format": str(FORMAT),
        "config": json.dumps(config),
        "card": json.dumps(card),
        "sha256": sha256,
    }
    write_atomically(path, serialize(weights, metadata))
    return ModelInfo(normalize("NFC", path.stem), path, config, card, sha256)


def _digest(
    config: dict[str, Any], card: dict[str, Any], weights: dict[str, np.ndarray[Any, Any]]
) -> str:
    digest = hashlib.sha256(json.dumps([config, card], sort_keys=True).encode())
    for key in sorted(weights):
        value = weights[key]
        digest.update(f"{key} {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _refuse(path: Path, reason: str) -> BadInput:
    return BadInput(f"{path.name} cannot be used as a model: {reason}.")
