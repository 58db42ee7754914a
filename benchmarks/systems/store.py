"""Trained systems on disk: weights, and what is needed to build and to trust them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from napari_ssan.errors import BadInput
from napari_ssan.network.ssan import SSANConfig
from napari_ssan.network.writing import new_file
from systems.registry import build

SUFFIX = ".safetensors"
#: Key of the file's metadata that holds the card.
CARD = "system"


def save_system(path: Path, network: nn.Module, card: dict[str, Any]) -> None:
    """Write a system; an existing file is replaced at the end.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file.
    network : Module
        What :func:`build` made.
    card : dict
        JSON-serializable: ``system``, ``config`` and ``taps`` as :func:`build`
        takes them, ``tile`` in pixels, and how it was trained.
    """
    weights = {
        key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()
    }
    with new_file(path, SUFFIX, overwrite=True) as temporary:
        temporary.write_bytes(save(weights, {CARD: json.dumps(card)}))


def read_card(path: Path) -> dict[str, Any] | None:
    """What a file says of its system; None if it is there but holds none of these.

    Raises
    ------
    BadInput
        If it is no complete file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(CARD)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path.name} cannot be read: {error}.") from None
    card: dict[str, Any] | None = json.loads(text) if text else None
    return card


def load_system(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read a system: the network, on the CPU in evaluation mode, and its card.

    Raises
    ------
    BadInput
        If the file holds none.
    """
    card = read_card(path)
    if card is None:
        raise BadInput(f"{path.name} holds none of the systems of these benchmarks.")
    with torch.device("meta"):
        network = build(card["system"], SSANConfig.model_validate(card["config"]), card["taps"])
    with safe_open(path, framework="pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    network.load_state_dict(weights, assign=True)
    return network.eval(), card
