"""``napari-ssan train``: stacks in, a model out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_ssan.cli.progress import bars, console
from napari_ssan.cli.sources import SYNTAX, parse_source
from napari_ssan.cli.training import find_vgg, interruptible, make_config, tell
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.network.model_file import SUFFIX

#: Budget in minutes if none is given.
MINUTES = 20.0


def train(
    stacks: Annotated[
        list[str],
        typer.Argument(
            metavar="STACK...",
            help=f"Stacks to train on; {SYNTAX} Named twice, a stack counts twice.",
        ),
    ],
    output: Annotated[Path, typer.Option(help=f"The model file to write, a {SUFFIX}.")],
    val: Annotated[
        list[str] | None,
        typer.Option(
            help="A stack to validate on; may be given several times. Without one, blocks of "
            "sections of the training stacks are held out."
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help="half, paper or paper-bn.")] = "half",
    base: Annotated[str, typer.Option(help="Model to start from, instead of a preset.")] = "",
    loss: Annotated[
        str, typer.Option(help="L_1 (pixels), L_f (and features), L_s (and style).")
    ] = "L_1",
    minutes: Annotated[
        float | None, typer.Option(help=f"Budget in minutes; {MINUTES:g} if none is given.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Budget in epochs: passes over all crops of all triplets.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Budget in steps.")] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from the checkpoint that an interrupted run left beside OUTPUT."
        ),
    ] = False,
    vgg: Annotated[
        str,
        typer.Option(
            help="Weights of VGG16 for L_f and L_s: a file, or 'download' for torchvision's "
            "(528 MB). Without any, L_1 is trained."
        ),
    ] = "",
    defects: Annotated[
        str,
        typer.Option(
            help="What is broken in the stack, and never trained on: slices as in 12,47-48, or a "
            ".json or .csv of marks."
        ),
    ] = "",
    log: Annotated[Path | None, typer.Option(help="Folder for a log for TensorBoard.")] = None,
    crop: Annotated[int, typer.Option(help="Size of the training crops, in pixels.")] = 128,
    batch: Annotated[int, typer.Option(help="Triplets a step.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="At the start.")] = 1e-3,
    schedule: Annotated[
        str, typer.Option(help="cosine, paper (in two stages) or warm (for a trained network).")
    ] = "cosine",
    style_weight: Annotated[
        float | None, typer.Option(help="Weight of the style term; fits VGG16's weights if unset.")
    ] = None,
    feature_weight: Annotated[
        float | None, typer.Option(help="Weight of the feature term; likewise.")
    ] = None,
    structure_weight: Annotated[
        float, typer.Option(help="Weight of the structural similarity.")
    ] = 0.0,
    membrane_weight: Annotated[
        float,
        typer.Option(help="Weight of the membranes that a segmenter finds; needs --segmenter."),
    ] = 0.0,
    segmenter: Annotated[
        Path | None,
        typer.Option(help="What finds membranes for --membrane-weight, a .safetensors."),
    ] = None,
    epsilon_squared: Annotated[
        float,
        typer.Option(help="Of the pixel term: from about 0.01 on it is the squared error."),
    ] = 1e-6,
    scales: Annotated[
        str, typer.Option(help="The loss is summed over sections binned by these factors: 1,2.")
    ] = "1",
    match: Annotated[
        str, typer.Option(help="How grey values are made alike: mean or histogram.")
    ] = "mean",
    views: Annotated[
        int,
        typer.Option(help="Mirrored and turned views that the model averages over: 1, 2, 4 or 8."),
    ] = 1,
    zoom: Annotated[
        float, typer.Option(help="Crops are magnified or reduced by up to this factor.")
    ] = 1.6,
    noise: Annotated[
        float,
        typer.Option(help="Noise added to outer sections, up to this share of their contrast."),
    ] = 0.0,
    blur: Annotated[
        float,
        typer.Option(help="Outer sections are blurred by a Gaussian of up to so many pixels."),
    ] = 0.0,
    grain: Annotated[
        float,
        typer.Option(help="Grain added to all three sections, up to this share of their contrast."),
    ] = 0.0,
    select: Annotated[
        bool,
        typer.Option(help="Leave out triplets that do not belong together, and align the others."),
    ] = True,
    seed: Annotated[int, typer.Option(help="Of weights and triplets.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0 ... or mps.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all.")] = 0,
    summary: Annotated[str, typer.Option(help="What the model is for, for its card.")] = "",
    terms: Annotated[str, typer.Option(help="Terms of the data, for the model's card.")] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUTPUT, and begin anew without --resume.")
    ] = False,
) -> None:
    """Train the network on stacks, and keep what is best on sections that are held out."""
    if minutes is None and epochs is None and steps is None:
        minutes = MINUTES
    config = make_config(
        {
            "minutes": minutes,
            "epochs": epochs,
            "steps": steps,
            "crop": crop,
            "batch": batch,
            "learning_rate": learning_rate,
            "schedule": schedule,
            "augmentation": {"zoom": zoom, "noise": noise, "blur": blur, "grain": grain},
            "match": match,
            "views": views,
            "select": select,
            "seed": seed,
            "loss": {
                "preset": loss,
                "style": style_weight,
                "feature": feature_weight,
                "structure": structure_weight,
                "membranes": membrane_weight,
                "epsilon_squared": epsilon_squared,
                "scales": scales.split(","),
            },
        }
    )
    if bool(membrane_weight) != bool(segmenter):
        raise BadInput("--membrane-weight and --segmenter belong together: give both, or neither.")
    if defects and len(stacks) > 1:
        raise BadInput("--defects are the marks of one stack: name one to train on, or no marks.")
    sources = [parse_source(text, defects) for text in stacks]
    card = {
        "trained_on": stacks,
        "validated_on": val or [],
        "terms": terms,
        "summary": summary,
        "base": base or None,
    }

    import torch

    from napari_ssan.network.device import choose_device
    from napari_ssan.network.model_file import load_model
    from napari_ssan.network.ssan import SSAN
    from napari_ssan.network.ssan import preset as find_preset
    from napari_ssan.segmenter.segmenter import load_segmenter
    from napari_ssan.training.checkpoint import checkpoint_path
    from napari_ssan.training.preparation import check_files
    from napari_ssan.training.run import run

    check_files(output, resume, overwrite)
    if log is not None and log.exists() and not log.is_dir():
        raise BadInput(f"--log takes a folder, and {log} is a file.")
    finder = load_segmenter(segmenter) if segmenter else None
    chosen = choose_device(device)
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    try:
        start = load_model(base).network if base else SSAN(find_preset(preset))
    except KeyError:
        raise BadInput(f"There is no preset {preset!r}; use half, paper or paper-bn.") from None
    with bars() as show, interruptible() as cancel:
        try:
            run(
                config,
                sources,
                [parse_source(text) for text in val or []],
                start,
                output,
                card,
                device=chosen,
                vgg=find_vgg(loss, vgg, show, cancel),
                segmenter=finder,
                report=lambda event: tell(event, show),
                cancel=cancel,
                resume=resume,
                overwrite=overwrite,
                log=log,
            )
        except Cancelled:
            if checkpoint_path(output).exists():
                show.say("To go on, give the same command with --resume.")
            raise
    console.print(f"Wrote {output}", markup=False)
