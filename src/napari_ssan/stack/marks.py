"""What is broken in a stack: whole sections, regions of a section, sections that are absent.

One type from the dock to the file. It says what is marked, not what became of it: states
and repairs are the session's. Reading and writing is :mod:`~napari_ssan.stack.marks_io`.

A mark is known by (z, 0), which is all that is marked in section z, or (z, 1), which is
what is missing after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.errors import BadInput
from napari_ssan.stack import marks_io
from napari_ssan.stack.region import Mask, Region, Treatment, integer
from napari_ssan.stack.sections import Window

#: Sections that can be absent between two, at most: more is a slip of the pen.
MOST_MISSING = 1000
#: (z, 0) for section z, (z, 1) for what is missing after it.
Mark = tuple[int, int]


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
    corrected : set of int
        Of the whole sections, those that keep their pixels and are only brought to their
        neighbours' brightness and contrast. A region has its own treatment.
    """

    whole: set[int] = field(default_factory=set)
    regions: dict[int, list[Region]] = field(default_factory=dict)
    missing: dict[int, int] = field(default_factory=dict)
    corrected: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.whole or any(self.regions.values()) or self.missing)

    def add_region(self, z: int, region: Region) -> None:
        """Mark a region of section `z`."""
        self.regions.setdefault(z, []).append(region)

    def add_missing(self, z: int, count: int = 1) -> None:
        """Say that `count` more sections are absent after section `z`."""
        self.missing[z] = self.missing.get(z, 0) + count

    def update(self, other: Marks) -> None:
        """Add all marks of `other`."""
        self.corrected -= other.whole
        self.whole |= other.whole
        self.corrected |= other.corrected
        self.missing |= other.missing
        for z, regions in other.regions.items():
            self.regions.setdefault(z, []).extend(regions)

    def treated(self, z: int, treatment: Treatment) -> bool:
        """Whether all that is repaired of section `z` has this treatment."""
        if z in self.whole:
            return (z in self.corrected) == (treatment == "correct")
        return all(region.treatment == treatment for region in self.regions.get(z, []))

    def treat(self, sections: Iterable[int], treatment: Treatment) -> None:
        """Choose what becomes of all that is marked in some sections."""
        for z in sections:
            if z in self.whole:
                (self.corrected.add if treatment == "correct" else self.corrected.discard)(z)
            if z in self.regions:
                self.regions[z] = [replace(each, treatment=treatment) for each in self.regions[z]]

    def discard(self, mark: Mark) -> None:
        """Forget a mark; regions come back into view when their section is no longer whole."""
        z, missing = mark
        if missing:
            self.missing.pop(z, None)
        elif z in self.whole:
            self.whole.remove(z)
            self.corrected.discard(z)
        else:
            self.regions.pop(z, None)

    def discard_regions(self, keys: Collection[str]) -> set[Mark]:
        """Forget regions by their keys; returns the marks that they were part of."""
        found = {(z, 0) for key, (z, _) in self.by_key().items() if key in keys}
        for z, _ in found:
            self.regions[z] = [each for each in self.regions[z] if each.key(z) not in keys]
            if not self.regions[z]:
                del self.regions[z]
        return found

    def copy(self) -> Marks:
        """The same marks, to be changed apart from these."""
        regions = {z: list(found) for z, found in self.regions.items()}
        return Marks(set(self.whole), regions, dict(self.missing), set(self.corrected))

    def __contains__(self, mark: Mark) -> bool:
        z, missing = mark
        return z in self.missing if missing else z in self.whole or z in self.regions

    def each(self) -> dict[Mark, Marks]:
        """Every mark, by itself."""
        found = {(z, 1): Marks(missing={z: number}) for z, number in self.missing.items()}
        for z in {*self.whole, *self.regions}:
            regions = {z: self.regions[z]} if z in self.regions else {}
            found[z, 0] = Marks(self.whole & {z}, regions, {}, self.corrected & {z})
        return found

    def by_key(self) -> dict[str, tuple[int, Region]]:
        """Section and region by :meth:`~napari_ssan.stack.region.Region.key`."""
        return {each.key(z): (z, each) for z, found in self.regions.items() for each in found}

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
        _whole_numbers([*self.whole, *self.regions, *self.missing, *self.missing.values()])
        if any(not isinstance(r, Region) for regions in self.regions.values() for r in regions):
            raise BadInput(
                "A region must be a Region; give masks as a mapping of slice to mask instead."
            )

    def to_json(self) -> str:
        """The marks as JSON; :meth:`from_json` reads it back."""
        return marks_io.to_json(self.whole, self.regions, self.missing, self.corrected)

    @classmethod
    def from_json(cls, text: str, shape: tuple[int, int]) -> Marks:
        """Marks from JSON, see :func:`napari_ssan.stack.marks_io.from_json`."""
        return cls(*marks_io.from_json(text, shape))

    @classmethod
    def from_csv(cls, text: str, shape: tuple[int, int]) -> Marks:
        """Marks from a table, see :func:`napari_ssan.stack.marks_io.from_csv`."""
        return cls(*marks_io.from_csv(text, shape))

    @classmethod
    def read(cls, path: str | Path, shape: tuple[int, int]) -> Marks:
        """Marks from a ``.json`` or ``.csv`` file.

        Parameters
        ----------
        path : str or Path
        shape : (int, int)
            Height and width of the sections, to which outlines are cut.

        Raises
        ------
        BadInput
            If the file cannot be read as such.
        """
        return cls(*marks_io.read(Path(path), shape))


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
                for number, mask in zip(_whole_numbers(marks), marks.values(), strict=True)
            }
        )
    if isinstance(marks, str) or not isinstance(marks, Iterable):
        raise BadInput("Name the broken slices as a list such as [12, 47], or give masks by slice.")
    return Marks(set(_whole_numbers(marks)))


def _whole_numbers(numbers: Iterable[Any]) -> list[int]:
    try:
        return [integer(number) for number in numbers]
    except ValueError as error:
        raise BadInput(f"Slices, and counts of them, must be whole numbers: {error}.") from None
