"""How much of planted damage an inspection finds, and what it finds in stacks as they are.

``python benchmarks/inspection.py planted 'STACK[::5]' ...`` plants every kind of damage at
three strengths and with three seeds, and prints recall, precision and the overlap of masks.
``python benchmarks/inspection.py real STACK ...`` lists what is found in stacks as they are.
A stack is named as in ``napari-ssan train``; ``[::5]`` takes every fifth section.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter1d

from napari_ssan.cli.sources import parse_source
from napari_ssan.inspection.find import SENSITIVITY, Find, Inspection
from napari_ssan.inspection.inspect import inspect
from napari_ssan.inspection.plant import (
    REGION_KINDS,
    SLICE_KINDS,
    STRENGTHS,
    plant_region,
    plant_slice,
)
from napari_ssan.inspection.view import View
from napari_ssan.stack.intensity import to_dtype
from napari_ssan.stack.sections import Array, SliceStack

#: Sections between two that are damaged, at least.
APART = 4
#: A region shows if it departs from both neighbours by so many times what places of its shape do.
SHOWS, PLACES = 4.0, 200
#: A region is found if this share of it, or of what was found, is common to both.
OVERLAP = 0.1
#: Kinds that are planted: of whole sections, sections that are cut out, and regions.
KINDS = (*(f"slice {kind}" for kind in (*SLICE_KINDS, "lost")),
         *(f"region {kind}" for kind in (*REGION_KINDS, "missing")))  # fmt: skip

#: Regions that the mean of their pixels does not tell.
UNMEASURED = ("region blur", "region missing")

app = typer.Typer(add_completion=False)
out = Console()
Stacks = Annotated[list[str], typer.Argument(help="Stacks, as in PATH[::5].")]
JsonPath = Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")]
Sections = list[Array]


def read(text: str) -> Sections:
    """Sections that text such as ``stack.tif[::5]`` names."""
    source = parse_source(text)
    return [source.stack.read(z) for z in range(source.start, source.stop, source.spacing)]


def look(sections: Sections) -> Inspection:
    """Inspect sections as a stack."""
    *_, found = inspect(View(SliceStack(np.stack(sections))))
    assert isinstance(found, Inspection)
    return found.at_least(SENSITIVITY["normal"])


def plant_margin(pixels: Array, strength: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Make a ragged margin of a section black or white; the section, and which pixels those are."""
    height, width = pixels.shape
    deep = (0.05, 0.09, 0.15)[strength] * height
    ragged = gaussian_filter1d(random.standard_normal(width), width / 16)
    edge = deep * (1 + 0.3 * ragged / (ragged.std() + 1e-9))
    mask = np.arange(height)[:, None] < edge[None]
    if random.integers(2):
        mask = mask[::-1]
    value = float(pixels.min() if random.integers(2) else pixels.max())
    return np.where(mask, value, pixels).astype(np.float32), mask


def damage(
    clean: Sections, todo: list[tuple[str, int]], good: list[int], random: np.random.Generator
) -> tuple[Sections, dict[int, tuple[str, int, Array | None]], list[tuple[str, int]]]:
    """Plant as many of the wanted kinds as there is room for, and return the rest.

    At most one section is cut out of a stack, behind all other damage, so that numbers hold.
    """
    sections, planted = list(clean), {}
    places = [int(z) for z in good[random.integers(APART) :: APART]]
    left, lost = [], None
    for kind, strength in todo:
        scope, name = kind.split()
        if name == "lost":
            if lost:
                left.append((kind, strength))
            lost = lost or (kind, strength)
            continue
        if not places or (lost and len(places) < 3):
            left.append((kind, strength))
            continue
        z = places.pop(0)
        pixels = clean[z].astype(np.float32)
        mask = None
        if scope == "slice":
            away = max(abs(n - z) for n in good)
            enough = min(5 + 3 * strength, away)
            far = int(random.choice([n for n in good if abs(n - z) >= enough]))
            other = clean[z - 1 if name == "duplicate" else far].astype(np.float32)
            pixels = plant_slice(name, pixels, other, strength, random)
        else:
            plant = plant_margin if name == "missing" else partial(plant_region, name)
            pixels, mask = plant(pixels, strength, random)
        sections[z] = to_dtype(pixels.astype(np.float64), clean[z].dtype)
        planted[z] = (kind, strength, mask)
    if lost:
        count = 2 + 2 * lost[1]
        free = [z for z in places[-2:] if z + count + 2 < len(clean)]
        if free:
            z = free[0]
            del sections[z + 1 : z + 1 + count]
            planted[z] = (*lost, None)
        else:
            left.append(lost)
    return sections, planted, left


