"""``napari-ssan train``: stacks in, a model out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from napari_ssan import __version__
from napari_ssan.cli.progress import Bars, bars, console
from napari_ssan.errors import BadInput
from napari_ssan.files import open_stack
from napari_ssan.network.model_file import SUFFIX
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.triplets import Source
from napari_ssan.training.config import TrainingConfig

#: Share of the budget between two validations.
VALIDATE = 0.05


def train(
    stacks: Annotated[
        list[str],
        typer.Argument(
            metavar="STACK...",
            help="Stacks to train on; PATH[0:80] takes sections 0 to 79, PATH[::4] takes "
            "sections four apart for adjacent ones, PATH[::5]@1 cuts along axis 1. "
            "Named twice, a stack counts twice.",
        ),
    ],
    output: Annotated[Path, typer.Option(help=f"The model file to write, a {SUFFIX}.")],
    val: Annotated[
        list[str] | None, typer.Option(help="A stack to validate on; may be given several times.")
    ] = None,
    preset: Annotated[str, typer.Option(help="half, paper or paper-bn.")] = "half",
    base: Annotated[str, typer.Option(help="Model to start from, instead of a preset.")] = "",
    minutes: Annotated[float | None, typer.Option(help="Budget in minutes.")] = None,
    steps: Annotated[int | None, typer.Option(help="Budget in steps.")] = None,
    crop: Annotated[int, typer.Option(help="Size of the training crops, in pixels.")] = 128,
    batch: Annotated[int, typer.Option(help="Triplets a step.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="At the start.")] = 1e-3,
    schedule: Annotated[str, typer.Option(help="cosine or paper.")] = "cosine",
    loss: Annotated[
        str, typer.Option(help="L_1 (pixels), L_f (and features), L_s (and style).")
    ] = "L_1",
    vgg: Annotated[
        Path | None,
        typer.Option(
            help="Weights of VGG16 for L_f and L_s: a .safetensors under torchvision's names "
            "with the first blocks or all."
        ),
    ] = None,
    style_weight: Annotated[
        float, typer.Option(help="Weight of the style term; 1e6 in the paper, for four taps.")
    ] = 1e6,
    feature_weight: Annotated[float, typer.Option(help="Weight of the feature term.")] = 1.0,
    match: Annotated[
        str, typer.Option(help="How the model's results are fitted: mean or histogram.")
    ] = "mean",
    seed: Annotated[int, typer.Option(help="Of weights and triplets.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0 ... or mps.")] = "auto",
    summary: Annotated[str, typer.Option(help="What the model is for, for its card.")] = "",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 takes all.")] = 0,
    terms: Annotated[str, typer.Option(help="Terms of the data, for the model's card.")] = "",
    overwrite: Annotated[bool, typer.Option(help="Replace OUTPUT if it exists.")] = False,
) -> None:
    """Train the network on stacks."""
    if output.suffix != SUFFIX or not output.parent.is_dir():
        raise BadInput(f"OUTPUT must be a {SUFFIX} file in an existing folder.")
    if output.exists() and not overwrite:
        raise BadInput(f"{output} exists already; add --overwrite to replace it.")
    if minutes is None and steps is None:
        minutes = 20.0
    try:
        config = TrainingConfig.model_validate(
            {
                "minutes": minutes,
                "steps": steps,
                "crop": crop,
                "batch": batch,
                "learning_rate": learning_rate,
                "schedule": schedule,
                "seed": seed,
                "loss": {"preset": loss, "style": style_weight, "feature": feature_weight},
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"--{part}: ".replace("_", "-") for part in first["loc"])
        raise BadInput(f"{where}{first['msg']}.") from None
    if config.loss.preset != "L_1" and vgg is None:
        raise BadInput(f"--loss {loss} needs the weights of VGG16: give them by --vgg.")
    sources = [parse_source(text) for text in stacks]
    validation = [parse_source(text) for text in val or []]
    card = {
        "trained_on": stacks,
        "validated_on": val or [],
        "terms": terms,
        "match": match,
        "loss": loss,
        "summary": summary,
    }
    with bars() as show:
        _run(config, sources, validation, output, preset, base, device, threads, vgg, card, show)


def parse_source(text: str) -> Source:
    """Sections of a stack from text such as ``stack.tif[0:80]``.

    Raises
    ------
    BadInput
        If the file cannot be read or the sections are not in it.
    """
    match = re.fullmatch(r"(.*?)(?:\[(\d*):(\d*)(?::(\d+))?\])?(?:@(\d))?", text)
    assert match is not None  # every part is optional
    file = open_stack(match[1])
    stack = file.stack() if match[5] is None else SliceStack(file.data, int(match[5]))
    start, stop = int(match[2] or 0), int(match[3] or len(stack))
    spacing = int(match[4] or 1)
    if not 0 <= start < stop <= len(stack) or spacing < 1:
        raise BadInput(f"{text} names sections that are not there: the stack has {len(stack)}.")
    return Source(stack, start, stop, spacing)


def _run(
    config: TrainingConfig,
    sources: list[Source],
    validation: list[Source],
    output: Path,
    preset_name: str,
    base: str,
    device_name: str,
    threads: int,
    vgg: Path | None,
    card: dict[str, Any],
    show: Bars,
) -> None:
    import torch

    from napari_ssan.losses.total import TotalLoss
    from napari_ssan.network.device import choose_device, describe
    from napari_ssan.network.model_file import load_model, save_model
    from napari_ssan.network.ssan import SSAN, preset
    from napari_ssan.stack.triplets import TripletSampler
    from napari_ssan.training.loop import StepDone
    from napari_ssan.training.loop import train as run
    from napari_ssan.training.validation import validate

    if threads:
        torch.set_num_threads(threads)
    device = choose_device(device_name)
    torch.manual_seed(config.seed)
    try:
        network = load_model(base).network if base else SSAN(preset(preset_name))
    except KeyError:
        raise BadInput(
            f"There is no preset {preset_name!r}; use half, paper or paper-bn."
        ) from None
    if config.crop % network.config.multiple:
        raise BadInput(f"--crop must be a multiple of {network.config.multiple}.")
    sampler = TripletSampler(sources, config.crop, config.seed, config.zoom)
    show.say(f"Training on {describe(device)}")
    card |= {
        "tile": config.crop,
        "base": base or None,
        "training": config.model_dump(mode="json"),
        "version": __version__,
        "curve": [],
    }
    loss = TotalLoss(config.loss, vgg)
    if loss.vgg is not None:
        show.say(f"VGG16 compares {', '.join(loss.vgg.taps)}")
    losses: list[dict[str, float]] = []
    due = VALIDATE

    def on_step(event: StepDone) -> None:
        nonlocal due
        losses.append(event.losses)
        show.show("training", round(1000 * event.share), 1000)
        if event.share < due:
            return
        due += VALIDATE
        entry: dict[str, Any] = {"step": event.step, "gammas": event.gammas}
        entry |= {term: sum(each[term] for each in losses) / len(losses) for term in losses[0]}
        losses.clear()
        if validation:
            entry["psnr"] = validate(event.network, validation)
        card["curve"].append(entry)
        save_model(output, event.network, card)
        show.say(", ".join(f"{key} {_short(value)}" for key, value in entry.items()))

    try:
        run(network, sampler, config, loss, device, on_step)
    except FloatingPointError as error:
        raise BadInput(f"Training broke off, {error}: lower --learning-rate.") from None
    console.print(f"Wrote {output}", markup=False)


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(_short(part) for part in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
