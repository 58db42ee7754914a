"""What it is worth that neighbours which are turned or stretched are registered, too.

``python benchmarks/registration.py sections STACK --slices 84,94`` turns and stretches the
section before each by half of a distortion and the one after by the other half, the opposite
way, and synthesizes the section between. ``python benchmarks/registration.py regions STACK
--slices 1-28 --labels LABELS`` takes a stack as it is and repairs two regions of every section,
where a registration of blocks is believed. Both compare flow and a model with neighbours that
are only shifted with what a repair does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table
from skimage.transform import AffineTransform, warp

from napari_ssan.engine import inputs, survey
from napari_ssan.engine.methods import Method, make_method
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch, RepairedStack
from napari_ssan.evaluation.use import dice
from napari_ssan.files import open_stack
from napari_ssan.metrics.fidelity import data_range, decibels, psnr
from napari_ssan.network.model_file import DEFAULT_MODEL
from napari_ssan.segmenter.crops import membranes_of
from napari_ssan.segmenter.segmenter import bundled_segmenter
from napari_ssan.segmenter.training import two_fold
from napari_ssan.stack.alignment import field_of, find_shift
from napari_ssan.stack.intensity import to_dtype
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.region import Region
from napari_ssan.stack.registration import Placement, Valid, placed
from napari_ssan.stack.sections import Array, SliceStack, Window

#: Degrees, and shares by which rows are longer; half of it shorter columns.
DISTORTIONS = ((0.0, 0.0), (0.5, 0.0), (1.0, 0.01), (2.0, 0.02))

#: Membranes found in, or true of, section z.
Find = Callable[[int, Array], npt.NDArray[np.bool_]]

app = typer.Typer(add_completion=False)
Stack = Annotated[Path, typer.Argument(help="Stack to take sections from.")]
Slices = Annotated[str, typer.Option(help="Sections to synthesize.")]
Model = Annotated[str, typer.Option(help="Name or path of a model.")]
Views = Annotated[int, typer.Option(help="Views that it averages over.")]


@contextmanager
def only_shifted() -> Iterator[None]:
    """Neighbours are shifted as a whole, as if there were no blocks and no motion."""

    def shift(
        stack: SliceStack, reference: int, moving: int, valid: Valid, around: Window | None = None
    ) -> Placement:
        field = field_of(stack.shape[1:], around)
        sections = (reference, moving)
        views, seen = ([view(z, field) for z in sections] for view in (stack.read, valid))
        return placed(find_shift(*views, *seen))

    with (
        mock.patch.object(inputs, "find_placement", shift),
        mock.patch.object(survey, "find_placement", shift),
        mock.patch.object(survey, "find_motion", return_value=None),
    ):
        yield


def repaired(stack: SliceStack, z: int, marks: Marks, method: Method) -> Array:
    """A section of a stack, repaired."""
    result = RepairedStack(stack)
    for item in patches(stack, marks, method):
        if isinstance(item, Patch):
            result.add(item)
    return result[z]


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


def figures_of_bent(
    stack: SliceStack, z: int, degrees: float, stretch: float, flow: Method, network: Method
) -> list[tuple[float, float]]:
    """PSNR and membrane Dice of flow, and of the network only shifted and registered."""
    before, real, after = (stack.read(z + step) for step in (-1, 0, 1))
    sides = bent(before, degrees / 2, stretch / 2), bent(after, -degrees / 2, -stretch / 2)
    three, whole = SliceStack(np.stack([sides[0], real, sides[1]])), Marks({1})
    with only_shifted():
        made = [repaired(three, 1, whole, method) for method in (flow, network)]
    made.append(repaired(three, 1, whole, network))
    segmenter = bundled_segmenter()
    truth = segmenter.membranes(real)
    return [(psnr(real, one), dice(segmenter.membranes(one), truth)) for one in made]


def regions_of(shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Two regions of a section, upper right and lower left, each a tenth of it."""
    mask = np.zeros(shape, bool)
    rows, columns = (int(0.31 * length) for length in shape)
    mask[rows // 3 : rows // 3 + rows, -columns - columns // 3 : -columns // 3] = True
    return mask | mask[::-1, ::-1]


def figures_of_regions(
    stack: SliceStack, z: int, flow: Method, network: Method, find: Find, true: Find
) -> list[tuple[float, float]] | None:
    """As :func:`figures_of_bent`, within two regions; flow is registered, too, at the end.

    None where the blocks of neither neighbour are believed.
    """
    real = stack.read(z)
    mask = regions_of(real.shape)
    halves = [mask.copy(), mask.copy()]
    halves[0][: len(mask) // 2] = halves[1][len(mask) // 2 :] = False
    marks = Marks(regions={z: [Region.from_mask(half) for half in halves]})
    with only_shifted():
        made = [repaired(stack, z, marks, method) for method in (flow, network)]
    made += [repaired(stack, z, marks, method) for method in (network, flow)]
    if (made[1] == made[2]).all():
        return None
    grey, span = real[mask].astype(np.float64), data_range(real)
    truth = true(z, real)[mask]
    return [
        (
            decibels(grey, one[mask].astype(np.float64), span),
            dice(find(z, one)[mask], truth),
        )
        for one in made
    ]


def methods(model: str, views: int) -> tuple[Method, Method]:
    """Flow and the network."""
    flow = make_method("tvl1", "", "auto")
    return flow, make_method("ssan", model, "cpu", views=views)


def means(figures: list[Any]) -> list[str]:
    """What stands in a row of a table."""
    return [f"{ratio:.2f} / {found:.3f}" for ratio, found in np.mean(figures, axis=0)]


@app.command()
def sections(stack: Stack, slices: Slices, model: Model = DEFAULT_MODEL, views: Views = 1) -> None:
    """Whole sections between neighbours that are distorted."""
    opened = open_stack(stack).stack()
    flow, network = methods(model, views)
    table = Table("turned by", "stretched by", "TV-L1", "only shifted", "registered")
    table.caption = "PSNR (dB) and membrane Dice by the bundled segmenter."
    chosen = sorted(parse_slices(slices))
    for degrees, stretch in DISTORTIONS:
        figures = [figures_of_bent(opened, z, degrees, stretch, flow, network) for z in chosen]
        table.add_row(f"{degrees:g}°", f"{stretch:.0%}", *means(figures))
    Console().print(table)


@app.command()
def regions(
    stack: Stack,
    slices: Slices,
    labels: Annotated[Path | None, typer.Option(help="Membranes are 0, cells 255.")] = None,
    model: Model = DEFAULT_MODEL,
    views: Views = 1,
) -> None:
    """Regions of sections as they are."""
    opened = open_stack(stack).stack()
    flow, network = methods(model, views)
    if labels is None:
        segmenter = bundled_segmenter()
        find: Find = lambda z, section: segmenter.membranes(section)  # noqa: E731
        true = find
    else:
        given = np.asarray(open_stack(labels).data)
        judge, known = two_fold(opened, given), membranes_of(list(given))
        find, true = (lambda z, section: judge(z).membranes(section)), (lambda z, _: known[z])
    chosen = sorted(parse_slices(slices))
    made = {z: figures_of_regions(opened, z, flow, network, find, true) for z in chosen}
    believed = {z: figures for z, figures in made.items() if figures is not None}
    table = Table("", "TV-L1, only shifted", "network, only shifted", "registered", "TV-L1")
    table.caption = f"PSNR (dB) and membrane Dice in the regions; of {len(made)} sections."
    for z, figures in believed.items():
        table.add_row(str(z), *means([figures]))
    if believed:
        table.add_row(f"mean of {len(believed)}", *means(list(believed.values())))
    Console().print(table)


if __name__ == "__main__":
    app()
