"""Neighbours that are turned and stretched against each other: what registration is worth.

``python benchmarks/turned.py STACK --slices 84,94`` turns and stretches the section before
each by half of a distortion and the one after by the other half, the opposite way, and
synthesizes the section between: by flow, and by a model with neighbours that are only shifted
and with neighbours that are registered block by block. Figures are means over the sections.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from unittest import mock

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from skimage.transform import AffineTransform, warp

from napari_ssan.engine import synthesis
from napari_ssan.engine.methods import Method, make_method
from napari_ssan.engine.repair import patches
from napari_ssan.evaluation.leave_one_out import compare
from napari_ssan.evaluation.segmenter import bundled_segmenter
from napari_ssan.evaluation.use import dice
from napari_ssan.files import open_stack
from napari_ssan.network.model_file import DEFAULT_MODEL
from napari_ssan.stack.alignment import field_of, find_shift
from napari_ssan.stack.defects import Defects, parse_slices
from napari_ssan.stack.intensity import to_dtype
from napari_ssan.stack.registration import Placement, Valid, placed
from napari_ssan.stack.sections import Array, SliceStack

#: Degrees, and shares by which rows are longer; half of it shorter columns.
DISTORTIONS = ((0.0, 0.0), (0.5, 0.0), (1.0, 0.01), (2.0, 0.02))


def bent(section: Array, degrees: float, stretch: float) -> Array:
    """A section turned about its middle and stretched, continued by reflection."""
    middle = (np.array(section.shape[::-1]) - 1) / 2
    about = (
        AffineTransform(translation=-middle)
        + AffineTransform(rotation=np.deg2rad(degrees), scale=(1 - stretch / 2, 1 + stretch))
        + AffineTransform(translation=middle)
    )
    grey = section.astype(np.float64)
    moved = warp(grey, about.inverse, order=3, mode="reflect", preserve_range=True)
    return to_dtype(np.clip(moved, grey.min(), grey.max()), section.dtype)


def shifted_only(stack: SliceStack, reference: int, moving: int, valid: Valid) -> Placement:
    """As find_placement, without its blocks."""
    field = field_of(stack.shape[1:], None)
    return placed(find_shift(*(stack.read(z, field) for z in (reference, moving))))


def between(stack: SliceStack, method: Method) -> Array:
    """The middle one of three sections, synthesized."""
    return next(iter(patches(stack, Defects({1}), method, lambda event: None, None))).pixels[:]


def figures(
    stack: SliceStack, z: int, degrees: float, stretch: float, flow: Method, network: Method
) -> list[tuple[float, float]]:
    """PSNR and membrane Dice of flow, and of the network without and with registered blocks."""
    before, real, after = (stack.read(z + step) for step in (-1, 0, 1))
    bent_ones = bent(before, degrees / 2, stretch / 2), bent(after, -degrees / 2, -stretch / 2)
    three = SliceStack(np.stack([bent_ones[0], real, bent_ones[1]]))
    with mock.patch.object(synthesis, "find_placement", shifted_only):
        made = [between(three, flow), between(three, network)]
    made.append(between(three, network))
    segmenter = bundled_segmenter()
    truth = segmenter.membranes(real)
    return [(compare(z, real, x)["psnr"], dice(segmenter.membranes(x), truth)) for x in made]


def main(
    stack: Annotated[Path, typer.Argument(help="Stack to take sections from.")],
    slices: Annotated[str, typer.Option(help="Sections to synthesize.")],
    model: Annotated[str, typer.Option(help="Name or path of a model.")] = DEFAULT_MODEL,
    views: Annotated[int, typer.Option(help="Views that it averages over.")] = 1,
) -> None:
    """Compare flow, and a model with and without blocks, on distorted neighbours."""
    opened = open_stack(stack).stack()
    flow = make_method("tvl1", "", "auto", lambda event: None)
    network = make_method("ssan", model, "cpu", lambda event: None, views=views)
    table = Table("turned by", "stretched by", "TV-L1", "only shifted", "registered")
    chosen = sorted(parse_slices(slices))
    table.caption = "PSNR (dB) and membrane Dice by the bundled segmenter."
    for degrees, stretch in DISTORTIONS:
        found = [figures(opened, z, degrees, stretch, flow, network) for z in chosen]
        means = [f"{psnr:.2f} / {membranes:.3f}" for psnr, membranes in np.mean(found, axis=0)]
        table.add_row(f"{degrees:g}°", f"{stretch:.0%}", *means)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