def shows(clean: Sections, z: int, damaged: Array, mask: Array) -> bool:
    """Whether the mean of a region departs from its neighbours as no place of good tissue does.

    Where it does not, the region is like tissue that changes from section to section.
    """
    own = clean[z]

    def scaled(pixels: Array, like: Array) -> Array:
        return (pixels.astype(np.float32) - np.median(like)) / like.std()

    between = (scaled(clean[z - 1], clean[z - 1]) + scaled(clean[z + 1], clean[z + 1])) / 2
    usual, random = scaled(own, own) - between, np.random.default_rng(z)
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    means = [
        usual[
            (rows + random.integers(height)) % height, (columns + random.integers(width)) % width
        ].mean()
        for _ in range(PLACES)
    ]
    departs = (scaled(damaged, own) - between)[mask].mean()
    return bool(abs(departs - np.mean(means)) >= SHOWS * np.std(means))


def hits(found: list[Find], mask: Array | None) -> tuple[bool, float | None]:
    """Whether damage was found by what was found in its section, and the overlap of masks."""
    if mask is None:
        return any(each.region is None for each in found), None
    seen = np.zeros(mask.shape, bool)
    for each in found:
        if each.region is None:
            return True, None
        seen[each.region.window] |= each.region.mask
    common = float((seen & mask).sum())
    overlap = common / float((seen | mask).sum())
    return common >= OVERLAP * min(mask.sum(), max(1, seen.sum())), overlap


@app.command()
def planted(
    stacks: Stacks,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 3,
    first: Annotated[int, typer.Option(help="The first seed.")] = 0,
    json_path: JsonPath = None,
) -> None:
    """Plant damage, and print how much of it is found."""
    results: dict[str, Any] = {}
    for text in stacks:
        clean = read(text)
        before = look(clean)
        suspicious = {z for each in before.finds for z in (each.z - 1, each.z, each.z + 1)}
        good = [z for z in range(2, len(clean) - 2) if z not in suspicious]
        tally: dict[str, list[dict[str, Any]]] = defaultdict(list)
        false: list[Find] = []
        checked = 0
        for seed in range(first, first + seeds):
            random = np.random.default_rng(seed)
            todo = [(kind, strength) for kind in KINDS for strength in STRENGTHS]
            random.shuffle(todo)
            while todo:
                sections, damaged, left = damage(clean, todo, good, random)
                if len(left) == len(todo):
                    break
                todo = left
                inspection = look(sections)
                at: dict[int, list[Find]] = defaultdict(list)
                for each in inspection.finds:
                    at[each.z].append(each)
                end = min([z for z, (kind, *_) in damaged.items() if "lost" in kind] or [10**9])
                for z, (kind, strength, mask) in damaged.items():
                    near = at[z] + (at[z + 1] if "lost" in kind else [])
                    hit, overlap = hits(near, mask)
                    named = [each.kind for each in near]
                    right = kind.split()[1].replace("lost", "discontinuity") in named
                    tally[kind].append(
                        {"strength": strength, "found": hit, "named": right, "iou": overlap,
                         "shows": mask is None or kind in UNMEASURED
                         or shows(clean, z, sections[z], mask)}
                    )  # fmt: skip
                known = set(damaged) | suspicious | set(range(min(end, 10**6), len(clean)))
                false += [each for each in inspection.finds if each.z not in known]
                checked += sum(z not in known for z in range(len(sections)))
        results[text] = _report(text, before, tally, false, checked)
    if json_path is not None:
        json_path.write_text(json.dumps(results, indent=1), encoding="utf-8")


