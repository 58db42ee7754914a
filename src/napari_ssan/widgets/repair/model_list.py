"""The models that a repair can use: those that came along, the user's own, and files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from psygnal import Signal

from napari_ssan.engine.methods import views_of
from napari_ssan.errors import BadInput
from napari_ssan.network.model_file import ModelInfo, read_info
from napari_ssan.network.model_library import list_models
from napari_ssan.widgets.repair.state import ModelChoice
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.library import LIBRARY


class ModelList:
    """What there is to choose from, and what is chosen; follows the user's own models.

    Attributes
    ----------
    entries : list of ModelChoice
        In their order on screen.
    chosen : ModelChoice
        One of them.
    """

    #: Another is chosen, or there are others to choose from.
    changed = Signal()

    def __init__(self) -> None:
        self.entries = model_choices(messages.warn)
        self.chosen = self.entries[0]
        LIBRARY.changed.connect(self._read)
        LIBRARY.chosen.connect(self.take)

    @property
    def index(self) -> int:
        """Place of the chosen one."""
        return self.entries.index(self.chosen)

    def choose(self, index: int) -> None:
        """Choose by place."""
        self.chosen = self.entries[index]
        self.changed.emit()

    def take(self, path: Any) -> None:
        """Choose a model file, and put it at the head of the list."""
        try:
            choice = model_from_file(str(path))
        except BadInput as error:
            messages.report(error)
        else:
            self.entries = [choice, *(m for m in self.entries if m.model != choice.model)]
            self.chosen = choice
        self.changed.emit()

    def close(self) -> None:
        """Follow no longer."""
        LIBRARY.changed.disconnect(self._read)
        LIBRARY.chosen.disconnect(self.take)

    def _read(self) -> None:
        """A model of the user's came, went, or got another name; what is chosen stays if it can."""
        chosen = self.chosen
        self.entries = model_choices(messages.warn)
        same = [m for m in self.entries if (m.method, m.model) == (chosen.method, chosen.model)]
        if not same and Path(chosen.model).is_file():  # chosen by its path
            self.entries = [chosen, *self.entries]
        self.chosen = same[0] if same else self.entries[0]
        self.changed.emit()


def model_choices(complain: Callable[[str], object]) -> list[ModelChoice]:
    """Models that come along, the user's own, then what needs none.

    Parameters
    ----------
    complain : callable
        Is given a sentence for each file that is damaged and therefore left out.
    """
    return [
        *[model_choice(info, info.bundled) for info in list_models(complain)],
        ModelChoice(
            "Average of the neighbours",
            "Both neighbouring slices, weighed by nearness. Quick, blurs what moves.",
            "average",
        ),
        ModelChoice(
            "Copy of the nearest slice",
            "The nearest good slice as it is. Real texture, wrong place.",
            "copy",
        ),
        ModelChoice(
            "Optical flow",
            "Neighbours warped halfway along the TV-L1 optical flow between them, then averaged.",
            "tvl1",
        ),
    ]


def model_choice(info: ModelInfo, bundled: bool = False) -> ModelChoice:
    """Entry of a model file."""
    names = {"ssan-fidelity": "Faithful", "ssan-realistic": "Natural texture"}
    label = f"{names.get(info.name, info.name)} (bundled)" if bundled else info.name
    loss = str(info.card.get("loss", ""))
    tooltip = f"Sparse self-attention aggregation network (SSAN), model {info.name}"
    tooltip += f", trained with the loss {loss}" if loss else ""
    tooltip += f". {info.card['summary']}" if info.card.get("summary") else ""
    views = views_of(info)
    if views > 1:
        tooltip += f" Averages over {views} mirrored and turned views, which takes {views} times "
        tooltip += "as long as one."
    terms = str(info.card.get("terms", ""))
    tile = int(info.card["tile"])
    return ModelChoice(label, tooltip, "ssan", str(info.path), tile, terms, views)


def model_from_file(path: str) -> ModelChoice:
    """Entry of a file that the user chose.

    Raises
    ------
    BadInput
        If it is no model.
    """
    return model_choice(read_info(path))
