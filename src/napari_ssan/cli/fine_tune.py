"""``napari-ssan fine-tune``: adapt a model to one stack, and say whether it is better.

Responsible for the options, the run's folder beside OUTPUT and what is printed;
:mod:`napari_ssan.finetune` divides the stack, trains and judges. Easy to get wrong: OUTPUT is
always written. It holds the base model, unchanged, if fine-tuning made it no better.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from threading import Event as Flag
from typing import Annotated

import typer
from typer import Option

from napari_ssan.cli.options import (
    LOSS,
    Device,
    FollowLinks,
    LossName,
    Marked,
    Overwrite,
    Resume,
    StackPath,
    Threads,
    Vgg,
)
from napari_ssan.cli.progress import Bars, bars, console, tidy_beside
from napari_ssan.cli.signals import interruptible
from napari_ssan.cli.sources import parse_marks
from napari_ssan.cli.training import find_vgg, tell, validate
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.files import StackFile, open_stack
from napari_ssan.finetune.config import PREFERRED, FineTuneConfig
from napari_ssan.finetune.division import divide, narrow
from napari_ssan.finetune.events import FineTuneEvent, Judging, MemoryUsed
from napari_ssan.finetune.forecast import forecast
from napari_ssan.finetune.new_run import new_run
from napari_ssan.finetune.process import run_here
from napari_ssan.finetune.run_folder import LOCK, RECORD, sweep
from napari_ssan.finetune.runs import Run, open_run
from napari_ssan.finetune.section_copy import cut_marks
from napari_ssan.finetune.verdict import Verdict
from napari_ssan.network.model_file import DEFAULT_MODEL, SUFFIX, read_info
from napari_ssan.network.model_library import import_model, safe_name
from napari_ssan.network.writing import new_file
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.source import Source
from napari_ssan.training.machine import cores

#: Ending of the folder beside OUTPUT that holds the run until it is finished.
RUN = ".run"
#: Options whose names differ from their settings.
OPTIONS = {
    "base": "model",
    "style": "style-weight",
    "feature": "feature-weight",
    "balance": "style-balance",
}


def fine_tune(
    stack: StackPath,
    output: Annotated[Path, Option(help=f"The model file to write ({SUFFIX}).")],
    defects: Marked = "",
    z_range: Annotated[
        str, Option(help="Use only these slices, as in 20-120.", show_default="all")
    ] = "",
    model: Annotated[
        str,
        Option(
            help=f"Model to start from: a name, or a {SUFFIX} file.",
            show_default="the bundled model for the loss",
        ),
    ] = "",
    minutes: Annotated[float, Option(help="Train for this many minutes.")] = 10.0,
    steps: Annotated[int | None, Option(help="Or train for this many steps.")] = None,
    loss: Annotated[LossName, LOSS] = "L_1",
    vgg: Vgg = "",
    style_weight: Annotated[
        float | None,
        Option(help="Weight of the style term.", show_default="fits the VGG16 weights"),
    ] = None,
    feature_weight: Annotated[
        float | None,
        Option(help="Weight of the feature term.", show_default="fits the VGG16 weights"),
    ] = None,
    style_balance: Annotated[
        str,
        Option(help="Weights of the previous, the wanted and the next slice in the style term."),
    ] = "0.1,1,0.1",
    share: Annotated[
        float, Option(help="Share of the slices that is held out to compare the models on.")
    ] = 0.15,
    device: Device = "auto",
    threads: Threads = 0,
    seed: Annotated[int, Option(help="Seed of the training crops.")] = 0,
    name: Annotated[
        str, Option(help="If the model is better, also add it to your own models under this name.")
    ] = "",
    resume: Resume = False,
    follow_links: FollowLinks = False,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune a model on one stack, and compare it with the original on held-out slices.

    The output is the fine-tuned model if it is better, and the original model if it is not.
    """
    balance = style_balance.split(",")
    if len(balance) != 3:
        raise BadInput(
            "--style-balance takes three weights, for the previous, the wanted and the next slice, "
            "as in 0.1,1,0.1."
        )
    config = validate(
        FineTuneConfig,
        {
            "base": model or PREFERRED.get(loss, DEFAULT_MODEL),
            "loss": loss,
            "minutes": minutes,
            "share": share,
            "device": device,
            "style": style_weight,
            "feature": feature_weight,
            "balance": balance,
            "seed": seed,
            "steps": steps,
        },
        lambda setting, *_: f"--{OPTIONS.get(setting, setting)}: ",
    )
    read_info(config.base)
    if name:
        safe_name(name)
    folder = output.with_suffix(RUN)
    tidy_beside(output, folder / RECORD)
    _check_output(output, folder, resume, overwrite)
    file = open_stack(stack, follow_links=follow_links)
    source = _source(file, z_range, defects)

    import torch

    from napari_ssan.network.device import choose_device

    choose_device(device)  # refuses a bad device before any work is done
    if threads:
        torch.set_num_threads(threads)
    with bars() as show, interruptible() as cancel:
        for note in file.notes:
            show.say(f"Note: {note}")
        if resume and (folder / RECORD).exists():
            run = _resumed(folder, source, config, file.path.name)
            show.say(f"Continuing {run}")
        else:
            weights = find_vgg(loss, vgg, show, cancel)
            if (folder / RECORD).exists():  # only now: all options are known to be good
                open_run(folder).discard()
            run = _begun(folder, source, config, file.path.name, weights, threads, show, cancel)
        try:
            verdict = run_here(run, lambda event: _tell(event, show), cancel)
        except Cancelled:
            show.say("To continue, run the same command with --resume.")
            raise
    _hand_over(run, verdict, output, name, overwrite)


