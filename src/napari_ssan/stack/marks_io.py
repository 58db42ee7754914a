"""Marks as text: JSON, tables, and slices as one types them.

Gives and takes the three parts that :class:`~napari_ssan.stack.marks.Marks` is made of, so
that it can use this. Says whether the text has the right form; whether the marks fit a
stack is for ``Marks.check``.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import zlib
from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.json_text import dump_json
from napari_ssan.paths import check_input
from napari_ssan.stack.region import (
    Region,
    integer,
    region_from_entry,
    region_to_entry,
    treatment_of,
)

FORMAT = 1
#: Slices that a table can mark, at most: no stack has more.
MOST_MARKED = 10**6
#: Names of the column of a table that holds the section.
SECTION_COLUMNS = ("slice", "z", "index")
#: Columns that it may have beside.
FURTHER_COLUMNS = ("last", "treatment")
#: The parts of marks in JSON.
PARTS = ("slices", "regions", "missing")
#: What goes wrong when text is read that is not of the expected form.
MALFORMED = (
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    zlib.error,
)
#: Sections, regions by section, how many sections are missing after a section, and which of the
#: sections are to be corrected.
Parts = tuple[set[int], dict[int, list[Region]], dict[int, int], set[int]]


def to_json(
    whole: set[int],
    regions: dict[int, list[Region]],
    missing: dict[int, int],
    corrected: Collection[int],
) -> str:
    """Marks as JSON; :func:`from_json` reads it back."""
    return dump_json(
        {
            "format": FORMAT,
            "slices": [
                {"slice": z, "treatment": "correct"} if z in corrected else z for z in sorted(whole)
            ],
            "regions": [region_to_entry(z, each) for z in sorted(regions) for each in regions[z]],
            "missing": [{"after": z, "count": n} for z, n in sorted(missing.items())],
        }
    )


def from_json(text: str, shape: tuple[int, int]) -> Parts:
    """Marks from JSON.

    Parameters
    ----------
    text : str
        ``{"slices": [12], "regions": [{"slice": 60, "outline": [[y, x], ...]}],
        "missing": [{"after": 12, "count": 1}]}``; every part may be left out. A slice may be
        written as ``{"slice": 12, "treatment": "correct"}``; a region may have a treatment, too.
    shape : (int, int)
        Height and width of the sections, to which outlines are cut.

    Raises
    ------
    BadInput
        If the text is not of this form.
    """
    whole: set[int] = set()
    corrected: set[int] = set()
    regions: dict[int, list[Region]] = {}
    missing: dict[int, int] = {}
    where = "the whole text"
    try:
        content = json.loads(text)
        if int(content.get("format", FORMAT)) > FORMAT:
            raise BadInput("The marks were written by a newer version; update napari-ssan.")
        _check_keys(content)
        for name in PARTS:
            for number, entry in enumerate(_entries(content, name), 1):
                where = f"entry {number} of {name!r}"
                if name == "slices":
                    marked = entry if isinstance(entry, dict) else {"slice": entry}
                    whole.add(integer(marked["slice"]))
                    if treatment_of(marked) == "correct":
                        corrected.add(integer(marked["slice"]))
                elif name == "regions":
                    z = integer(entry["slice"])
                    regions.setdefault(z, []).append(region_from_entry(entry, shape))
                else:
                    z = integer(entry["after"])
                    missing[z] = missing.get(z, 0) + integer(entry.get("count", 1))
    except BadInput:
        raise
    except MALFORMED as error:
        if isinstance(error, json.JSONDecodeError):
            where = f"line {error.lineno}"
        raise BadInput(
            f"The marks are not in the JSON form that is read here: {where} cannot be understood; "
            "write them as the page 'Mark from a file' of the documentation shows."
        ) from None
    return whole, regions, missing, corrected


def _check_keys(content: dict[str, Any]) -> None:
    """Refuse what would be passed over: a misspelled part would leave damage in the stack."""
    if "defects" in content:
        raise BadInput(
            "This is the list of finds that napari-ssan inspect --json writes; give the marks that "
            "--marks writes."
        )
    if unknown := sorted(content.keys() - {"format", *PARTS}):
        raise BadInput(
            f"The marks have a part {unknown[0]!r}, which is not known: write slices, regions or "
            "missing."
        )


def from_csv(text: str, shape: tuple[int, int]) -> Parts:
    """Marks from a table.

    Either a table of sections, or the outlines of a Shapes layer as napari saves them
    (``index, shape-type, vertex-index, axis-0, axis-1, axis-2``): polygons,
    rectangles and ellipses, each on one section. Of more axes the last three
    count. Columns may be separated by commas, semicolons or tabs.

    A table of sections has a column ``slice``, ``z`` or ``index`` (CATMAID's table
    ``broken_slice``), and, if wanted, ``last`` (to mark a range) and ``treatment``.

    Parameters
    ----------
    text : str
    shape : (int, int)
        Height and width of the sections, to which outlines are cut.

    Raises
    ------
    BadInput
        If the table has other columns, entries that are no numbers, or shapes
        that enclose nothing or lie at several places of an axis before the last three.
    """
    separator = max(",;\t", key=text.partition("\n")[0].count)
    table = csv.DictReader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    whole: set[int] = set()
    corrected: set[int] = set()
    regions: dict[int, list[Region]] = {}
    try:
        rows = list(table)
        columns = set(table.fieldnames or ())
        axes = sorted(int(name[5:]) for name in columns if re.fullmatch(r"axis-\d", name))
        if len(axes) < 3 and (named := next((n for n in SECTION_COLUMNS if n in columns), None)):
            _check_columns(columns)
            for row in rows:
                if len(whole) > MOST_MARKED:
                    raise BadInput(f"The table marks more than {MOST_MARKED} slices.")
                first = integer(row[named])
                some = set(_range(first, integer(row.get("last") or first)))
                whole |= some
                corrected |= some if treatment_of(row) == "correct" else set()
        elif "index" in columns and len(axes) >= 3:
            if any(len({_number(row[f"axis-{axis}"]) for row in rows}) > 1 for axis in axes[:-3]):
                raise BadInput(
                    "The shapes lie at several places of an axis before the slices; save those "
                    "of one stack alone."
                )
            shapes: dict[str, list[dict[str, str]]] = {}
            for row in rows:
                shapes.setdefault(row["index"], []).append(row)
            for vertices in shapes.values():
                z, outline = _outline(vertices, axes[-3:])
                regions.setdefault(z, []).append(Region.from_outline(outline, shape))
        else:
            raise BadInput(
                "The table of marks needs a column 'slice', or the columns of a saved "
                "napari Shapes layer."
            )
    except csv.Error:
        raise BadInput("The table of marks cannot be read; save it as CSV again.") from None
    except ValueError as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"In the table of marks, {error}; change that entry.") from None
    return whole, regions, {}, corrected


def _check_columns(names: Iterable[str | None]) -> None:
    """Refuse a column whose name is nearly one that is read: it would be passed over."""
    for name in filter(None, names):
        meant = get_close_matches(name.lower(), FURTHER_COLUMNS, 1, 0.7)
        if meant and name not in FURTHER_COLUMNS:
            raise BadInput(f"The table of marks has a column {name!r}; call it {meant[0]!r}.")


def to_csv(whole: Collection[int], corrected: Collection[int]) -> str:
    """Whole sections as a table; :func:`from_csv` reads it back."""
    rows = [f"{z},{'correct' if z in corrected else 'synthesize'}\n" for z in sorted(whole)]
    return "slice,treatment\n" + "".join(rows)


def read(path: Path, shape: tuple[int, int]) -> Parts:
    """Marks from a ``.json`` or ``.csv`` file; see :meth:`napari_ssan.Marks.read`."""
    check_input(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"The marks in {path.name} are no text in UTF-8; save them so.") from None
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        why = "there is no such file" if absent else (error.strerror or str(error)).lower()
        raise BadInput(f"The marks in {path.name} cannot be read: {why}; check the path.") from None
    return (from_csv if path.suffix.lower() == ".csv" else from_json)(text, shape)


def parse_slices(text: str) -> list[int]:
    """Slices from text such as ``"12,47-48"``, in the order given.

    Raises
    ------
    BadInput
        If a part is no number or range, negative or backwards.
    """
    slices: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?", part)
        if match is None:
            raise BadInput(
                f"{part!r} names no slice; write slices as in 12,47-48, counting from 0."
            )
        first = int(match[1])
        slices.extend(_range(first, int(match[2] or first)))
    return slices


def format_slices(slices: Iterable[int]) -> str:
    """Slices as :func:`parse_slices` reads them, in order: ``12,47-48``."""
    parts: list[list[int]] = []
    for z in sorted(set(slices)):
        if parts and z == parts[-1][-1] + 1:
            parts[-1][1:] = [z]
        else:
            parts.append([z])
    return ",".join("-".join(map(str, part)) for part in parts)


def _range(first: int, last: int) -> Iterator[int]:
    if last < first:
        raise BadInput(f"{first}-{last} runs backwards; write {last}-{first}.")
    if last - first > 10**6:
        raise BadInput(f"{first}-{last} is no range of slices.")
    yield from range(first, last + 1)


def _entries(content: dict[str, Any], name: str) -> list[Any]:
    entries = content.get(name, [])
    if not isinstance(entries, list):
        raise BadInput(f"In the marks, {name!r} is no list; write it in square brackets.")
    return entries


def _number(text: str | None) -> float:
    """A coordinate in a table."""
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text or ''!r} is no number")
    return number


def _outline(
    vertices: list[dict[str, str]], axes: list[int]
) -> tuple[int, list[tuple[float, float]]]:
    """Section and outline of a shape from the rows that napari saved of it."""
    kind = vertices[0].get("shape-type") or "polygon"
    if kind not in ("polygon", "rectangle", "ellipse"):
        raise BadInput(f"A {kind[:20]} encloses nothing; only closed shapes mark a region.")
    points = np.array([[_number(row[f"axis-{axis}"]) for axis in axes] for row in vertices])
    if np.ptp(points[:, 0]) >= 1:
        raise BadInput("A shape spans several slices; draw one on each.")
    z, outline = round(float(points[0, 0])), points[:, 1:]
    if kind == "ellipse" and len(outline) != 4:
        raise BadInput(f"An ellipse has {len(outline)} rows; it needs the 4 corners of its box.")
    if kind == "ellipse":  # napari saves the corners of its box
        centre, half = outline.mean(axis=0), (outline[1] - outline[0]) / 2
        other = (outline[2] - outline[1]) / 2
        angles = np.linspace(0, 2 * np.pi, 100, endpoint=False)[:, None]
        outline = centre + half * np.cos(angles) + other * np.sin(angles)
    return z, [(float(y), float(x)) for y, x in outline]
