"""A table of the paper, measured: train each system on the same budget, judge all alike."""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from rich.console import Console

from napari_ssan.cli.sources import parse_source
from napari_ssan.engine.methods import Method, make_method
from napari_ssan.errors import BadInput
from napari_ssan.evaluation.choose import Block, Chooser
from napari_ssan.evaluation.evaluate import Evaluation, evaluate
from napari_ssan.inspection.leave_out import leave_out
from napari_ssan.network.device import choose_device, device_name
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from systems.judging import SystemMethod
from systems.options import LABELS, TEST, TRAIN, configure, in_folder, parser, vgg_file
from systems.output import write_json
from systems.paper import Figures
from systems.registry import SYSTEMS
from systems.report import Rows, notes, rankings, side_by_side
from systems.segmenting import cut, membranes
from systems.training import Trainer

#: Width of the printed table, in characters: it also goes to files.
WIDTH = 120
LOSSES = ("L_1", "L_f", "L_s")


@dataclass(frozen=True)
class Variant:
    """What a row of a table is trained as.

    Attributes
    ----------
    system, loss : str
        As :func:`systems.registry.build` and the training take them.
    training : mapping of str to object
        Settings of the training that differ from those of the other rows.
    """

    system: str
    loss: str
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """One of the paper's tables, or another comparison of systems.

    Attributes
    ----------
    title : str
        Such as "Table 1".
    description : str
        What it is, for ``--help``.
    paper : mapping of str to Figures
        What the paper prints, by system.
    systems : tuple of str
        What is trained, in the paper's order.
    measures : tuple of str
        What the paper measures, as :mod:`napari_ssan.evaluation.measures` calls it.
    further : tuple of str
        What is shown besides.
    minutes : float
        Usual budget of each system.
    use : bool
        Find membranes in what is synthesized: ``dice`` and ``f1``.
    variants : mapping of str to Variant
        Rows whose names say not all; other names are ``SYSTEM`` or ``SYSTEM-LOSS``.
    """

    title: str
    description: str
    paper: Mapping[str, Figures]
    systems: tuple[str, ...]
    measures: tuple[str, ...] = ("psnr", "ssim", "ie")
    further: tuple[str, ...] = ("psnr_lowpass", "hf_ratio")
    minutes: float = 1.5
    use: bool = False
    variants: Mapping[str, Variant] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """Sections that are judged on.

    Attributes
    ----------
    name : str
        Of the stack.
    source : Source
        The sections that were named.
    stack : SliceStack
        These alone, in memory.
    blocks : tuple of (int,)
        Those of them that are hidden, each alone.
    labels : str or None
        File with the membranes of the whole stack.
    """

    name: str
    source: Source
    stack: SliceStack
    blocks: tuple[Block, ...]
    labels: str | None

    def counted(self, rows: Rows) -> Rows:
        """Figures with the sections' numbers in their whole stack."""
        numbers = self.source.sections[:: self.source.spacing]
        return {
            name: [{**row, "section": numbers[row["section"]]} for row in each]
            for name, each in rows.items()
        }


def main(study: Study, arguments: Sequence[str] | None, options: argparse.ArgumentParser) -> None:
    """Run a study from the command line; what is wrong with the input ends it in a sentence."""
    chosen = options.parse_args(arguments)
    if chosen.json is not None and not (
        chosen.json.suffix == ".json" and chosen.json.parent.is_dir()
    ):
        options.error("--json takes a .json in a folder that exists")
    try:
        result = run(study, chosen)
        if chosen.json is not None:
            write_json(chosen.json, result)
    except BadInput as error:
        options.error(str(error))


def options_of(study: Study) -> argparse.ArgumentParser:
    """The usual options, and labels where membranes are found."""
    made = parser(study.description, study.systems, study.minutes)
    if study.use:
        made.add_argument(
            "--labels",
            nargs="*",
            default=[],
            metavar="LABELS",
            help=f"of the stacks in --test, in their order; default: {LABELS} of the usual one",
        )
    return made


