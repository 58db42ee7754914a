"""Fit the estimate of a repair's errors, and measure how far it tells where they are.

``python benchmarks/expected_error.py fit STACK[:SLICES]... [--output FILE]`` hides
sections of stacks that the networks were trained on, synthesizes parts of them,
and fits the network that expects the errors. ``python benchmarks/expected_error.py
measure STACK[:SLICES]...`` hides held-out sections one after the other and
compares the expected with the true absolute error, pixel by pixel: Spearman's
rank correlation, the partial one beyond the intensity of the synthesized pixel,
the mean one among pixels of like intensity, the one between means of 16 x 16
pixels, and the mean of the expected over that of the true error. ``python
benchmarks/expected_error.py gaps STACK[:SLICES]...`` hides gaps of 1 to 10 sections and fits
what the distance to the nearest real ones does to the error. SLICES are as
in 82-97; without, all but the first and the last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import save
from scipy.stats import rankdata
from torch import Tensor

from napari_ssan.cli.sources import parse_source
from napari_ssan.engine.error_network import WEIGHTS, ErrorEstimator, ErrorNetwork, evidence_of
from napari_ssan.engine.expected_error import gap_factor
from napari_ssan.engine.methods import METHODS, Classical, Method, Network, make_method
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.survey import Survey
from napari_ssan.errors import BadInput
from napari_ssan.files import open_stack
from napari_ssan.network.ssan import Synthesis
from napari_ssan.network.writing import new_file
from napari_ssan.stack.intensity import Float
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.sections import Array, SliceStack

MODELS = ("ssan-fidelity", "ssan-realistic")
#: Tiles of a hidden section that are synthesized.
TILES = 3
#: Side of the crops that are kept for fitting, and of those in a batch of so many, in pixels.
CROP, SIDE, BATCH = 128, 64, 16
#: Sections that are hidden together, and how often.
GAPS = {1: 0.7, 2: 0.2, 3: 0.1}
#: Sizes of the gaps that the correction for distances is fitted to.
GAP_SIZES = (1, 2, 3, 5, 7, 10)
#: Side of the squares whose means are compared, and strata of like intensity.
SQUARE, STRATA = 16, 32


class Sections(NamedTuple):
    """Part of a stack."""

    name: str
    stack: SliceStack
    slices: list[int]


class Sample(NamedTuple):
    """Evidence (channels, height, width), and the true absolute error (height, width)."""

    evidence: Tensor
    error: Tensor


class Gap(NamedTuple):
    """A section of a gap: its size, both distances, and the mean errors before any correction."""

    size: int
    distances: tuple[int, int]
    expected: float
    true: float


def sections(text: str) -> Sections:
    """Part of a stack, from ``PATH``, ``PATH:SLICES`` or ``PATH[::5]``."""
    if text.endswith("]"):
        source = parse_source(text)
        chosen = range(source.start, source.stop, source.spacing)
        own = SliceStack(np.stack([source.stack.read(z) for z in chosen]))
        return Sections(Path(text).name, own, list(range(1, len(own) - 1)))
    name, _, slices = text.rpartition(":") if not Path(text).exists() else (text, "", "")
    path = Path(name or text)
    stack = open_stack(path).stack()
    return Sections(path.name, stack, parse_slices(slices) or list(range(1, len(stack) - 1)))


def method_of(name: str, device: str) -> Network | Classical:
    """A baseline by its name, or the network with a model."""
    baseline = name in METHODS and name != "ssan"
    made = make_method(name if baseline else "ssan", name, device)
    assert isinstance(made, Network | Classical)
    return made


# ---- fit


class Recorder(ErrorEstimator):
    """Keeps what it is shown, in place of estimating anything."""

    def __init__(self) -> None:
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __call__(self, previous: Tensor, following: Tensor, made: Synthesis) -> Tensor:
        """Keep evidence and image of a tile."""
        self.seen.append((evidence_of(previous, following, made)[0].cpu(), made.image[0, 0].cpu()))
        return torch.zeros_like(made.image)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampler(Method):
    """A method that synthesizes some of the tiles only, and keeps their evidence."""

    method: Network | Classical
    recorder: Recorder
    wanted: list[bool]

    @classmethod
    def of(cls, method: Network | Classical) -> Sampler:
        """Have a method's tiles sampled, one at a time."""
        recorder = Recorder()
        method = replace(method, batch=1, estimator=recorder)
        own = {each.name: getattr(method, each.name) for each in fields(Method)}
        return cls(**own, method=method, recorder=recorder, wanted=[])

    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """The method's."""
        return self.method.synthesize(previous, following, position)

    def with_error(self, previous: Float, following: Float, position: float) -> tuple[Float, Float]:
        """The next tile, if it is wanted."""
        if self.wanted.pop(0):
            return self.method.with_error(previous, following, position)
        return previous, previous


