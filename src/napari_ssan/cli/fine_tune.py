"""``napari-ssan fine-tune``: a stack and a model in, a model that knows the stack out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from threading import Event as Flag
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from napari_ssan.cli.progress import Bars, bars, console
from napari_ssan.cli.sources import parse_marks
from napari_ssan.cli.training import find_vgg, interruptible, tell
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.files import StackFile, open_stack
from napari_ssan.finetune.config import PREFERRED, FineTuneConfig, cores
from napari_ssan.finetune.division import divide, narrow
from napari_ssan.finetune.events import FineTuneEvent, Judging, MemoryUsed
from napari_ssan.finetune.forecast import forecast
from napari_ssan.finetune.new_run import new_run
from napari_ssan.finetune.process import run_here
from napari_ssan.finetune.run_folder import LOCK, RECORD, sweep
from napari_ssan.finetune.runs import Run, open_run
from napari_ssan.finetune.section_copy import cut_marks
from napari_ssan.finetune.verdict import Verdict
from napari_ssan.network.model_file import DEFAULT_MODEL, SUFFIX, find_model
from napari_ssan.network.model_library import import_model, safe_name
from napari_ssan.network.writing import new_file
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.source import Source

#: Ending of the folder beside OUTPUT in which a run lives.
RUN = ".run"
#: Options that are not called like the setting.
OPTIONS = {
    "base": "model",
    "style": "style-weight",
    "feature": "feature-weight",
    "balance": "style-balance",
}


def fine_tune(
    input_path: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="The stack to learn: TIFF, zarr, OME-Zarr, HDF5, or a folder of single slices.",
        ),
    ],
    output: Annotated[Path, typer.Option(help=f"The model file to write, a {SUFFIX}.")],
    defects: Annotated[
        str,
        typer.Option(
            help="What is broken, and neither learned from nor judged on: slices as in 12,47-48, "
            "or a .json or .csv of marks."
        ),
    ] = "",
    z_range: Annotated[str, typer.Option(help="Slices to use, as in 20-120; all if empty.")] = "",
    model: Annotated[
        str,
        typer.Option(
            help=f"Model to start from: a name, or a {SUFFIX} file.",
            show_default="the bundled one for that loss",
        ),
    ] = "",
    minutes: Annotated[float, typer.Option(help="Budget of the training, in minutes.")] = 10.0,
    steps: Annotated[
        int | None, typer.Option(help="Budget in steps, in the place of minutes.")
    ] = None,
    loss: Annotated[
        str, typer.Option(help="L_1 (faithful), L_f (and features), L_s (natural texture).")
    ] = "L_1",
    vgg: Annotated[
        str,
        typer.Option(
            help="Weights of VGG16 for L_f and L_s: a file, or 'download' for torchvision's "
            "(528 MB). Without any, L_1 is trained."
        ),
    ] = "",
    style_weight: Annotated[
        float | None, typer.Option(help="Weight of the style term; fits VGG16's weights if unset.")
    ] = None,
    feature_weight: Annotated[
        float | None, typer.Option(help="Weight of the feature term; likewise.")
    ] = None,
    style_balance: Annotated[
        str,
        typer.Option(
            help="Weights of the style of the previous, the wanted and the next slice (the "
            "paper's beta)."
        ),
    ] = "0.1,1,0.1",
    share: Annotated[
        float, typer.Option(help="Share of the slices that is held out to judge by.")
    ] = 0.15,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0 ... or mps.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the triplets.")] = 0,
    name: Annotated[
        str,
        typer.Option(help="Also keep the model, if it is better, among your own by this name."),
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that was interrupted.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUTPUT, and begin anew without --resume.")
    ] = False,
) -> None:
    """Fine-tune a model on a stack, and compare both on slices that are held out.

    OUTPUT holds the fine-tuned model if it is better, else the one it started from.
    """
    config = _config(
        {
            "base": model or PREFERRED.get(loss, DEFAULT_MODEL),
            "loss": loss,
            "minutes": minutes,
            "share": share,
            "device": device,
            "style": style_weight,
            "feature": feature_weight,
            "balance": style_balance.split(","),
            "seed": seed,
            "steps": steps,
        }
    )
    find_model(config.base)
    if name:
        safe_name(name)
    folder = output.with_suffix(RUN)
    _check_output(output, folder, resume, overwrite)
    file = open_stack(input_path)
    source = _source(file, z_range, defects)

    import torch

    from napari_ssan.network.device import choose_device

    choose_device(device)  # refused before anything is looked at
    if threads:
        torch.set_num_threads(threads)
    with bars() as show, interruptible() as cancel:
        for note in file.notes:
            show.say(f"Note: {note}")
        if resume and (folder / RECORD).exists():
            run = _resumed(folder, source, config, file.path.name)
            show.say(f"Going on with {run}")
        else:
            weights = find_vgg(loss, vgg, show, cancel)
            if (folder / RECORD).exists():  # nothing is wrong with what takes its place
                open_run(folder).discard()
            run = _begun(folder, source, config, file.path.name, weights, threads, show, cancel)
        try:
            verdict = run_here(run, lambda event: _tell(event, show), cancel)
        except Cancelled:
            show.say("To go on, give the same command with --resume.")
            raise
    _hand_over(run, verdict, output, name, overwrite)


def _config(settings: dict[str, Any]) -> FineTuneConfig:
    try:
        return FineTuneConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        setting = str(first["loc"][0])
        raise BadInput(f"--{OPTIONS.get(setting, setting)}: {first['msg']}.") from None


def _source(file: StackFile, z_range: str, defects: str) -> Source:
    """What may be used of a stack; what is synthetic in it already counts as marked."""
    stack = file.stack()
    marks = parse_marks(defects, stack, file.provenance)
    start, stop = 0, len(stack)
    if z_range:
        slices = parse_slices(z_range)
        start, stop = min(slices, default=0), max(slices, default=-1) + 1
        if not slices or slices != list(range(start, stop)) or stop > len(stack):
            raise BadInput(
                f"--z-range names adjacent slices of 0 to {len(stack) - 1}, as in 20-120, "
                f"not {z_range!r}."
            )
    return Source(stack, start, stop, marks=marks or None)


def _check_output(output: Path, folder: Path, resume: bool, overwrite: bool) -> None:
    """See, before any work is done, whether what is asked for may be written."""
    if output.suffix != SUFFIX or not output.absolute().parent.is_dir():
        raise BadInput(f"OUTPUT must be a {SUFFIX} file in an existing folder.")
    if not os.access(output.absolute().parent, os.W_OK | os.X_OK):
        raise BadInput(f"The folder of {output} cannot be written to; choose another.")
    if output.exists() and not overwrite:
        raise BadInput(f"{output} exists already; add --overwrite, or choose another name.")
    if not folder.exists():
        if resume:
            console.print(f"Note: there is no {folder} to go on with: beginning anew", markup=False)
        return
    if (folder / RECORD).exists():
        if not resume and not overwrite:
            raise BadInput(
                f"A run that was interrupted left {folder}: go on with it (--resume), or begin "
                "anew (--overwrite)."
            )
        return
    if any(path.name[0] != "." and path.name != LOCK for path in folder.iterdir()):
        raise BadInput(f"{folder} is no run of a fine-tuning; choose another name for OUTPUT.")
    sweep(folder)  # a crash has left it


def _resumed(folder: Path, source: Source, config: FineTuneConfig, title: str) -> Run:
    """The run that was interrupted, if it is the one that is asked for."""
    run = open_run(folder)
    then, now = (each.model_dump() for each in (run.config, config))
    for setting in now:
        if then[setting] != now[setting]:
            raise BadInput(
                f"{folder} is of a run with another --{OPTIONS.get(setting, setting)} "
                f"({then[setting]} then, {now[setting]} now): go on with the same one, or begin "
                "anew (--overwrite)."
            )
    used, _ = narrow(source)
    marks = cut_marks(used)
    known = (run.title, run.record.count, run.sections, run.record.marks)
    given = (title, len(used.stack), (used.start, used.stop), marks.to_json() if marks else "")
    if known != given:
        raise BadInput(
            f"{folder} is of a run on another stack, or with other slices or marks: go on with the "
            "same ones, or begin anew (--overwrite)."
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
    """A run that is new, told what it will do."""
    division = divide(source, config, lambda event: tell(event, show), cancel)
    plan = forecast(division, config, vgg, threads or cores())
    if division.note:
        show.say(f"Note: {division.note}")
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
        console.print(f"Your model {info.name} lies at {info.path}", markup=False)
