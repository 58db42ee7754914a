"""What ``train`` and ``fine-tune`` share: settings, VGG16's weights, what is printed.

Easy to get wrong: a setting's error is said in the words of the option or key that set it, not in
pydantic's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from napari_ssan.cli.progress import Bars
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.training.events import (
    Compared,
    Event,
    Finished,
    Preparing,
    RolledBack,
    StepDone,
    Validated,
)

M = TypeVar("M", bound=BaseModel)
#: What is said instead of pydantic's own words, by the type of the error.
REASONS = {
    "extra_forbidden": "there is no such key; napari-ssan train --print-config lists them all",
    "model_type": "this is a table; write its name in brackets on a line, and its keys below",
}


def validate(model: type[M], settings: dict[str, Any], name: Callable[..., str]) -> M:
    """Make a model of settings.

    Raises
    ------
    BadInput
        If a setting is wrong; `name` makes the beginning of the sentence of the setting's path.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        reason = REASONS.get(first["type"], first["msg"].removeprefix("Value error, "))
        where = name(*(part for part in first["loc"] if isinstance(part, str)))
        raise BadInput(f"{where}{reason}.") from None


def find_vgg(loss: str, option: str, show: Bars, cancel: Flag) -> Path | None:
    """Find the VGG16 weights that a loss needs: download them, or take a file or the cached ones.

    Raises
    ------
    BadInput
        If the file or the download is no good.
    Cancelled
        If `cancel` was set during a download.
    """
    from napari_ssan.losses.vgg_weights import download, find_weights

    if loss == "L_1":
        if option:
            raise BadInput(
                "L_1 needs no weights of VGG16: leave --vgg out, or choose another --loss."
            )
        return None
    if option == "download":

        def progress(done: int, total: int) -> None:
            show.show("downloading VGG16 (MB)", done >> 20, total >> 20)

        return find_weights() or download(progress, cancel)
    return find_weights(Path(option) if option else None)


def tell(event: Event, show: Bars) -> None:
    """Show an event of a run: bars for progress, lines for results and notices."""
    if isinstance(event, Preparing):
        show.show(event.text, event.done, event.total)
    elif isinstance(event, StepDone):
        show.show("training", round(1000 * event.share), 1000)
    elif isinstance(event, Compared):
        for name, scores in event.baselines.items():
            show.say(f"{name}: {_say(scores)}")
    elif isinstance(event, Validated):
        best = ", the best so far" if event.best else ""
        show.say(f"step {event.step}: {_say(event.scores)}{best}")
    elif isinstance(event, Notice):
        show.say(f"Note: {event}")
    elif isinstance(event, RolledBack):
        show.say(f"Note: {event.reason}")
    elif isinstance(event, Finished):
        show.say(f"{event.reason} " * bool(event.reason) + f"Before: {_say(event.start_scores)}")
        show.say(f"The model: {_say(event.scores)}")


def _say(scores: Any) -> str:
    return (
        f"PSNR {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.3f}, IE {scores['ie']:.2f}, "
        f"grain {scores['hf_ratio']:.2f}"
    )
