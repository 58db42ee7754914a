"""Whether a section that is only too dark, too pale or shaded should be corrected or synthesized.

``python benchmarks/correction.py STACK --labels LABELS --real 8`` plants brightness, contrast and
shading at three strengths in sections of a stack, repairs each in both ways, and compares with the
true section: PSNR, and Dice of the membranes. Sections of which most is black or white have rows of
their own: their pixels are lost, and an inspection suggests to synthesize them. Sections that
`--real` names are repaired as they are. Of these the truth is not known: their PSNR is that to the
section at its neighbours' mean and contrast.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from napari_ssan.cli.evaluate import read_labels
from napari_ssan.cli.sources import parse_source
from napari_ssan.engine.methods import Method, make_method
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch
from napari_ssan.evaluation.membranes import Membranes
from napari_ssan.evaluation.use import dice
from napari_ssan.inspection.figures import clipped
from napari_ssan.inspection.findings import CLIPPED
from napari_ssan.inspection.leave_out import leave_out
from napari_ssan.inspection.pictures import scale_of
from napari_ssan.inspection.plant import STRENGTHS, plant_slice
from napari_ssan.metrics.fidelity import psnr
from napari_ssan.segmenter.crops import membranes_of
from napari_ssan.segmenter.segmenter import bundled_segmenter
from napari_ssan.segmenter.training import two_fold
from napari_ssan.stack.intensity import measure, to_dtype
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.sections import Array, SliceStack
from napari_ssan.stack.source import Source

#: What is planted: brightness and contrast of all of a section, or a gradient of both.
KINDS = ("brightness", "shading")
out = Console()


def shaded(pixels: Array, strength: int, random: np.random.Generator) -> Array:
    """Darker and fainter towards one side."""
    level, contrast = scale_of(pixels)
    rows, columns = (np.linspace(-1, 1, n) for n in pixels.shape)
    turn = random.uniform(0, 2 * np.pi)
    ramp = np.sin(turn) * rows[:, None] + np.cos(turn) * columns[None]
    share = (0.15, 0.3, 0.45)[strength]
    return (pixels - level) * (1 - share * ramp) + level + 3 * share * contrast * ramp


def repaired(stack: SliceStack, z: int, method: Method, correct: bool) -> Array:
    """Pixels of a section, repaired from its neighbours."""
    marks = Marks({z}, corrected={z} if correct else set())
    (patch,) = (item for item in patches(stack, marks, method) if isinstance(item, Patch))
    return patch.pixels[:]


def main(
    stack: Annotated[str, typer.Argument(help="A stack, as in PATH[::5].")],
    labels: Annotated[Path | None, typer.Option(help="True membranes.")] = None,
    real: Annotated[str, typer.Option(help="Sections that are too dark or pale as they are.")] = "",
    count: Annotated[int, typer.Option(help="Sections in which damage is planted.")] = 6,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 3,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """Compare correction with synthesis."""
    source = parse_source(stack)
    volume = np.stack(
        [source.stack.read(z) for z in range(source.start, source.stop, source.spacing)]
    )
    clean = SliceStack(volume)
    marked = Source(clean, marks=Marks(set(parse_slices(real))))
    broken = leave_out(marked)[0].avoided
    bad = {*broken.whole, *broken.regions}
    good = [z for z in range(1, len(clean) - 1) if not bad & {z - 1, z, z + 1}]
    chosen = [good[int(n)] for n in np.linspace(0, len(good) - 1, min(count, len(good)))]
    if labels is not None:
        truth = read_labels(labels, source.stack)
        membranes = Membranes(two_fold(clean, truth), membranes_of(list(truth)))
    else:
        segmenter = bundled_segmenter()
        membranes = Membranes(lambda z: segmenter)
    method = make_method("ssan", "ssan-fidelity", "auto")
    rows: dict[tuple[str, int], list[dict[str, tuple[float, float]]]] = defaultdict(list)

    def judge(
        z: int, true: Array, damaged: Array, synthetic: Array
    ) -> dict[str, tuple[float, float]]:
        changed = volume.copy()
        changed[z] = damaged
        corrected = repaired(SliceStack(changed), z, method, True)
        known = membranes.truth(z, true)
        made = {"damaged": damaged, "synthesized": synthetic, "corrected": corrected}
        return {
            name: (psnr(true, pixels), dice(known, membranes.find(z, pixels)))
            for name, pixels in made.items()
        }

    for z in chosen:
        synthetic = repaired(clean, z, method, False)
        for seed in range(seeds):
            for strength in STRENGTHS:
                random = np.random.default_rng([z, seed, strength])
                own = volume[z].astype(np.float32)
                for kind in KINDS:
                    planted = (
                        plant_slice(kind, own, own, strength, random) if kind == "brightness"
                        else shaded(own, strength, random)
                    )  # fmt: skip
                    damaged = to_dtype(planted.astype(np.float64), volume.dtype)
                    told = f"{kind}, clipped" if clipped(damaged) > CLIPPED else kind
                    rows[told, strength].append(judge(z, volume[z], damaged, synthetic))
    for z in parse_slices(real):
        between = measure(clean, z - 1).blend(measure(clean, z + 1), 0.5)
        level = between.denormalize(measure(clean, z).normalize(volume[z]))
        synthetic = repaired(clean, z, method, False)
        rows[f"slice {z} as it is", 0].append(
            judge(z, to_dtype(level, volume.dtype), volume[z], synthetic)
        )
    table = Table(title=Path(stack).name)
    names = ("damaged", "synthesized", "corrected")
    for head in (
        "planted",
        "strength",
        "times",
        *(f"{name}: PSNR, Dice" for name in names),
        "closer",
    ):
        table.add_column(head)
    figures: list[dict[str, Any]] = []
    for (kind, strength), found in rows.items():
        means = {name: np.mean([each[name] for each in found], axis=0) for name in names}
        closer = [
            sum(each["corrected"][n] > each["synthesized"][n] for each in found) for n in (0, 1)
        ]
        table.add_row(
            kind, str(strength), str(len(found)),
            *(f"{means[name][0]:.1f}, {means[name][1]:.3f}" for name in names),
            f"{closer[0]}, {closer[1]}",
        )  # fmt: skip
        figures.append(
            {"kind": kind, "strength": strength, "times": len(found), "closer": closer}
            | {name: list(map(float, means[name])) for name in names}
        )
    out.print(table)
    if json_path is not None:
        json_path.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
