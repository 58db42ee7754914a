"""Paper and measurement side by side, and where their rankings part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from rich.table import Table

from napari_ssan.evaluation.measures import MEASURES, Measure
from napari_ssan.evaluation.statistics import interval
from systems.paper import Figures

BY_KEY: dict[str, Measure] = {measure.key: measure for measure in MEASURES}
#: Figures of each judged section by system, in the order of the sections.
Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def side_by_side(
    title: str,
    keys: Sequence[str],
    further: Sequence[str],
    paper: Mapping[str, Figures],
    here: Mapping[str, Rows],
) -> Table:
    """Table of the paper's figures and ours.

    Parameters
    ----------
    title : str
        Over the table.
    keys, further : sequence of str
        Measures that the paper has, and others.
    paper : mapping of str to Figures
        By system.
    here : mapping of str to Rows
        By stack.
    """
    sets = list(dict.fromkeys(name for figures in paper.values() for name in figures))
    table = Table(title=title)
    table.add_column("")
    table.add_column("")
    for name in sets:
        table.add_column(f"paper\n{name}", justify="right", no_wrap=True)
    for name in here:
        table.add_column(f"here\n{name}", justify="right", no_wrap=True)
    systems = list(dict.fromkeys(name for rows in here.values() for name in rows))
    for system in systems:
        for number, key in enumerate((*keys, *further)):
            measure = BY_KEY[key]
            printed = [paper.get(system, {}).get(name, {}).get(key) for name in sets]
            measured = [mean(rows[system], key) for rows in here.values()]
            table.add_row(
                "" if number else system,
                measure.label,
                *(measure.show(value) for value in (*printed, *measured)),
                end_section=number == len(keys) + len(further) - 1,
            )
    return table


def mean(rows: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Mean of a measure over the sections; None if it was not measured."""
    known = [row[key] for row in rows if row.get(key) is not None]
    return float(np.mean(known)) if len(known) == len(rows) else None


def rankings(
    keys: Sequence[str], paper: Mapping[str, Figures], here: Mapping[str, Rows], seed: int
) -> dict[str, dict[str, Any]]:
    """Order of the paper's systems, best first: as printed, and as measured here.

    Both by the mean over all data sets that have the figure. Left out are measures
    that were not measured, and all where fewer than two of the systems are here.

    Returns
    -------
    dict
        By measure: ``paper`` and ``here``, names in order; ``agrees``; and
        ``differences``, for each pair whose order is reversed here: ``ahead``,
        ``behind``, ``by``, and the bootstrap ``interval`` of that difference over the
        sections, paired. An interval that holds 0 means that these sections do
        not tell.
    """
    found = {}
    for key in keys:
        worse = BY_KEY[key].worse
        printed = {
            system: float(np.mean([f[key] for f in figures.values() if key in f]))
            for system, figures in paper.items()
        }
        values = {
            system: [row[key] for rows in here.values() for row in rows[system]]
            for system in paper
            if all(system in rows for rows in here.values())
        }
        if len(values) < 2 or any(None in each for each in values.values()):
            continue
        measured = {system: float(np.mean(each)) for system, each in values.items()}
        order = sorted(measured, key=lambda system: worse(printed[system]))
        own = sorted(measured, key=lambda system: worse(measured[system]))
        reversed_pairs = [
            (first, second) for first, second in combinations(order, 2)
            if own.index(first) > own.index(second)
        ]  # fmt: skip
        differences = []
        for first, second in reversed_pairs:
            apart = [b - a for a, b in zip(values[first], values[second], strict=True)]
            differences.append(
                {
                    "ahead": second,
                    "behind": first,
                    "by": float(np.mean(apart)),
                    "interval": interval(apart, seed),
                }
            )
        found[key] = {
            "paper": order,
            "here": own,
            "agrees": not differences,
            "differences": differences,
        }
    return found


def notes(ranking: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The rankings in words, a sentence or two for each measure."""
    lines = []
    for key, found in ranking.items():
        label = BY_KEY[key].label
        order = " > ".join(found["here"])
        if found["agrees"]:
            lines.append(f"{label}: the paper's ranking comes out: {order}.")
            continue
        lines.append(f"{label}: paper {' > '.join(found['paper'])}; here {order}.")
        for each in found["differences"]:
            told = f"{each['ahead']} ahead of {each['behind']} by {each['by']:+.3g}"
            bounds = each["interval"]
            if bounds is None:
                lines.append(f"  {told}, on too few sections to tell from chance.")
                continue
            clear = bounds[0] > 0 or bounds[1] < 0
            verdict = "clear" if clear else "cannot be told from 0 on these sections"
            lines.append(f"  {told} ({bounds[0]:+.3g} to {bounds[1]:+.3g}: {verdict}).")
    return lines
