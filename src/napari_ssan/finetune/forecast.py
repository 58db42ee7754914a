"""Forecasts a fine-tune run before it begins: device, time, steps, loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_ssan.finetune.config import GROWTH, FineTuneConfig, spare_threads
from napari_ssan.finetune.division import Division
from napari_ssan.finetune.verdict import judged_pixels

#: Seconds that a thread takes to synthesize and judge a million pixels, roughly.
SECONDS_A_MEGAPIXEL = 10.0
#: A GPU is faster by this factor.
GPU_FACTOR = 50.0
#: Minutes of validation before the first step, roughly.
PREPARATION = 0.5


@dataclass(frozen=True)
class Forecast:
    """What to expect of a fine-tune run, in words.

    Attributes
    ----------
    device : str
        Where it runs, such as "CPU (1 thread)".
    cost : str
        Time and steps, such as "about 11 min on this CPU (1 thread), about 650 steps".
    loss : str
        The loss, and the activations of VGG16 that it compares.
    """

    device: str
    cost: str
    loss: str


def forecast(
    division: Division, config: FineTuneConfig, vgg: Path | None, threads: int | None = None
) -> Forecast:
    """Estimate what a fine-tune run will cost.

    Parameters
    ----------
    division : Division
    config : FineTuneConfig
    vgg : Path or None
        File with the weights of VGG16.
    threads : int, optional
        Threads on a CPU; the default is that of a run in a child process.

    Raises
    ------
    BadInput
        If there is no such device or base model, or the weights cannot be used.
    """
    from napari_ssan.losses.vgg_file import read_weights
    from napari_ssan.network.device import choose_device, device_name

    device = choose_device(config.device)
    count = (threads or spare_threads()) if device.type == "cpu" else None
    name = device_name(device)
    if count is not None:
        name += f" ({count} thread{'' if count == 1 else 's'})"
    loss: str = config.loss
    if loss != "L_1" and vgg is None:
        config = config.model_copy(update={"loss": "L_1"})
        loss = "L_1: there are no VGG16 weights"
    elif loss != "L_1" and vgg is not None:
        loss += f", VGG16 compares {', '.join(read_weights(vgg).blocks)}"
    steps = config.expected_steps(count)
    two_figures = round(steps, min(0, 2 - len(str(steps))))
    cost = f"on this {name}, about {two_figures} steps"
    if not config.steps:
        speed = count**GROWTH if count else GPU_FACTOR
        judging = 2 * judged_pixels(division) / 1e6 * SECONDS_A_MEGAPIXEL / speed / 60
        minutes = config.minutes + judging + PREPARATION
        cost = f"about {minutes:.{0 if minutes >= 3 else 1}f} min {cost}"
    return Forecast(name, cost, loss)