def _report(
    text: str,
    before: Inspection,
    tally: dict[str, list[dict[str, Any]]],
    false: list[Find],
    checked: int,
) -> dict[str, Any]:
    """Print a table for a stack, and return its figures."""
    likeness = before.correlation
    table = Table(title=f"{Path(text).name}, neighbours correlate by {likeness:.2f}")
    for head in ("planted", "of", "found", "weak", "medium", "strong", "kind right", "IoU", "show"):
        table.add_column(head)
    figures: dict[str, Any] = {"correlation": likeness, "kinds": {}}
    total = {"slice": [0, 0], "region": [0, 0]}
    for kind in KINDS:
        rows = tally[kind]
        if not rows:
            continue
        by = [[row["found"] for row in rows if row["strength"] == s] for s in STRENGTHS]
        recall = float(np.mean([row["found"] for row in rows]))
        named = float(np.mean([row["named"] for row in rows]))
        showing = sum(row["shows"] for row in rows)
        overlaps = [row["iou"] for row in rows if row["iou"]]
        iou = float(np.mean(overlaps)) if overlaps else None
        strengths = [float(np.mean(each)) if each else float("nan") for each in by]
        scope = kind.split()[0]
        total[scope][0] += sum(row["found"] for row in rows)
        total[scope][1] += len(rows)
        shown = [f"{value:.2f}" for value in (recall, *strengths, named)]
        table.add_row(
            kind, str(len(rows)), *shown, "" if iou is None else f"{iou:.2f}", str(showing)
        )
        figures["kinds"][kind] = {
            "planted": len(rows), "recall": recall, "by_strength": strengths,
            "named": named, "iou": iou, "shows": showing,
        }  # fmt: skip
    out.print(table)
    for scope, (hit, number) in total.items():
        wrong = len({(n, each.z) for n, each in enumerate(false)
                     if (each.region is None) == (scope == "slice")})  # fmt: skip
        seen = [row["found"] for kind in KINDS if kind.startswith(scope)
                for row in tally[kind] if row["shows"]]  # fmt: skip
        figures[scope] = {
            "shows": len(seen), "recall_of_these": sum(seen) / max(1, len(seen)),
            "recall": hit / max(1, number), "precision": hit / max(1, hit + wrong),
            "false": wrong, "sections_checked": checked,
        }  # fmt: skip
        out.print(
            f"{scope}s: recall {hit / max(1, number):.3f} of {number}, "
            f"{sum(seen) / max(1, len(seen)):.3f} of the {len(seen)} that show, precision "
            f"{hit / max(1, hit + wrong):.3f}; {wrong} false finds in {checked} good sections: "
            + ", ".join(
                sorted(
                    {
                        f"{each.kind} at {each.z}"
                        for each in false
                        if (each.region is None) == (scope == "slice")
                    }
                )
            )
        )
    found_before = [f"{each.z} {each.kind} {each.p:.2f}" for each in before.finds]
    out.print(f"found without planting: {', '.join(found_before) or 'nothing'}\n")
    figures["before"] = found_before
    return figures


@app.command()
def real(stacks: Stacks, json_path: JsonPath = None) -> None:
    """List what is found in stacks as they are."""
    results = {}
    for text in stacks:
        sections = read(text)
        started = time.monotonic()
        found = look(sections)
        seconds = time.monotonic() - started
        flagged = {each.z for each in found.finds}
        out.print(
            f"{Path(text).name}: {len(sections)} sections, neighbours correlate by "
            f"{found.correlation:.2f}; {len(flagged)} sections flagged; {seconds:.0f} s"
        )
        for sentence in found.cannot_tell:
            out.print(f"  {sentence}")
        for each in found.finds:
            box = each.entry()["bbox"] or "whole slice"
            out.print(f"  {each.z:4d} {each.kind:13s} p {each.p:.3f} score {each.score:5.1f} {box}")
        results[text] = json.loads(found.to_json())
    if json_path is not None:
        json_path.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    app()
