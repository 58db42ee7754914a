"""The paper's Figs. 3 and 4 of a training run: γ of the attentions, and the style balance.

``python benchmarks/curves.py RUN FIGURE`` draws both. RUN is the table that a run
writes beside its model (``NAME.training.csv``), or a model, whose card holds the
values at each validation; FIGURE ends in .png, .svg or .pdf. The three terms
are the signed ones of eq. 15, weighted as they enter the loss; runs without style
balance have none. Needs ``pip install 'napari-ssan[benchmarks]'``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from napari_ssan.errors import BadInput
from napari_ssan.network.model_file import read_info
from napari_ssan.network.writing import new_file

GAMMA, STYLE = "gamma", "style"
#: As the paper's figures call them.
LABELS = {GAMMA: "$\\gamma_{number}$", STYLE: "sign{index}"}
TITLES = {GAMMA: "Share of the attentions (Fig. 3)", STYLE: "Style balance, signed (Fig. 4)"}
SUFFIXES = (".png", ".svg", ".pdf")


class Curve(NamedTuple):
    """One quantity of a run."""

    steps: list[int]
    values: list[float]


#: Curves by kind, each kind in the order of its index.
Curves = dict[str, list[Curve]]


def read(path: Path) -> Curves:
    """Curves of a run: γ1, γ2 ..., and the signed terms of the style balance.

    Raises
    ------
    BadInput
        If the file holds no run.
    """
    rows = _from_table(path) if path.suffix == ".csv" else _from_card(path)
    curves: Curves = {}
    for kind in (GAMMA, STYLE):
        keys = sorted({key for _, row in rows for key in row if key[0] == kind})
        curves[kind] = [
            Curve(
                [step for step, row in rows if key in row],
                [row[key] for _, row in rows if key in row],
            )
            for key in keys
        ]
    if not any(curves.values()):
        raise BadInput(f"{path.name} holds neither gammas nor style terms of a training run.")
    return curves


#: A step, and its numbers by kind and index.
Row = tuple[int, dict[tuple[str, int], float]]


def _from_table(path: Path) -> list[Row]:
    names = {f"gamma/{n}": (GAMMA, n) for n in range(9)}
    names |= {f"loss/style_{n}": (STYLE, n) for n in range(3)}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                (int(row["step"]), {names[k]: float(v) for k, v in row.items() if k in names and v})
                for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, ValueError) as error:
        raise BadInput(f"{path.name} is no table of a training run: {error}.") from None


def _from_card(path: Path) -> list[Row]:
    rows: list[Row] = []
    for entry in read_info(path).card.get("curve", []):
        if not isinstance(entry, dict):  # a model from before the terms were kept apart
            continue
        numbers = {(GAMMA, n): float(value) for n, value in enumerate(entry.get("gammas", []))}
        numbers |= {(STYLE, n): entry[f"style_{n}"] for n in range(3) if f"style_{n}" in entry}
        rows.append((int(entry["step"]), numbers))
    return rows


def draw(curves: Curves) -> Figure:
    """One panel for each kind that is there."""
    kinds = [kind for kind, found in curves.items() if found]
    figure = Figure(figsize=(5 * len(kinds), 3.6), layout="constrained")
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for index, curve in enumerate(curves[kind]):
            label = LABELS[kind].format(number=index + 1, index=index)
            axes.plot(curve.steps, curve.values, label=label)
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axes.set(title=TITLES[kind], xlabel="step")
        axes.legend(frameon=False)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="NAME.training.csv, or a model")
    parser.add_argument("figure", type=Path, help="file to write: .png, .svg or .pdf")
    options = parser.parse_args(arguments)
    if options.figure.suffix not in SUFFIXES:
        parser.error(f"FIGURE must end in {', '.join(SUFFIXES)}")
    try:
        figure = draw(read(options.run))
        with new_file(options.figure, options.figure.suffix, overwrite=True) as temporary:
            figure.savefig(temporary, format=options.figure.suffix[1:], dpi=150)
    except BadInput as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
