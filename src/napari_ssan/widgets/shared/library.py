"""The user's own models: tells all docks of this process when they change, and names them.

The files are in :mod:`napari_ssan.network.model_library`.
"""

from __future__ import annotations

import re
from pathlib import Path

from psygnal import Signal

from napari_ssan.network.between import percent_of
from napari_ssan.network.model_file import ModelInfo

#: Names of the bundled models in the lists.
BUNDLED = {"ssan-fidelity": "Faithful", "ssan-realistic": "Natural texture"}


class Library:
    """Where docks say and hear that a model was added, removed, renamed or chosen."""

    #: The user's models have changed: read the list again.
    changed = Signal()
    #: Path of one of the user's models that repairs shall use from now on.
    chosen = Signal(Path)
    #: Repairs use a model that was trained with another loss.
    used = Signal()

    def __init__(self) -> None:
        #: Loss that the model was trained with which repairs use.
        self.loss = "L_1"

    def use(self, loss: str) -> None:
        """Note the loss of the model that repairs use; empty, if it has none, changes nothing."""
        if loss and loss != self.loss:
            self.loss = loss
            self.used.emit()


LIBRARY = Library()


def model_label(info: ModelInfo) -> str:
    """Name of a model in a list."""
    percent = percent_of(info.name)
    if percent not in (None, 0, 100):
        return f"{percent} % natural"
    return f"{BUNDLED.get(info.name, info.name)} (bundled)" if info.bundled else info.name


def result_label(name: str) -> str:
    """Name of a result, from what made it, as in ``Natural texture, 8 views``."""
    for model, label in BUNDLED.items():
        name = name.replace(model, label)
    return re.sub(r"ssan-natural-(\d+)", r"\1 % natural", name)


def model_tooltip(info: ModelInfo) -> str:
    """What a model is, and how it was trained."""
    loss, summary = info.card.get("loss"), info.card.get("summary")
    text = f"Sparse self-attention aggregation network (SSAN), model {info.name}"
    text += f", trained with the loss {loss}" if loss else ""
    return text + (f". {summary}" if summary else "")