def samples(
    part: Sections, method: Network | Classical, every: int, random: np.random.Generator
) -> Iterator[Sample]:
    """Crops of some tiles of hidden sections, more of larger tiles."""
    sampler = Sampler.of(method)
    height, width = part.stack.shape[1:]
    grid = sampler.tiling.grid((height, width), (slice(0, height), slice(0, width)))
    places = list(product(grid.tops, grid.lefts))
    for first in part.slices[::every]:
        gap = int(random.choice(list(GAPS), p=list(GAPS.values())))
        hidden = set(range(first, first + gap))
        if not hidden <= set(part.slices):
            continue
        chosen = [
            random.choice(len(places), min(TILES, len(places)), replace=False) for _ in hidden
        ]
        sampler.wanted[:] = [n in few for few in chosen for n in range(len(places))]
        sampler.recorder.seen.clear()
        marks = Marks(hidden)
        made = [
            item
            for item in patches(part.stack, marks, sampler, with_error=True)
            if isinstance(item, Patch)
        ]
        survey = Survey(part.stack, marks, 0)
        seen = iter(sampler.recorder.seen)
        for patch, few in zip(made, chosen, strict=True):
            before, after = (survey.intensity(z) for z in patch.record.neighbours)
            grey = before.blend(after, patch.record.position)
            real = torch.from_numpy(grey.normalize(part.stack.read(patch.slot[0])))
            for number in sorted(few):
                top, left = places[number]
                evidence, image = next(seen)
                true = real[top : top + grid.tile[0], left : left + grid.tile[1]]
                error = (image[: true.shape[0], : true.shape[1]] - true).abs()
                for _ in range(max(1, min(grid.tile) // (2 * CROP))):
                    crop = _crop(Sample(evidence, error), CROP, random)
                    yield Sample(crop.evidence.clone(), crop.error.clone())


def _crop(sample: Sample, side: int, random: np.random.Generator) -> Sample:
    height, width = (min(side, length) for length in sample.error.shape)
    top, left = (
        int(random.integers(length - size + 1))
        for length, size in zip(sample.error.shape, (height, width), strict=True)
    )
    rows, columns = slice(top, top + height), slice(left, left + width)
    return Sample(sample.evidence[:, rows, columns], sample.error[rows, columns])


def fit(sets: Sequence[Sequence[Sample]], steps: int, random: np.random.Generator) -> ErrorNetwork:
    """Fit the network by the likelihood of a Laplace distribution; each set counts the same."""
    network = ErrorNetwork()
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 1e-5)
    for _ in range(steps):
        crops = []
        for number in random.choice(len(sets), BATCH):
            found = sets[number]
            crop = _crop(found[int(random.integers(len(found)))], SIDE, random)
            axes = [axis for axis in (-2, -1) if random.random() < 0.5]
            crops.append(Sample(crop.evidence.flip(axes), crop.error.flip(axes)))
        evidence, error = (torch.stack(tensors) for tensors in zip(*crops, strict=True))
        scale = network(evidence)[:, 0]
        loss = (error * torch.exp(-scale) + scale).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


def run_fit(options: argparse.Namespace) -> None:
    random = np.random.default_rng(options.seed)
    torch.manual_seed(options.seed)
    parts = [sections(text) for text in options.stacks]
    names = options.methods.split(",")
    sets = []
    for name in names:
        method = method_of(name, options.device)
        sets.append([s for part in parts for s in samples(part, method, options.every, random)])
        print(f"{name}: {len(sets[-1])} crops")
    network = fit(sets, options.steps, random)
    card = {
        "stacks": {part.name: part.slices for part in parts},
        "methods": names,
        "steps": options.steps,
        "every": options.every,
        "seed": options.seed,
    }
    with new_file(options.output, ".safetensors", overwrite=True) as temporary:
        temporary.write_bytes(save(network.state_dict(), {"card": json.dumps(card)}))


# ---- measure


def spearman(a: Array, b: Array) -> float:
    """Rank correlation of two arrays of one dimension; 0 if one of them is constant."""
    ranks = np.stack([rankdata(values) for values in (a, b)])
    if not ranks.std(axis=1).all():
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])


