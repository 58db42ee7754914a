"""Gaps of several sections: synthesized at their places at once, or by halving the gap.

``python benchmarks/gaps.py STACK [--slices 82-97] [--gap 2 --gap 3]`` hides blocks of
adjacent sections, and compares for each model: *at once*, where the network is told
where in the gap the wanted section lies; *halved*, where it only ever synthesizes
the middle, first of the gap, then between that and a real section (a third is taken
for the nearest of quarters and half); the mean of *both*; and the baselines. Figures by how far the
section is from the nearest real one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from systems.report import BY_KEY
from systems.segmenting import cut

from napari_ssan.cli.sources import parse_source
from napari_ssan.engine.methods import Method, make_method
from napari_ssan.errors import BadInput
from napari_ssan.evaluation.choose import Chooser
from napari_ssan.evaluation.evaluate import Evaluation, evaluate
from napari_ssan.inspection.leave_out import leave_out
from napari_ssan.network.model_file import DEFAULT_MODEL
from napari_ssan.stack.intensity import Float
from napari_ssan.stack.source import Source

BASELINES = ("average", "tvl1")
MEASURES = ("psnr", "ssim", "ie")


@dataclass(frozen=True, kw_only=True, eq=False)
class Halved(Method):
    """A network that is only ever asked for the middle.

    Attributes
    ----------
    method : Method
        The network.
    """

    method: Method

    @classmethod
    def of(cls, method: Method) -> Self:
        """Have a network used so."""
        own = {each.name: getattr(method, each.name) for each in fields(Method)}
        return cls(**own, method=method)

    def smaller(self) -> Method:
        """See :meth:`Method.smaller`."""
        return self.of(self.method.smaller())

    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """See :meth:`Method.synthesize`."""
        middle = self.method.synthesize(previous, following, 0.5)
        quarter = round(4 * position)
        if quarter <= 1:
            return self.method.synthesize(previous, middle, 0.5)
        if quarter >= 3:
            return self.method.synthesize(middle, following, 0.5)
        return middle

    def with_error(self, previous: Float, following: Float, position: float) -> tuple[Float, Float]:
        """Not to be had this way."""
        raise NotImplementedError


class Both(Halved):
    """The mean of both ways."""

    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """See :meth:`Method.synthesize`."""
        once = self.method.synthesize(previous, following, position)
        if position == 0.5:
            return once
        unit: Float = (once + super().synthesize(previous, following, position)) / 2
        return unit


def compare(source: str, gap: int, models: list[str], count: int) -> list[dict[str, object]]:
    """Figures of every method at every distance from the nearest real section.

    Returns
    -------
    list of dict
        ``gap``, ``method``, ``distance`` in sections, ``sections`` judged, and the
        means of ``psnr`` (dB), ``ssim`` and ``ie``.
    """
    stack = cut(parse_source(source))
    blocks = Chooser(stack, gap, leave_out(Source(stack))[0].avoided).spread(count * gap).blocks
    methods: dict[str, Method] = {name: make_method(name, "", "auto") for name in BASELINES}
    for model in models:
        network = make_method("ssan", model, "auto")
        methods[f"{Path(model).stem}, at once"] = network
        methods[f"{Path(model).stem}, halved"] = Halved.of(network)
        methods[f"{Path(model).stem}, both"] = Both.of(network)
    place = {z: min(n + 1, gap - n) for block in blocks for n, z in enumerate(block)}
    rows: list[dict[str, object]] = []
    *_, found = evaluate(stack, blocks, methods)
    assert isinstance(found, Evaluation)
    for name, figures in found.rows.items():
        for distance in sorted(set(place.values())):
            known = [row for row in figures if place[row["section"]] == distance]
            means = {key: float(np.mean([row[key] for row in known])) for key in MEASURES}
            rows.append(
                {"gap": gap, "method": name, "distance": distance, "sections": len(known), **means}
            )
    return rows


def main(
    stack: Annotated[str, typer.Argument(help="As napari-ssan train takes it.")],
    gap: Annotated[list[int], typer.Option(min=2, max=3)] = [2, 3],  # noqa: B006 - typer's way
    model: Annotated[list[str], typer.Option(help="Name or path.")] = [DEFAULT_MODEL],  # noqa: B006
    blocks: Annotated[int, typer.Option(min=1, help="Gaps of each size, evenly spread.")] = 6,
    threads: int = 1,
) -> None:
    torch.set_num_threads(threads)
    console, table = Console(), Table("gap", "method", "sections away", "sections")
    for key in MEASURES:
        table.add_column(BY_KEY[key].label, justify="right")
    try:
        rows = [row for size in gap for row in compare(stack, size, model, blocks)]
    except BadInput as error:
        raise typer.BadParameter(str(error)) from None
    for row in rows:
        shown = (BY_KEY[key].show(row[key]) for key in MEASURES)
        table.add_row(*(str(row[k]) for k in ("gap", "method", "distance", "sections")), *shown)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
