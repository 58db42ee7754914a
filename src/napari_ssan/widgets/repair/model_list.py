"""The models that a repair can use: bundled ones, the user's own, files, and classical methods.

It follows the user's own models as they come and go; the widget that lists them is in
``panels.py``.
"""

from collections.abc import Callable
from pathlib import Path

from psygnal import Signal

from napari_ssan.errors import BadInput
from napari_ssan.network.between import name_of, percent_of
from napari_ssan.network.model_file import ModelInfo, read_info
from napari_ssan.network.model_library import list_models
from napari_ssan.widgets.repair.state import ModelChoice
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.library import LIBRARY, model_label, model_tooltip

#: What a model that was trained to make texture must say.
INVENTED = (
    "Its fine texture is invented: it looks like that of the neighbours, but it was not there. "
    "Trust the structures only."
)


class ModelList:
    """The entries of the list of models, in their order on screen, and the chosen one."""

    #: The chosen model or the entries have changed.
    changed = Signal()

    def __init__(self) -> None:
        self.entries = model_choices(messages.warn)
        self.chosen = self.entries[0]
        LIBRARY.use(self.chosen.loss)
        LIBRARY.changed.connect(self._read)
        LIBRARY.chosen.connect(self.take)

    @property
    def index(self) -> int:
        """Index of the chosen one."""
        return self.entries.index(self.chosen)

    def choose(self, index: int) -> None:
        """Choose by index."""
        self.chosen = self.entries[index]
        self._tell()

    def take(self, path: str | Path) -> None:
        """Choose a model by its file or name, and put it at the top of the list."""
        try:
            choice = model_choice(read_info(path))
        except BadInput as error:
            messages.report(error)
        else:
            self.entries = [choice, *(m for m in self.entries if m.model != choice.model)]
            self.chosen = choice
        self._tell()

    def take_natural(self, percent: int) -> None:
        """Choose the bundled model, or the one between them, that is so natural."""
        there = [each for each in self.entries if each.natural == percent]
        # Only one of those between is listed.
        self.entries = [each for each in self.entries if each.natural in (None, 0, 100)]
        if percent in (0, 100) and there:
            self.chosen = there[0]
            self._tell()
        else:
            self.take(name_of(percent))

    def close(self) -> None:
        """Stop following the user's models."""
        LIBRARY.changed.disconnect(self._read)
        LIBRARY.chosen.disconnect(self.take)

    def _tell(self) -> None:
        LIBRARY.use(self.chosen.loss)
        self.changed.emit()

    def _read(self) -> None:
        """List the models again; the chosen one stays chosen if it still exists."""
        chosen = self.chosen
        self.entries = model_choices(messages.warn)
        same = [m for m in self.entries if (m.method, m.model) == (chosen.method, chosen.model)]
        between = chosen.natural not in (None, 0, 100)
        if not same and (between or Path(chosen.model).is_file()):  # it was chosen as a file
            self.entries = [chosen, *self.entries]
        self.chosen = same[0] if same else self.entries[0]
        self._tell()


def model_choices(complain: Callable[[str], object]) -> list[ModelChoice]:
    """List the bundled models, the user's own, then the methods without a model.

    Damaged model files are left out; `complain` gets a sentence for each.
    """
    return [
        *[model_choice(info) for info in list_models(complain)],
        ModelChoice(
            "Average of the neighbours",
            "Mean of both neighbours; the nearer one counts more. Quick, but blurs what moves.",
            "average",
        ),
        ModelChoice(
            "Copy of the nearest slice",
            "The nearest good slice, unchanged. Real texture, but in the wrong place.",
            "copy",
        ),
        ModelChoice(
            "Optical flow",
            "Both neighbours, warped halfway along the TV-L1 optical flow and averaged.",
            "tvl1",
        ),
    ]


def model_choice(info: ModelInfo) -> ModelChoice:
    """Entry of a model file."""
    return ModelChoice(
        model_label(info),
        model_tooltip(info),
        "ssan",
        info.reference,
        str(info.card.get("terms", "")),
        str(info.card.get("loss", "")),
        INVENTED if info.card.get("loss") == "L_s" else "",
        percent_of(info.name) if info.bundled else None,
    )