def figures(expected: Array, true: Array, image: Array) -> dict[str, float]:
    """What the expected errors of a section tell of the true ones, (height, width) each."""
    a, b, c = (values.ravel().astype(np.float64) for values in (expected, true, image))
    rho, with_image, error_with_image = spearman(a, b), spearman(a, c), spearman(b, c)
    rest = np.sqrt((1 - with_image**2) * (1 - error_with_image**2))
    strata = np.array_split(np.argsort(c, kind="stable"), STRATA)
    height, width = (length // SQUARE * SQUARE for length in expected.shape)
    squares = [
        values[:height, :width].reshape(height // SQUARE, SQUARE, -1, SQUARE).mean((1, 3)).ravel()
        for values in (expected, true)
    ]
    return {
        "spearman": rho,
        "beyond_intensity": float((rho - with_image * error_with_image) / rest),
        "within_intensity": float(np.mean([spearman(a[part], b[part]) for part in strata])),
        "squares": spearman(*squares),
        "intensity_alone": abs(error_with_image),
        "expected_over_true": float(a.mean() / b.mean()),
        "true": float(b.mean()),
    }


def measure(part: Sections, method: Network | Classical) -> list[dict[str, float]]:
    """Figures of each section, hidden alone."""
    rows = []
    for z in part.slices:
        *_, patch = patches(part.stack, Marks({z}), method, with_error=True)
        if not isinstance(patch, Patch) or patch.error is None:
            raise BadInput(f"Section {z} of {part.name} has no neighbours on both sides.")
        made, real = (x.astype(np.float64) for x in (patch.pixels[:], part.stack.read(z)))
        rows.append({"section": z, **figures(patch.error[:], np.abs(made - real), made)})
    return rows


def run_measure(options: argparse.Namespace) -> None:
    parts = [sections(text) for text in options.stacks]
    result: dict[str, dict[str, Any]] = {}
    for name in options.methods.split(","):
        method = method_of(name, options.device)
        result[name] = {}
        for part in parts:
            rows = measure(part, method)
            keys = [key for key in rows[0] if key != "section"]
            means = {key: float(np.mean([row[key] for row in rows])) for key in keys}
            result[name][part.name] = means | {"slices": rows}
    if options.json:
        print(json.dumps(result))
        return
    table = Table(title="Expected and true error, means over the sections")
    for head in ("method", "stack", "sections", *(key.replace("_", " ") for key in keys)):
        table.add_column(head)
    for name, stacks in result.items():
        for stack, row in stacks.items():
            numbers = [f"{row[key]:.3f}" for key in keys[:-1]] + [f"{row['true']:.1f}"]
            table.add_row(name, stack, str(len(row["slices"])), *numbers)
    Console().print(table)


# ---- gaps


def in_gap(part: Sections, method: Network | Classical, size: int, first: int) -> Iterator[Gap]:
    """What is expected of each section of a gap, and what is true."""
    for patch in patches(
        part.stack, Marks(set(range(first, first + size))), method, with_error=True
    ):
        if isinstance(patch, Patch) and patch.error is not None:
            z, made = patch.slot[0], patch.pixels[:].astype(np.float64)
            distances = z - first + 1, first + size - z
            true = float(np.abs(made - part.stack.read(z)).mean())
            yield Gap(size, distances, patch.error[:].mean() / gap_factor(distances), true)


def run_gaps(options: argparse.Namespace) -> None:
    random = np.random.default_rng(options.seed)
    found: list[Gap] = []
    for name in options.methods.split(","):
        method = method_of(name, options.device)
        for part in map(sections, options.stacks):
            for size in GAP_SIZES:
                firsts = [z for z in part.slices if z + size <= part.slices[-1] + 1]
                for first in random.choice(firsts, min(options.times, len(firsts)), replace=False):
                    found += in_gap(part, method, size, int(first))
    ratios = np.array([np.log(each.true / each.expected) for each in found])
    powers = np.array([np.log((min(e.distances), np.mean(e.distances))) for e in found])
    shorter, between = np.linalg.lstsq(powers, ratios, rcond=None)[0]
    table = Table("gap", "sections away", "sections", "true / uncorrected", "factor in use")
    for key in sorted({(each.size, *sorted(each.distances)) for each in found}):
        of = [n for n, e in enumerate(found) if (e.size, *sorted(e.distances)) == key]
        ratio, factor = np.exp(ratios[of].mean()), gap_factor(key[1:])
        table.add_row(str(key[0]), str(key[1]), str(len(of)), f"{ratio:.2f}", f"{factor:.2f}")
    Console().print(table)
    print(f"powers that fit best: {shorter:.3f} of the shorter distance, {between:.3f} of the mean")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(required=True)
    fitting = commands.add_parser("fit", help="fit the network that comes along")
    fitting.add_argument("--output", type=Path, default=WEIGHTS)
    fitting.add_argument("--steps", type=int, default=8000)
    fitting.add_argument("--every", type=int, default=2, help="hide every so manieth section")
    fitting.add_argument("--seed", type=int, default=0)
    fitting.set_defaults(run=run_fit, methods=",".join([*MODELS, MODELS[0], "average", "copy"]))
    measuring = commands.add_parser("measure", help="on sections that nothing was fitted to")
    measuring.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    measuring.set_defaults(run=run_measure, methods=",".join(MODELS))
    gaps = commands.add_parser("gaps", help="how the error grows with the distance in a gap")
    gaps.add_argument("--times", type=int, default=2, help="gaps of each size")
    gaps.add_argument("--seed", type=int, default=0)
    gaps.set_defaults(run=run_gaps, methods=",".join([*MODELS, "average"]))
    for command in (fitting, measuring, gaps):
        command.add_argument("stacks", nargs="+", metavar="STACK[:SLICES]", help="or STACK[::5]")
        command.add_argument("--methods", help="models and baselines; twice counts double")
        command.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except BadInput as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
