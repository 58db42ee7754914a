"""What the commands that train have in common: settings, weights of VGG16, what is shown."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from typing import Any

from pydantic import ValidationError

from napari_ssan.cli.progress import Bars
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Notice
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.events import (
    Compared,
    Event,
    Finished,
    Preparing,
    RolledBack,
    StepDone,
    Validated,
)

#: Options that are not called like the setting.
OPTIONS = {
    "loss.preset": "loss",
    "loss.style": "style-weight",
    "loss.feature": "feature-weight",
    "loss.structure": "structure-weight",
    "loss.membranes": "membrane-weight",
    "loss.epsilon_squared": "epsilon-squared",
    "loss.scales": "scales",
    "augmentation.zoom": "zoom",
    "augmentation.noise": "noise",
    "augmentation.blur": "blur",
    "augmentation.grain": "grain",
}


def make_config(settings: dict[str, Any]) -> TrainingConfig:
    """Settings of a run from options.

    Raises
    ------
    BadInput
        If one is not possible; the sentence names the option.
    """
    try:
        return TrainingConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(part for part in first["loc"] if isinstance(part, str))
        option = f"--{OPTIONS.get(where, where.replace('_', '-'))}: " if where else ""
        raise BadInput(f"{option}{first['msg'].removeprefix('Value error, ')}.") from None


def find_vgg(loss: str, option: str, show: Bars, cancel: Flag) -> Path | None:
    """Weights of VGG16 where the loss needs them: fetched, from a file, or those in the cache.

    Raises
    ------
    BadInput
        If they cannot be had as asked.
    Cancelled
        If `cancel` was set during a download.
    """
    from napari_ssan.losses.vgg_weights import download, find_weights

    if loss == "L_1":
        return None
    if option == "download":

        def progress(done: int, total: int) -> None:
            show.show("fetching VGG16 (MB)", done >> 20, total >> 20)

        return find_weights() or download(progress, cancel)
    return find_weights(Path(option) if option else None)


@contextmanager
def interruptible() -> Iterator[Flag]:
    """A flag that Ctrl-C sets, so that training can leave off in good order; a second one ends it.

    Raises
    ------
    KeyboardInterrupt
        At the end of a block that was left off.
    """
    flag = Flag()
    before = signal.getsignal(signal.SIGINT)

    def leave_off(number: int, frame: object) -> None:
        flag.set()
        signal.signal(signal.SIGINT, before)

    if before is not signal.SIG_IGN:  # in the background, where the shell asked for that
        signal.signal(signal.SIGINT, leave_off)
    try:
        yield flag
    except Cancelled:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)


def tell(event: Event, show: Bars) -> None:
    """Show an event of a run: bars for what goes on, lines for what is found out."""
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
