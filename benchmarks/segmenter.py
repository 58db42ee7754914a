"""Membranes: how well segmenters find them, and what synthesis keeps of them.

``python benchmarks/segmenter.py judge STACK --labels LABELS`` prints membrane
Dice and F1 of the real sections of a labelled stack by two-fold segmenters,
each half judged by the one trained on the other. With ``--methods`` every
section is also hidden in turn, synthesized by each method (the network once
for each ``--model``) and judged the same way. Without ``--labels`` the bundled
segmenter compares what is synthesized with what it finds in the real section.

``python benchmarks/segmenter.py train STACK LABELS OUT`` trains the bundled one,
``python benchmarks/segmenter.py unlabelled OUT STACK:WIDTHS...`` one that has seen no labels,
on the dark lines of stacks (``vnc.tif[0:20]:3,4`` for lines 3 and 4 pixels wide): for
``napari-ssan train --segmenter``, which must not learn from what judges it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from lines import find_lines
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from napari_ssan import __version__
from napari_ssan.cli.sources import parse_source
from napari_ssan.engine.methods import METHODS, Method, make_method
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch
from napari_ssan.evaluation.use import dice, f1
from napari_ssan.files import open_stack
from napari_ssan.metrics.texture import hf_ratio
from napari_ssan.network.model_file import DEFAULT_MODEL
from napari_ssan.segmenter.crops import Jitter, membranes_of
from napari_ssan.segmenter.segmenter import bundled_segmenter, save_segmenter
from napari_ssan.segmenter.training import (
    SegmenterSettings,
    train_segmenter,
    two_fold,
)
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.sections import Array, SliceStack

#: Of the bundled one: pixels of .7 to 4 times the size, other stain and grain.
BUNDLED = SegmenterSettings(
    steps=2400,
    jitter=Jitter(smaller=0.25, larger=1.5, contrast=0.25, noise=0.6),
)
#: Of one without labels.
UNLABELLED = SegmenterSettings(steps=600)
DATA = "ISBI 2012 challenge, training volume with labels (Drosophila ventral nerve cord, ssTEM)"
TERMS = "free for non-commercial image segmentation software"

app = typer.Typer(add_completion=False)
Find = Callable[[int, Array], npt.NDArray[np.bool_]]


@app.command()
def judge(
    stack: Path,
    labels: Annotated[Path | None, typer.Option(help="Membranes of the stack.")] = None,
    methods: Annotated[str, typer.Option(help=f"Some of {','.join(METHODS)}; none if empty.")] = "",
    model: Annotated[list[str] | None, typer.Option(help="May be given more than once.")] = None,
    slices: Annotated[
        str, typer.Option(help="As in 3,7-9; all but the first and last if empty.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Judge real sections, and synthesized ones, by their membranes."""
    source = open_stack(stack).stack()
    sections = parse_slices(slices) or list(range(1, len(source) - 1))
    with Progress(console=Console(stderr=True)) as bars:
        task = bars.add_task("segmenter")
        find: Find
        if labels is None:
            fixed = bundled_segmenter()

            def find(z: int, section: Array) -> npt.NDArray[np.bool_]:
                return fixed.membranes(section)

            truth = {z: find(z, source.read(z)) for z in sections}
        else:
            marked = open_stack(labels).stack()
            drawn = np.stack([marked.read(z) for z in range(len(marked))])
            judges = two_fold(
                source,
                drawn,
                report=lambda done, total: bars.update(task, completed=done, total=total),
            )

            def find(z: int, section: Array) -> npt.NDArray[np.bool_]:
                return judges(z).membranes(section)

            truth = dict(enumerate(membranes_of(list(drawn))))
        result = {"real": [_figures(z, find, truth[z], source.read(z), source) for z in sections]}
        for name, method in _methods(methods, model or [DEFAULT_MODEL]).items():
            task = bars.add_task(name, total=len(sections))
            result[name] = []
            for z in sections:
                *_, patch = patches(source, Marks({z}), method)
                assert isinstance(patch, Patch)
                result[name].append(_figures(z, find, truth[z], patch.pixels[:], source))
                bars.advance(task)
    means = {
        name: {key: float(np.mean([row[key] for row in rows])) for key in ("dice", "f1", "hf")}
        for name, rows in result.items()
    }
    if as_json:
        print(json.dumps({name: means[name] | {"slices": rows} for name, rows in result.items()}))
        return
    against = "two-fold segmenters against labels" if labels else "bundled segmenter"
    table = Table("", "Dice", "F1", "hf", title=f"{stack.name}, {len(sections)} slices, {against}")
    for name, row in means.items():
        table.add_row(name, f"{row['dice']:.3f}", f"{row['f1']:.3f}", f"{row['hf']:.2f}")
    Console().print(table)


@app.command()
def train(stack: Path, labels: Path, output: Path) -> None:
    """Train the segmenter that comes along."""
    source, marked = open_stack(stack).stack(), open_stack(labels).stack()
    every = range(len(source))
    with Progress() as bars:
        task = bars.add_task("training")
        segmenter = train_segmenter(
            [source.read(z) for z in every],
            [marked.read(z) for z in range(len(marked))],
            BUNDLED,
            lambda done, total: bars.update(task, completed=done, total=total),
        )
    segmenter.card.update({"data": DATA, "terms": TERMS, "version": __version__})
    save_segmenter(output, segmenter)


@app.command()
def unlabelled(output: Path, stacks: list[str]) -> None:
    """Train a segmenter on dark lines, in every other section of stacks."""
    sections: list[Array] = []
    lines: list[Array] = []
    for text in stacks:
        name, _, widths = text.rpartition(":")
        source = parse_source(name)
        for z in source.sections[::2]:
            sections.append(source.stack.read(z))
            lines.append(find_lines(sections[-1], [float(width) for width in widths.split(",")]))
    with Progress() as bars:
        task = bars.add_task("training")
        segmenter = train_segmenter(
            sections,
            lines,
            UNLABELLED,
            lambda done, total: bars.update(task, completed=done, total=total),
        )
    segmenter.card.update({"lines of": stacks, "version": __version__})
    save_segmenter(output, segmenter)


def _methods(names: str, models: list[str]) -> dict[str, Method]:
    """Methods by the name of their row; the network has one for each model."""
    made = {}
    for name in filter(None, names.split(",")):
        for model in models if name == "ssan" else [""]:
            title = f"{name} ({Path(model).stem})" if model else name
            made[title] = make_method(name, model, "auto")
    return made


def _figures(
    z: int, find: Find, truth: npt.NDArray[np.bool_], section: Array, source: SliceStack
) -> dict[str, float]:
    found = find(z, section)
    return {
        "section": z,
        "dice": dice(found, truth),
        "f1": f1(found, truth),
        "hf": hf_ratio(source.read(z), section),
    }


if __name__ == "__main__":
    app()
