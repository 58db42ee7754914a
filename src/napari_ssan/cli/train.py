"""``napari-ssan train``: stacks in, a model out.

Responsible for the options and for what is printed; :mod:`napari_ssan.training` does the work.
Easy to get wrong: an option whose default is None overrides the configuration file only if it is
given, and a setting that few users change belongs in that file, not in an option.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option
from typer.core import TyperCommand

from napari_ssan.cli.options import (
    LOSS,
    SYNTAX,
    Device,
    FollowLinks,
    LossName,
    Marked,
    Overwrite,
    Resume,
    Threads,
    Vgg,
)
from napari_ssan.cli.progress import bars, console, tidy_beside
from napari_ssan.cli.run_config import MINUTES, MOVED, load_config, to_toml
from napari_ssan.cli.signals import interruptible
from napari_ssan.cli.sources import is_same_cut, parse_source
from napari_ssan.cli.training import find_vgg, tell
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.files.open import StackFile
from napari_ssan.network.model_file import SUFFIX


class Command(TyperCommand):
    """The command, which says where an option went that it no longer has."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse options that have become keys of the configuration file."""
        for option in (text.partition("=")[0] for text in args):
            if option == "--views":
                raise BadInput("--views is an option of repair now: leave it out here.")
            if option in MOVED:
                table, line = MOVED[option]
                under = f" under [{table}]" if table else ""
                raise BadInput(
                    f"{option} is a key of the configuration file now: write {line}{under} in a "
                    "file, and give it with --config."
                )
        return super().parse_args(ctx, args)


def train(
    stacks: Annotated[
        list[str] | None,
        Argument(
            metavar="STACK",
            help=f"Stacks to train on. {SYNTAX} A stack that is named twice counts twice.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path | None, Option(help=f"The model file to write ({SUFFIX}).")] = (None),
    config: Annotated[
        Path | None,
        Option(
            metavar="FILE", help="Read further settings from this TOML file. Options override it."
        ),
    ] = None,
    print_config: Annotated[
        bool,
        Option("--print-config", help="Print the configuration as TOML, with comments, and stop."),
    ] = False,
    val: Annotated[
        list[str] | None,
        Option(
            metavar="STACK",
            help="A stack to validate on; repeat for several. Without one, some slices of the "
            "training stacks are held out.",
        ),
    ] = None,
    preset: Annotated[
        Literal["half", "large", "paper", "paper-bn"] | None,
        Option(
            help="Network to train from scratch: half works at half resolution and suits CPUs, "
            "large has five times its weights and suits GPUs, paper is the paper's, paper-bn adds "
            "batch normalization.",
            show_default="half",
        ),
    ] = None,
    base: Annotated[
        str, Option(help="Model to continue from, by name or file, in place of a preset.")
    ] = "",
    loss: Annotated[LossName | None, LOSS] = None,
    minutes: Annotated[
        float | None, Option(help="Train for this many minutes.", show_default=f"{MINUTES:g}")
    ] = None,
    epochs: Annotated[
        float | None, Option(help="Or train for this many passes over the data.")
    ] = None,
    steps: Annotated[int | None, Option(help="Or train for this many steps.")] = None,
    resume: Resume = False,
    vgg: Vgg = "",
    defects: Marked = "",
    log: Annotated[Path | None, Option(help="Write a TensorBoard log to this folder.")] = (None),
    seed: Annotated[
        int | None, Option(help="Seed of the first weights and the crops.", show_default="0")
    ] = None,
    device: Device = "auto",
    threads: Threads = 0,
    workers: Annotated[
        int | None,
        Option(
            min=0,
            help="Processes that draw crops ahead; the model does not depend on it.",
            show_default="1 for a CPU, one a core for a GPU",
        ),
    ] = None,
    compiled: Annotated[
        bool,
        Option("--compile", help="Compile the network: a slow start, then faster steps on a GPU."),
    ] = False,
    follow_links: FollowLinks = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on stacks, and keep the version that is best on held-out slices.

    Settings that have no option here are keys of a configuration file. To get one with all keys
    explained: napari-ssan train --print-config > run.toml
    """
    settings = load_config(
        config, minutes=minutes, epochs=epochs, steps=steps, loss=loss, seed=seed
    )
    if print_config:
        typer.echo(to_toml(settings))
        return
    if not stacks or output is None:
        raise BadInput("Name the stacks to train on, and the model file to write with --output.")
    if base and preset:
        raise BadInput("Give --base to go on with a model, or --preset to begin anew; not both.")
    if defects and len(stacks) > 1:
        raise BadInput("--defects marks slices of one stack: name one STACK, or leave it out.")
    tidy_beside(output)
    opened: dict[str, StackFile] = {}
    open_source = partial(parse_source, follow_links=follow_links, opened=opened)
    sources = [open_source(text, defects) for text in stacks]
    card = {
        "trained_on": stacks,
        "validated_on": val or [],
        "terms": settings.terms,
        "summary": settings.summary,
        "base": base or None,
    }

    import torch

    from napari_ssan.network.device import choose_device
    from napari_ssan.network.model_file import load_model
    from napari_ssan.network.ssan import SSAN
    from napari_ssan.network.ssan import preset as find_preset
    from napari_ssan.segmenter.segmenter import load_segmenter
    from napari_ssan.training.checkpoint import checkpoint_path
    from napari_ssan.training.machine import spare_workers
    from napari_ssan.training.preparation import check_files
    from napari_ssan.training.run import run

    check_files(output, resume, overwrite)
    if log is not None and log.exists() and not log.is_dir():
        raise BadInput(f"--log takes a folder, but {log} is a file.")
    finder = load_segmenter(settings.segmenter) if settings.segmenter else None
    chosen = choose_device(device)
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(settings.seed)
    start = load_model(base).network if base else SSAN(find_preset(preset or "half"))
    with bars() as show, interruptible() as cancel:
        try:
            run(
                settings.training,
                sources,
                [
                    open_source(text, defects if is_same_cut(text, stacks[0]) else "")
                    for text in val or []
                ],
                start,
                output,
                card,
                device=chosen,
                vgg=find_vgg(settings.loss.preset, vgg, show, cancel),
                segmenter=finder,
                report=lambda event: tell(event, show),
                cancel=cancel,
                resume=resume,
                overwrite=overwrite,
                log=log,
                workers=spare_workers(chosen.type) if workers is None else workers,
                compiled=compiled,
            )
        except Cancelled:
            if checkpoint_path(output).exists():
                show.say("To continue, run the same command with --resume.")
            raise
    console.print(f"Wrote {output}", markup=False)