def _source(file: StackFile, z_range: str, defects: str) -> Source:
    """The part of a stack that may be used; its synthetic sections count as marked."""
    stack = file.stack()
    marks = parse_marks(defects, stack, file.provenance)
    start, stop = 0, len(stack)
    if z_range:
        slices = parse_slices(z_range)
        start, stop = min(slices, default=0), max(slices, default=-1) + 1
        if not slices or slices != list(range(start, stop)) or stop > len(stack):
            raise BadInput(
                f"--z-range takes adjacent slices between 0 and {len(stack) - 1}, as in 20-120, "
                f"not {z_range!r}."
            )
    return Source(stack, start, stop, marks=marks or None)


def _check_output(output: Path, folder: Path, resume: bool, overwrite: bool) -> None:
    """Refuse an output that cannot be written, before any work is done."""
    if output.suffix != SUFFIX or not output.absolute().parent.is_dir():
        raise BadInput(f"--output must be a {SUFFIX} file in an existing folder.")
    if not os.access(output.absolute().parent, os.W_OK | os.X_OK):
        raise BadInput(f"The folder of {output} cannot be written to; choose another.")
    if output.exists() and not overwrite:
        raise BadInput(f"{output} exists already; add --overwrite, or choose another name.")
    if not folder.exists():
        if resume:
            console.print(f"Note: there is no {folder} to continue: starting anew", markup=False)
        return
    if (folder / RECORD).exists():
        if not resume and not overwrite:
            raise BadInput(
                f"An interrupted run left {folder}: continue it (--resume), or start anew "
                "(--overwrite)."
            )
        return
    if any(path.name[0] != "." and path.name != LOCK for path in folder.iterdir()):
        raise BadInput(f"{folder} is no fine-tuning run; choose another name for the output.")
    sweep(folder)  # left by a crash


def _resumed(folder: Path, source: Source, config: FineTuneConfig, title: str) -> Run:
    """Open the interrupted run, if it has the same settings and stack.

    Raises
    ------
    BadInput
        If it has not.
    """
    run = open_run(folder)
    then, now = (each.model_dump() for each in (run.config, config))
    for setting in now:
        if then[setting] != now[setting]:
            raise BadInput(
                f"The run in {folder} has another --{OPTIONS.get(setting, setting)} "
                f"({then[setting]} then, {now[setting]} now): use the same one, or start anew "
                "(--overwrite)."
            )
    used, _ = narrow(source)
    marks = cut_marks(used, used.marks)
    known = (run.title, run.record.count, run.record.sections, run.record.marks)
    given = (title, len(used.stack), (used.start, used.stop), marks.to_json() if marks else "")
    if known != given:
        raise BadInput(
            f"The run in {folder} is on another stack, or with other slices or marks: use the "
            "same ones, or start anew (--overwrite)."
        )
    return run


def _begun(
    folder: Path,
    source: Source,
    config: FineTuneConfig,
    title: str,
    vgg: Path | None,
    threads: int,
    show: Bars,
    cancel: Flag,
) -> Run:
    """Start a new run, and print what it will do."""
    division = divide(source, config, lambda event: tell(event, show), cancel)
    plan = forecast(division, config, vgg, threads or cores())
    if division.note:
        show.say(f"Note: {division.note}")
    if division.said:
        show.say(f"{division.said}.")
    show.say(division.text[0].upper() + division.text[1:])
    show.say("Held out: slices " + ", ".join(map(str, division.held_out)))
    show.say(f"Loss {plan.loss}; {plan.cost}")
    return new_run(
        division,
        config,
        title,
        vgg,
        lambda event: tell(event, show),
        cancel,
        folder,
        threads or cores(),
    )


def _tell(event: FineTuneEvent, show: Bars) -> None:
    if isinstance(event, Judging):
        show.show("comparing", event.done, event.total)
    elif not isinstance(event, MemoryUsed):
        tell(event, show)


def _hand_over(run: Run, verdict: Verdict, output: Path, name: str, overwrite: bool) -> None:
    with new_file(output, SUFFIX, overwrite) as temporary:
        shutil.copyfile(run.model, temporary)
    run.discard()
    if verdict.reason:
        console.print(verdict.reason, markup=False)
    for which, figures in (("base", verdict.base), ("fine-tuned", verdict.tuned)):
        said = ", ".join(
            f"{key} {value:.4g}" for key, value in figures.items() if value is not None
        )
        console.print(f"{which}: {said}", markup=False)
    typer.echo(verdict.text[0].upper() + verdict.text[1:])
    what = "the fine-tuned model" if verdict.better else "the base model, unchanged"
    console.print(f"Wrote {output}: {what}", markup=False)
    if name and verdict.better:
        info = import_model(output, name)
        console.print(f"Your model {info.name} is stored in {info.path}", markup=False)
