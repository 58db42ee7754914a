"""How far tissue may move between sections before a network has no lead over optical flow.

``python benchmarks/motion.py 'STACK[82:98]' --slices 84,88`` moves the tissue of the two sections
beside each by a smooth random field, the first one way and the second the other, by up to 0, 2, 4,
8 and 16 pixels on either side. The section itself stays, so the true one is known. It is
synthesized by the whole of a repair, registration included, with flow and with models. The
same fields are used for all of them.
"""

from __future__ import annotations

import json
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table
from scipy.ndimage import map_coordinates, zoom

from napari_ssan.cli.sources import parse_source
from napari_ssan.engine.methods import make_method
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch, RepairedStack
from napari_ssan.metrics.fidelity import interpolation_error, psnr, ssim
from napari_ssan.stack.intensity import to_dtype
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.sections import Array, SliceStack

#: Largest motion on either side of a section, in pixels.
MOTIONS = (0, 2, 4, 8, 16)
#: Points of a field along an axis; between them it is smooth.
POINTS = 5
METHODS = ("average", "ilk", "tvl1")
METRICS = {"PSNR": psnr, "SSIM": ssim, "IE": interpolation_error}


def field(shape: tuple[int, int], seed: int) -> npt.NDArray[np.float64]:
    """A smooth displacement, (2, height, width), of which the largest component is 1."""
    coarse = np.random.default_rng(seed).uniform(-1, 1, (2, POINTS, POINTS))
    smooth = np.stack([
        zoom(part, [n / POINTS for n in shape], order=3, mode="nearest", grid_mode=True)
        for part in coarse
    ])  # fmt: skip
    return smooth / np.abs(smooth).max()


def moved(section: Array, by: npt.NDArray[np.float64]) -> Array:
    """A section, sampled at displaced positions."""
    at = np.indices(section.shape) + by
    pixels = map_coordinates(section.astype(np.float64), at, order=3, mode="reflect")
    return to_dtype(pixels, section.dtype)


def measure(
    stack: SliceStack, sections: list[int], models: list[str]
) -> dict[str, dict[int, dict[str, float]]]:
    """Means over sections, by method or model, motion and metric."""
    ways = {name: make_method(name, "", "cpu", "auto", None) for name in METHODS}
    ways |= {name: make_method("ssan", name, "cpu", "auto", None) for name in models}
    found: dict[str, dict[int, dict[str, float]]] = {}
    for motion in MOTIONS:
        scores: dict[str, list[list[float]]] = {name: [] for name in ways}
        for z in sections:
            before, real, after = (stack.read(n) for n in (z - 1, z, z + 1))
            by = motion * field(real.shape, z)
            three = SliceStack(np.stack([moved(before, by), real, moved(after, -by)]))
            # What comes in from beyond the border is invented by the benchmark.
            inner = (slice(max(MOTIONS), -max(MOTIONS)),) * 2
            for name, method in ways.items():
                result = RepairedStack(three)
                for item in patches(three, Marks({1}), method):
                    if isinstance(item, Patch):
                        result.add(item)
                made = np.asarray(result[1])
                scores[name].append([each(real[inner], made[inner]) for each in METRICS.values()])
        for name, rows in scores.items():
            means = dict(zip(METRICS, map(float, np.mean(rows, axis=0)), strict=True))
            found.setdefault(name, {})[motion] = means
    return found


def main(
    stack: Annotated[str, typer.Argument(help="Stack, as in PATH[82:98].")],
    slices: Annotated[str, typer.Option(help="Sections to synthesize, as numbers of the stack.")],
    model: Annotated[list[str], typer.Option(help="Names or paths of models.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Move the tissue beside sections, and synthesize them."""
    source = parse_source(stack)
    sections = [z for z in parse_slices(slices) if source.start < z < source.stop - 1]
    found = measure(source.stack, sections, model)
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("motion (pixels)", *found, title=f"{stack}: PSNR in dB / SSIM / IE")
    for motion in MOTIONS:
        cells = [
            f"{each[motion]['PSNR']:.2f} / {each[motion]['SSIM']:.3f} / {each[motion]['IE']:.1f}"
            for each in found.values()
        ]
        table.add_row(str(motion), *cells)
    Console(width=160).print(table)


if __name__ == "__main__":
    typer.run(main)