def run(study: Study, options: argparse.Namespace) -> dict[str, Any]:
    """Train, judge, print.

    Returns
    -------
    dict
        JSON-serializable: ``title``, ``date``, ``machine``, ``settings``, ``paper``,
        ``systems`` (``parameters``, ``steps``, ``seconds``, ``seconds_per_step``),
        ``sections`` (by stack and system, figures of each judged section),
        ``real`` (by stack, those of the real sections), ``ranking`` and ``notes``.
    """
    console = Console(width=WIDTH)
    network, training = configure(options)
    device = choose_device(options.device)
    rows = [study.variants.get(name) or _row(name, options.loss) for name in options.systems]
    train = in_folder(options.train, TRAIN, "--train")
    tests = _tests(options)
    vgg = vgg_file(options)
    sources = [parse_source(text) for text in train]

    @cache
    def trainer(name: str) -> Trainer:
        """That of the rows that are trained alike; `name` is the first row's, if it is its own."""
        own = study.variants[name].training if name else {}
        folder = options.models and options.models / name
        return Trainer(
            sources, network, training.model_copy(update=own), options.taps, vgg, device, folder
        )

    systems: dict[str, dict[str, Any]] = {}
    methods: dict[str, Method] = {name: make_method(name, "", "auto") for name in options.baselines}
    for name, row in zip(options.systems, rows, strict=True):
        trained = trainer(name if row.training else "").train(row.system, row.loss)
        card = trained.card
        systems[name] = {key: card[key] for key in ("parameters", "steps", "seconds")}
        systems[name]["seconds_per_step"] = card["seconds"] / max(card["steps"], 1)
        methods[name] = SystemMethod.of(trained.network, card, device)
        console.print(
            f"{name}: {card['parameters']:,} parameters, {card['steps']} steps of "
            f"{options.batch} in {card['seconds']:.0f} s"
        )

    here: dict[str, Rows] = {}
    real: dict[str, Any] = {}
    for test in tests:
        finds = membranes(test.source, test.stack, test.labels) if study.use else None
        *_, judged = evaluate(test.stack, test.blocks, methods, membranes=finds)
        assert isinstance(judged, Evaluation)
        here[test.name], real[test.name] = test.counted(judged.rows), judged.real

    ranking = rankings(study.measures, study.paper, here, options.seed)
    said = notes(ranking)
    title = f"{study.title}: {_budget(options)} each, {device_name(device)}"
    shown: dict[str, Rows] = {
        name: {**({"real": real[name]} if study.use else {}), **rows} for name, rows in here.items()
    }
    console.print(side_by_side(title, study.measures, study.further, study.paper, shown))
    for line in said:
        console.print(line, markup=False, highlight=False)
    return {
        "title": study.title,
        "date": datetime.date.today().isoformat(),
        "machine": _machine(device),
        "settings": {
            key: str(value) if key in ("vgg", "models", "json") else value
            for key, value in vars(options).items()
        },
        "paper": study.paper,
        "systems": systems,
        "sections": here,
        "real": real,
        "ranking": ranking,
        "notes": said,
    }


def _row(name: str, loss: str) -> Variant:
    """System and loss of a row's name."""
    system, _, end = name.rpartition("-")
    if end not in LOSSES:
        system, end = name, loss
    if system not in SYSTEMS:
        raise BadInput(f"There is no system {system!r}; take some of {', '.join(SYSTEMS)}.")
    return Variant(system, end)


def _tests(options: argparse.Namespace) -> list[Judged]:
    labels = list(getattr(options, "labels", []))
    if not options.test and not labels:
        labels = in_folder(None, (LABELS,), "--labels")
    tests: list[Judged] = []
    for text in in_folder(options.test, TEST, "--test"):
        source = parse_source(text)
        stack = cut(source)
        blocks = (
            Chooser(stack, 1, leave_out(Source(stack))[0].avoided).spread(options.sections).blocks
        )
        name = text.replace("\\", "/").rpartition("/")[2].partition(".")[0]
        if any(name == test.name for test in tests):
            raise BadInput(f"Two stacks of --test are called {name}; rename one of them.")
        tests.append(Judged(name, source, stack, blocks, labels.pop(0) if labels else None))
    return tests


def _budget(options: argparse.Namespace) -> str:
    steps: int | None = options.steps
    return f"{options.minutes:g} minutes" if steps is None else f"{steps} steps"


def _machine(device: torch.device) -> dict[str, Any]:
    return {
        "device": device_name(device),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }
