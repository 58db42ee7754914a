"""``napari-ssan evaluate``: measure how well each method repairs a stack.

Responsible for the options, the tables on standard output and the two files;
:mod:`napari_ssan.evaluation` hides slices, measures and writes the report. Easy to get wrong:
standard output holds results only, so that it can be piped; notes go to standard error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from rich.console import Console
from rich.table import Table
from typer import Option

from napari_ssan.cli.options import Device, FollowLinks, Marked, Overwrite, StackPath, Views
from napari_ssan.cli.outputs import check_target, write_text
from napari_ssan.cli.progress import Bars, bars, tidy_beside
from napari_ssan.cli.sources import marks_file, parse_marks
from napari_ssan.engine.device import device_in_words
from napari_ssan.engine.methods import METHODS, check_views, make_method
from napari_ssan.errors import BadInput
from napari_ssan.evaluation.choose import Chooser
from napari_ssan.evaluation.evaluate import Evaluation
from napari_ssan.evaluation.evaluate import evaluate as judge
from napari_ssan.evaluation.events import Evaluating
from napari_ssan.evaluation.measures import BANDS, GROUPS, measured
from napari_ssan.evaluation.membranes import Membranes
from napari_ssan.evaluation.report_html import to_html
from napari_ssan.evaluation.result import NETWORK, Result, to_result
from napari_ssan.evaluation.summary import summarize
from napari_ssan.files import open_image, open_stack
from napari_ssan.inspection.leave_out import leave_out
from napari_ssan.json_text import dump_json
from napari_ssan.losses.vgg_weights import find_weights
from napari_ssan.network.model_file import DEFAULT_MODEL, ModelInfo, read_info
from napari_ssan.segmenter.crops import membranes_of
from napari_ssan.segmenter.segmenter import bundled_segmenter
from napari_ssan.segmenter.training import two_fold
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.sections import Array, SliceStack
from napari_ssan.stack.source import Source

#: Order of the methods in the tables: the baselines, then the network.
ORDER = (*METHODS[1:], METHODS[0])


def evaluate(
    path: StackPath,
    slices: Annotated[
        str,
        Option(
            help="Slices to hide, counted from 0, as in 3,10,16 or 82-97; auto takes up to 20 "
            "good slices, evenly spread."
        ),
    ] = "auto",
    methods: Annotated[str, Option(help="Methods to compare, separated by commas.")] = ",".join(
        ORDER
    ),
    model: Annotated[
        list[str] | None,
        Option(
            help="Name of a model, or a .safetensors file; repeat to compare several.",
            show_default=DEFAULT_MODEL,
        ),
    ] = None,
    views: Views = None,
    gap: Annotated[int, Option(help="Number of adjacent slices to hide together: 1, 2 or 3.")] = 1,
    align: Annotated[
        bool,
        Option(
            help="Register the neighbours to the hidden slice first, so that the stack's drift "
            "does not count as an error."
        ),
    ] = False,
    labels: Annotated[
        Path | None,
        Option(
            help="Image of the stack's shape with two values, of which the rarer one marks "
            "membranes. Without it, a segmenter finds the membranes of the real slices."
        ),
    ] = None,
    defects: Marked = "",
    json_path: Annotated[
        Path | None, Option("--json", help="Write all figures to this .json file.")
    ] = None,
    html_path: Annotated[
        Path | None, Option("--html", help="Write a report with pictures to this .html file.")
    ] = None,
    vgg: Annotated[
        Path | None,
        Option(help="VGG16 weights for the Gram distance.", show_default="those downloaded before"),
    ] = None,
    device: Device = "auto",
    z_axis: Annotated[
        int | None, Option(help="Axis along which the slices lie.", show_default="as the file says")
    ] = None,
    seed: Annotated[int, Option(min=0, help="Seed of the bootstrap intervals.")] = 0,
    follow_links: FollowLinks = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure how well a stack is repaired: hide good slices, synthesize them, and compare."""
    rows = _rows(methods, model or [DEFAULT_MODEL])
    for option, given in (("--model", model), ("--views", views)):
        if given and NETWORK not in rows:
            raise BadInput(f"{option} needs the method {NETWORK}: add it to --methods.")
    check_views(views)
    if NETWORK in rows or device != "auto":
        from napari_ssan.network.device import choose_device

        choose_device(device)
    tidy_beside(json_path, html_path)
    file = open_stack(path, follow_links=follow_links)
    read = [labels, marks_file(defects), vgg, *(info.path for info in rows.values() if info)]
    for target, endings in ((json_path, (".json",)), (html_path, (".html", ".htm"))):
        if target is not None:
            check_target(
                target, endings, [*file.files, *(each for each in read if each)], overwrite
            )
    stack = file.stack() if z_axis is None else SliceStack(file.data, z_axis)
    marks = parse_marks(defects, stack, file.provenance if z_axis is None else None)
    chooser = Chooser(stack, gap, marks)
    weights = find_weights(vgg)
    truth = read_labels(labels, stack, follow_links) if labels else None
    with bars() as show:

        def look(done: int, total: int) -> None:
            show.show("looking at slices", done, total)

        labelled = None if truth is None else _labelled(stack, truth, show)
        wanted = None if slices == "auto" else parse_slices(slices)
        if wanted is None:
            source, said = leave_out(Source(stack, marks=marks), look)
            marks = source.avoided
            if said:
                show.say(f"Note: {said}.")
                chooser = Chooser(stack, gap, marks)
        choice = chooser.spread(progress=look) if wanted is None else chooser.named(wanted, look)
        for note in file.notes:
            show.say(f"Note: {note}")
        for z, reason in choice.left_out.items():
            show.say(f"Note: slice {z} is left out: it {reason}.")
        settings = {
            "stack": path.name,
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
            "views": views or 1,
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
        built = {
            row: make_method(NETWORK, info.reference, device, views=views)
            if info
            else make_method(row, "", "auto")
            for row, info in rows.items()
        }
        if settings["models"]:
            settings["device"] = device_in_words(device)
        for item in judge(stack, choice.blocks, built, membranes, weights, align=align):
            if isinstance(item, Evaluating):
                show.show("evaluating", round(1000 * item.share), 1000)
            elif isinstance(item, Evaluation):
                evaluation = item
            else:
                show.engine(item)
    result = to_result(evaluation, settings, seed)
    if json_path is not None:
        write_text(json_path, dump_json(result, indent=1), overwrite)
    if html_path is not None:
        write_text(html_path, to_html(result, evaluation.crops), overwrite)
    _print(result)


def _rows(methods: str, models: list[str]) -> dict[str, ModelInfo | None]:
    """Name the rows of the result; the first model is called like its method, others by name."""
    names = dict.fromkeys(name.strip() for name in methods.split(",") if name.strip())
    if not names.keys() <= set(METHODS) or not names:
        raise BadInput(f"--methods takes any of {','.join(ORDER)}, not {methods!r}.")
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


def read_labels(path: Path, stack: SliceStack, follow_links: bool = False) -> Array:
    """Read the labels of all sections as (sections, height, width).

    Raises
    ------
    BadInput
        If they do not have the shape of the stack.
    """
    labels = np.asarray(open_image(path, follow_links=follow_links).data[...]).squeeze()
    # Apart from axes of length 1, they have the axes of the stack in their order.
    own = [axis for axis, length in enumerate(stack.source_shape) if length > 1]
    if labels.shape != tuple(stack.source_shape[axis] for axis in own):
        raise BadInput(
            f"The labels in {path.name} have the shape {labels.shape}; "
            f"it must be that of the stack, {stack.source_shape}."
        )
    return labels.transpose([own.index(a) for a in (stack.z_axis, stack.y_axis, stack.x_axis)])


def _labelled(stack: SliceStack, labels: Array, show: Bars) -> Membranes:
    """Prepare to judge membranes by labels; no segmenter is trained yet.

    Raises
    ------
    BadInput
        If the labels do not tell membranes from cells, or the stack is too short for two halves.
    """

    def tick(done: int, total: int) -> None:
        show.show("training the segmenter", done, total)

    return Membranes(two_fold(stack, labels, report=tick), membranes_of(list(labels)))


def _membranes(labelled: Membranes | None, sections: list[int]) -> Membranes:
    """Get the segmenters: those trained on the labels, or the bundled one."""
    if labelled is None:
        segmenter = bundled_segmenter()
        return Membranes(lambda z: segmenter)
    for z in sections:  # trains the segmenter of each half when it is first needed
        labelled.judge(z)
    return labelled


def _print(result: Result) -> None:
    """Print the summary, and a table for each group of measures."""
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
