"""``napari-ssan evaluate``: how far a repair of a stack can be trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from napari_ssan.cli.progress import Bars, bars, console
from napari_ssan.cli.sources import parse_marks
from napari_ssan.engine.device import device_in_words
from napari_ssan.engine.methods import METHODS, Method, make_method
from napari_ssan.errors import BadInput
from napari_ssan.evaluation.choose import Chooser
from napari_ssan.evaluation.evaluate import Membranes
from napari_ssan.evaluation.evaluate import evaluate as judge
from napari_ssan.evaluation.events import Evaluating
from napari_ssan.evaluation.measures import BANDS, GROUPS, measured
from napari_ssan.evaluation.membranes import FoundInReal, Labelled
from napari_ssan.evaluation.report_html import to_html
from napari_ssan.evaluation.result import NETWORK, Result, to_result
from napari_ssan.evaluation.summary import summarize
from napari_ssan.events import Event, Report
from napari_ssan.files import open_image, open_stack
from napari_ssan.files.output import replacing
from napari_ssan.losses.vgg_weights import find_weights
from napari_ssan.network.model_file import DEFAULT_MODEL, ModelInfo, read_info
from napari_ssan.segmenter.crops import membranes_of
from napari_ssan.segmenter.segmenter import bundled_segmenter
from napari_ssan.segmenter.training import two_fold
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.sections import Array, SliceStack

#: The baselines, then the network.
ORDER = (*METHODS[1:], METHODS[0])


def evaluate(
    stack_path: Annotated[
        Path,
        typer.Argument(
            metavar="STACK", help="TIFF, zarr, OME-Zarr, HDF5, or a folder of single-slice images."
        ),
    ],
    slices: Annotated[
        str,
        typer.Option(
            help="Slices to hide, counting from 0, as in 3,10,16 or 82-97; auto takes up to 20 "
            "good ones, evenly spread."
        ),
    ] = "auto",
    methods: Annotated[str, typer.Option(help="What to compare, of these.")] = ",".join(ORDER),
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a bundled or own model, or a .safetensors file; may be given several "
            "times, to compare models.",
            show_default=DEFAULT_MODEL,
        ),
    ] = None,
    gap: Annotated[
        int, typer.Option(help="Adjacent slices that are hidden together: 1, 2 or 3.")
    ] = 1,
    align: Annotated[
        bool,
        typer.Option(
            help="Register the neighbours to what is hidden before it is: then the stack's drift "
            "is not counted as an error."
        ),
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Where the membranes are: an image of the stack's shape with two values, of "
            "which the rarer one is membrane. Without it, those found in the real slices count."
        ),
    ] = None,
    defects: Annotated[
        str,
        typer.Option(
            help="Broken slices, as in 12,47-48, or a file of marks (.json, .csv): they are "
            "neither judged on nor used."
        ),
    ] = "",
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write all figures to this .json.")
    ] = None,
    html_path: Annotated[
        Path | None, typer.Option("--html", help="Write a report with pictures to this .html.")
    ] = None,
    vgg: Annotated[
        Path | None,
        typer.Option(
            help="Weights of VGG16, for the Gram distance; those that were fetched for a "
            "training are found by themselves."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0, cuda:1 ... or mps.")] = "auto",
    z_axis: Annotated[
        int | None,
        typer.Option(help="Axis along which the slices lie, if not the one the file names."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap intervals.")] = 0,
    overwrite: Annotated[
        bool, typer.Option(help="Replace the .json and .html if they exist.")
    ] = False,
) -> None:
    """Hide good slices, synthesize them by each method, and compare with the real ones."""
    rows = _rows(methods, model or [DEFAULT_MODEL])
    if model and NETWORK not in rows:
        raise BadInput(f"--model goes with the method {NETWORK}: add it to --methods.")
    if NETWORK in rows or device != "auto":
        from napari_ssan.network.device import choose_device

        choose_device(device)
    marks_path = Path(defects) if Path(defects).suffix.lower() in (".json", ".csv") else None
    file = open_stack(stack_path)
    read = [labels, marks_path, vgg, *(info.path for info in rows.values() if info)]
    for path, endings in ((json_path, (".json",)), (html_path, (".html", ".htm"))):
        if path is not None:
            _check_target(path, endings, [*file.files, *(each for each in read if each)], overwrite)
    stack = file.stack() if z_axis is None else SliceStack(file.data, z_axis)
    marks = parse_marks(defects, stack, file.provenance if z_axis is None else None)
    chooser = Chooser(stack, gap, marks)
    weights = find_weights(vgg)
    truth = read_labels(labels, stack) if labels else None
    with bars() as show:

        def look(done: int, total: int) -> None:
            show.show("looking at slices", done, total)

        labelled = None if truth is None else _labelled(stack, truth, show)
        wanted = None if slices == "auto" else parse_slices(slices)
        choice = chooser.spread(progress=look) if wanted is None else chooser.named(wanted, look)
        for note in file.notes:
            show.say(f"Note: {note}")
        for z, reason in choice.left_out.items():
            show.say(f"Note: slice {z} is left out: it {reason}.")
        settings = {
            "stack": stack_path.name,
            "shape": list(stack.shape),
            "dtype": stack.dtype.name,
            "slices": slices,
            "gap": gap,
            "aligned": align,
            "methods": list(rows),
            "models": {
                row: {"name": info.name, "sha256": info.sha256}
                for row, info in rows.items()
                if info
            },
            "device": None,
            "labels": labels.name if labels else None,
            "segmenter": "two-fold" if labels else "bundled",
            "vgg": weights.name if weights else None,
            "marked": sorted({*marks.whole, *marks.regions}),
            "left_out": {str(z): reason for z, reason in choice.left_out.items()},
            "seed": seed,
        }
        membranes = _membranes(labelled, choice.sections)
        show.show("evaluating", 0, 1000)
        built = {row: _method(row, info, device, show.engine) for row, info in rows.items()}
        if settings["models"]:
            settings["device"] = device_in_words(device)
        evaluation = judge(
            stack, choice.blocks, built, membranes, weights, align=align, report=_reporter(show)
        )
    result = to_result(evaluation, settings, seed)
    if json_path is not None:
        _write(json_path, json.dumps(result, indent=1, allow_nan=False), overwrite)
    if html_path is not None:
        _write(html_path, to_html(result, evaluation.crops), overwrite)
    _print(result)


def _rows(methods: str, models: list[str]) -> dict[str, ModelInfo | None]:
    """Rows of the result: the first model is that of the network, others go by their names."""
    names = dict.fromkeys(name.strip() for name in methods.split(",") if name.strip())
    if not names.keys() <= set(METHODS) or not names:
        raise BadInput(f"--methods takes some of {','.join(ORDER)}, not {methods!r}.")
    rows: dict[str, ModelInfo | None] = {}
    for name in names:
        if name != NETWORK:
            rows[name] = None
            continue
        for number, model in enumerate(models):
            info = read_info(model)
            row = f"{NETWORK}:{info.name}" if number else NETWORK
            if row in rows:
                raise BadInput(f"Two models are called {info.name}; rename one of them.")
            rows[row] = info
    return rows


def _method(row: str, model: ModelInfo | None, device: str, report: Report) -> Method:
    if model is None:
        return make_method(row, "", "auto", report)
    return make_method(NETWORK, str(model.path), device, report)


def read_labels(path: Path, stack: SliceStack) -> Array:
    """Labels of all sections, (sections, height, width).

    Raises
    ------
    BadInput
        If they do not have the shape of the stack.
    """
    labels = np.asarray(open_image(path).data[...]).squeeze()
    # Axes of length 1 aside, they have the axes of the stack in their order.
    own = [axis for axis, length in enumerate(stack.source_shape) if length > 1]
    if labels.shape != tuple(stack.source_shape[axis] for axis in own):
        raise BadInput(
            f"The labels in {path.name} have the shape {labels.shape}; "
            f"they need that of the stack, {stack.source_shape}."
        )
    return labels.transpose([own.index(a) for a in (stack.z_axis, stack.y_axis, stack.x_axis)])


def _labelled(stack: SliceStack, labels: Array, show: Bars) -> Labelled:
    """Membranes by labels; nothing is trained yet.

    Raises
    ------
    BadInput
        If the labels do not tell membranes from cells, or the stack is too short for two halves.
    """

    def tick(done: int, total: int) -> None:
        show.show("training the segmenter", done, total)

    return Labelled(two_fold(stack, labels, report=tick), membranes_of(list(labels)))


def _membranes(labelled: Labelled | None, sections: list[int]) -> Membranes:
    """Have segmenters ready: those of the labels, or the one that comes along."""
    if labelled is None:
        return FoundInReal(bundled_segmenter())
    for z in sections:  # each half's is trained when it is first asked for
        labelled.judge(z)
    return labelled


def _reporter(show: Bars) -> Callable[[Event | Evaluating], object]:
    def report(event: Event | Evaluating) -> None:
        if isinstance(event, Evaluating):
            show.show("evaluating", round(1000 * event.share), 1000)
        else:
            show.engine(event)

    return report


def _check_target(path: Path, endings: tuple[str, ...], read: list[Path], overwrite: bool) -> None:
    """See, before any work is done, whether a file may be written."""
    if path.suffix.lower() not in endings:
        raise BadInput(f"The output {path.name} must end in {endings[0]}.")
    if not path.absolute().parent.is_dir():
        raise BadInput(f"The folder of the output {path} does not exist; make it first.")
    if path.is_dir():
        raise BadInput(f"The output {path} is a folder; choose another name.")
    if any(path.resolve().is_relative_to(each.resolve()) for each in read):
        raise BadInput(f"The output {path} is, or lies in, what is read; choose another name.")
    if (path.exists() or path.is_symlink()) and not overwrite:
        raise BadInput(f"The output {path} exists already; add --overwrite to replace it.")
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise BadInput(f"The folder of the output {path} cannot be written to.")


def _write(path: Path, text: str, overwrite: bool) -> None:
    with replacing(path, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
    console.print(f"Wrote {path}", markup=False)


def _print(result: Result) -> None:
    """The summary, and a table for each group of measures, on standard output."""
    out = Console(highlight=False)
    for sentence in summarize(result):
        out.print(sentence, markup=False)
    for group, title in GROUPS.items():
        measures = measured(result, group)
        if not measures:
            continue
        last = {"fidelity": "s a slice", "style": "bands", "use": ""}[group]
        heads = ["method", *(measure.label for measure in measures), last]
        table = Table(*filter(None, heads), title=title)
        for name, row in result["methods"].items():
            cells = [name, *(measure.show(row[measure.key]) for measure in measures)]
            if group == "style":
                cells.append(
                    " ".join("–" if each is None else f"{each:.2f}" for each in row[BANDS])
                )
            elif group == "fidelity":
                cells.append(f"{row['seconds']:.2f}")
            table.add_row(*cells)
        out.print(table)
