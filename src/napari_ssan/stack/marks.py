"""What is broken in a stack: whole sections, regions of a section, sections that are absent."""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.errors import BadInput
from napari_ssan.stack.region import Mask, Region, integer, region_from_entry, region_to_entry
from napari_ssan.stack.sections import Window

FORMAT = 1
#: Sections that can be absent between two, at most: more is a slip of the pen.
MOST_MISSING = 1000
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


@dataclass
class Marks:
    """The marks of a stack. Sections count from 0.

    Attributes
    ----------
    whole : set of int
        Sections that are broken as a whole.
    regions : dict of int to list of Region
        Regions by section.
    missing : dict of int to int
        How many sections are absent from the stack after a section.
    """

    whole: set[int] = field(default_factory=set)
    regions: dict[int, list[Region]] = field(default_factory=dict)
    missing: dict[int, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.whole or any(self.regions.values()) or self.missing)

    def add_region(self, z: int, region: Region) -> None:
        """Mark a region of section `z`."""
        self.regions.setdefault(z, []).append(region)

    def add_missing(self, z: int, count: int = 1) -> None:
        """Say that `count` more sections are absent after section `z`."""
        self.missing[z] = self.missing.get(z, 0) + count

    def unmark(self, z: int) -> None:
        """Forget all marks of section `z`."""
        self.whole.discard(z)
        self.regions.pop(z, None)

    def mask(self, z: int, window: Window) -> Mask | None:
        """Marked pixels of the part of a section in `window`; None where nothing is marked."""
        if z not in self.whole and z not in self.regions:
            return None
        rows, columns = window
        mask = np.full((rows.stop - rows.start, columns.stop - columns.start), z in self.whole)
        for region in self.regions.get(z, []):
            top, left = rows.start - region.top, columns.start - region.left
            seen = region.mask[
                max(top, 0) : top + mask.shape[0], max(left, 0) : left + mask.shape[1]
            ]
            if top + mask.shape[0] > 0 and left + mask.shape[1] > 0 and seen.size:
                part = mask[max(-top, 0) :, max(-left, 0) :][: seen.shape[0], : seen.shape[1]]
                part |= seen
        return mask

    def check(self, shape: tuple[int, int, int]) -> None:
        """Refuse marks that do not fit a stack of (sections, height, width).

        Raises
        ------
        BadInput
            If a mark lies outside, nothing is marked, or everything is.
        """
        count, height, width = shape
        if count < 2:
            raise BadInput("The stack has a single section; a repair needs its neighbours.")
        if not self:
            raise BadInput("Nothing is marked: name the slices or regions to repair.")
        self._check_kinds()
        for z in sorted({*self.whole, *self.regions}):
            if not 0 <= z < count:
                raise BadInput(f"Slice {z} is not in the stack: it has slices 0 to {count - 1}.")
        for z, number in self.missing.items():
            if not 0 <= z < count - 1:
                raise BadInput(
                    f"No section can be inserted after slice {z}: "
                    f"it needs one on both sides, so 0 to {count - 2}."
                )
            if not 1 <= number <= MOST_MISSING:
                raise BadInput(
                    f"{number} sections cannot be inserted after slice {z}; "
                    f"1 to {MOST_MISSING} can."
                )
        if len(self.whole) == count:
            raise BadInput("Every slice is marked; at least one good slice is needed.")
        for z, regions in self.regions.items():
            for region in regions:
                ends = np.add((region.top, region.left), region.mask.shape)
                if min(region.top, region.left) < 0 or (ends > (height, width)).any():
                    raise BadInput(
                        f"A region of slice {z} reaches beyond the section "
                        f"of {height} x {width} pixels."
                    )

    def _check_kinds(self) -> None:
        """Refuse numbers that are not whole, and regions that are none."""
        _whole([*self.whole, *self.regions, *self.missing, *self.missing.values()])
        if any(not isinstance(r, Region) for regions in self.regions.values() for r in regions):
            raise BadInput(
                "A region must be a Region; give masks as a mapping of slice to mask instead."
            )

    def to_json(self) -> str:
        """The marks as JSON; :meth:`from_json` reads it back."""
        return json.dumps(
            {
                "format": FORMAT,
                "slices": sorted(self.whole),
                "regions": [
                    region_to_entry(z, region)
                    for z in sorted(self.regions)
                    for region in self.regions[z]
                ],
                "missing": [{"after": z, "count": n} for z, n in sorted(self.missing.items())],
            }
        )

    @classmethod
    def from_json(cls, text: str, shape: tuple[int, int]) -> Marks:
        """Marks from JSON.

        Parameters
        ----------
        text : str
            ``{"slices": [12], "regions": [{"slice": 60, "outline": [[y, x], ...]}],
            "missing": [{"after": 12, "count": 1}]}``; every part may be left out.
        shape : (int, int)
            Height and width of the sections, to which outlines are cut.

        Raises
        ------
        BadInput
            If the text is not of this form.
        """
        try:
            content = json.loads(text)
            if int(content.get("format", FORMAT)) > FORMAT:
                raise BadInput("The marks were written by a newer version; update napari-ssan.")
            defects = cls({integer(z) for z in _entries(content, "slices")})
            for entry in _entries(content, "regions"):
                defects.add_region(integer(entry["slice"]), region_from_entry(entry, shape))
            for entry in _entries(content, "missing"):
                defects.add_missing(integer(entry["after"]), integer(entry.get("count", 1)))
        except BadInput:
            raise
        except MALFORMED as error:
            raise BadInput(
                f"The marks are not in the JSON form that is read here: {error}."
            ) from None
        return defects

    @classmethod
    def from_csv(cls, text: str, shape: tuple[int, int]) -> Marks:
        """Marks from a table.

        Either with a column ``slice`` and, if wanted, ``last`` (to mark a
        range), or the outlines of a Shapes layer as napari saves them
        (``index, shape-type, vertex-index, axis-0, axis-1, axis-2``): polygons,
        rectangles and ellipses, each on one section. Of more axes the last three
        count. Columns may be separated by commas, semicolons or tabs.

        Raises
        ------
        BadInput
            If the table has other columns, entries that are no numbers, or shapes
            that enclose nothing or lie at several places of an axis before the last three.
        """
        separator = max(",;\t", key=text.partition("\n")[0].count)
        table = csv.DictReader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
        defects = cls()
        try:
            rows = list(table)
            columns = set(rows[0]) if rows else set()
            axes = sorted(int(name[5:]) for name in columns if re.fullmatch(r"axis-\d", name or ""))
            if "slice" in columns:
                for row in rows:
                    first = integer(row["slice"])
                    defects.whole.update(_range(first, integer(row.get("last") or first)))
            elif "index" in columns and len(axes) >= 3:
                if any(len({float(row[f"axis-{axis}"]) for row in rows}) > 1 for axis in axes[:-3]):
                    raise BadInput(
                        "The shapes lie at several places of an axis before the slices; save those "
                        "of one stack alone."
                    )
                shapes: dict[str, list[dict[str, str]]] = {}
                for row in rows:
                    shapes.setdefault(row["index"], []).append(row)
                for vertices in shapes.values():
                    z, outline = _outline(vertices, axes[-3:])
                    defects.add_region(z, Region.from_outline(outline, shape))
            else:
                raise BadInput(
                    "The table of marks needs a column 'slice', or the columns of a saved "
                    "napari Shapes layer."
                )
        except csv.Error as error:
            raise BadInput(f"The table of marks cannot be read: {error}.") from None
        except (ValueError, TypeError, OverflowError) as error:
            if isinstance(error, BadInput):
                raise
            raise BadInput(f"The table of marks has an entry that is no number: {error}.") from None
        return defects

    @classmethod
    def read(cls, path: str | Path, shape: tuple[int, int]) -> Marks:
        """Marks from a ``.json`` or ``.csv`` file.

        Raises
        ------
        BadInput
            If the file cannot be read as such.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"The marks in {path.name} cannot be read: {error}.") from None
        return (cls.from_csv if path.suffix.lower() == ".csv" else cls.from_json)(text, shape)


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


def as_marks(
    marks: Marks | Iterable[int] | Mapping[int, npt.NDArray[Any]], shape: tuple[int, int]
) -> Marks:
    """Marks in any form that is easy to write: sections, or masks by section.

    Parameters
    ----------
    marks : Marks, iterable of int, or mapping of int to ndarray
        Masks are (height, width), non-zero where broken.
    shape : (int, int)
        Height and width of the sections.

    Raises
    ------
    BadInput
        If it is none of these.
    """
    if isinstance(marks, Marks):
        return marks
    if isinstance(marks, Mapping):
        for z, mask in marks.items():
            if np.shape(mask) != shape:
                raise BadInput(
                    f"The mask of slice {z} has the shape {np.shape(mask)}; "
                    f"the sections have {shape}."
                )
        return Marks(
            regions={
                number: [Region.from_mask(np.asarray(mask))]
                for number, mask in zip(_whole(marks), marks.values(), strict=True)
            }
        )
    if isinstance(marks, str) or not isinstance(marks, Iterable):
        raise BadInput("Name the broken slices as a list such as [12, 47], or give masks by slice.")
    return Marks(set(_whole(marks)))


def _whole(numbers: Iterable[Any]) -> list[int]:
    try:
        return [integer(number) for number in numbers]
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInput(f"Slices, and counts of them, must be whole numbers: {error}.") from None


def _range(first: int, last: int) -> Iterator[int]:
    if last < first:
        raise BadInput(f"{first}-{last} runs backwards; write {last}-{first}.")
    if last - first > 10**6:
        raise BadInput(f"{first}-{last} is no range of slices.")
    yield from range(first, last + 1)


def _entries(content: dict[str, Any], name: str) -> list[Any]:
    entries = content.get(name, [])
    if not isinstance(entries, list):
        raise ValueError(f"{name!r} is no list")
    return entries


def _outline(
    vertices: list[dict[str, str]], axes: list[int]
) -> tuple[int, list[tuple[float, float]]]:
    """Section and outline of a shape from the rows that napari saved of it."""
    kind = vertices[0].get("shape-type") or "polygon"
    if kind not in ("polygon", "rectangle", "ellipse"):
        raise BadInput(f"A {kind} encloses nothing; only closed shapes mark a region.")
    points = np.array([[float(row[f"axis-{axis}"]) for axis in axes] for row in vertices])
    if np.ptp(points[:, 0]) >= 1:
        raise BadInput("A shape spans several slices; draw one on each.")
    z, outline = round(float(points[0, 0])), points[:, 1:]
    if kind == "ellipse":  # napari saves the corners of its box
        centre, half = outline.mean(axis=0), (outline[1] - outline[0]) / 2
        other = (outline[2] - outline[1]) / 2
        angles = np.linspace(0, 2 * np.pi, 100, endpoint=False)[:, None]
        outline = centre + half * np.cos(angles) + other * np.sin(angles)
    return z, [(float(y), float(x)) for y, x in outline]
