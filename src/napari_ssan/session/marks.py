"""The marks of a stack while they are being made: what is whole, what is a region, what is missing.

A mark is known by its slot: (z, 0) for section z, whole or in regions, (z, 1) for
what is missing after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_ssan.engine.plan import merge
from napari_ssan.engine.repaired import Slot
from napari_ssan.errors import BadInput
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region

State = Literal["marked", "synthesized", "accepted", "reverted"]


@dataclass(frozen=True)
class Row:
    """A line in the table of marks.

    Attributes
    ----------
    marks : tuple of (int, int)
        Slots of the marks that it stands for: one, or adjacent whole sections.
    kind : {"whole", "region", "missing"}
        What is marked.
    count : int
        Marked sections, regions or missing sections.
    share : float
        Share of a section that is marked, 0 to 1.
    state : {"marked", "synthesized", "accepted", "reverted"}
        What became of it. Marked: a repair is still to come.
    """

    marks: tuple[Slot, ...]
    kind: Literal["whole", "region", "missing"]
    count: int
    share: float
    state: State


class EditableMarks:
    """Marks of a stack, each of which can be changed and taken away again.

    Attributes
    ----------
    whole : set of int
        Sections that are marked as a whole.
    regions : dict of int to dict of str to Region
        Regions by section and key.
    missing : dict of int to int
        How many sections are absent after a section.

    Parameters
    ----------
    shape : (int, int, int)
        Sections, height and width of the stack.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.whole: set[int] = set()
        self.regions: dict[int, dict[str, Region]] = {}
        self.missing: dict[int, int] = {}

    @property
    def defects(self) -> Marks:
        """All marks, as a copy that later changes do not reach."""
        regions = {z: list(regions.values()) for z, regions in self.regions.items()}
        return Marks(set(self.whole), regions, dict(self.missing))

    def take_over(self, defects: Marks) -> set[Slot]:
        """Put other marks in place of the present ones; returns their slots."""
        self.whole, self.missing = set(defects.whole), dict(defects.missing)
        self.regions = {
            z: {region_key(z, region): region for region in regions}
            for z, regions in defects.regions.items()
        }
        return {(z, 0) for z in (*self.whole, *self.regions)} | {(z, 1) for z in self.missing}

    def add_whole(self, sections: Iterable[int]) -> list[Slot]:
        """Mark whole sections; returns those that were not.

        Raises
        ------
        BadInput
            If one is not in the stack, or no good one would be left.
        """
        new = [z for z in sections if z not in self.whole]
        for z in new:
            self._check_section(z)
        if new and len(self.whole) + len(new) >= self.shape[0]:
            raise BadInput("Every slice would be marked; at least one good slice is needed.")
        self.whole.update(new)
        return [(z, 0) for z in new]

    def add_region(self, key: str, z: int, region: Region) -> None:
        """Mark a region of section `z`.

        Raises
        ------
        BadInput
            If the section is not in the stack.
        """
        self._check_section(z)
        self.regions.setdefault(z, {})[key] = region

    def remove_region(self, key: str) -> set[Slot]:
        """Unmark a region; returns the slot that it was in."""
        found = {(z, 0) for z, regions in self.regions.items() if key in regions}
        for z, _ in found:
            del self.regions[z][key]
            if not self.regions[z]:
                del self.regions[z]
        return found

    def set_missing(self, z: int, number: int) -> bool:
        """Mark `number` sections as absent after section `z`, 0 for none; whether that is new.

        Raises
        ------
        BadInput
            If there is no section on both sides, or the number is negative.
        """
        if not 0 <= z < self.shape[0] - 1 or number < 0:
            raise BadInput(
                f"{number} sections cannot be inserted after slice {z}: it needs one on both sides."
            )
        before = self.missing.pop(z, 0)
        if number:
            self.missing[z] = number
        return number != before

    def discard(self, mark: Slot) -> None:
        """Forget a mark."""
        z, missing = mark
        if missing:
            self.missing.pop(z, None)
        else:
            self.whole.discard(z)
            self.regions.pop(z, None)

    def __contains__(self, mark: Slot) -> bool:
        z, missing = mark
        return z in self.missing if missing else z in self.whole or z in self.regions

    def slots(self, mark: Slot) -> list[Slot]:
        """Sections of the repaired stack that belong to a mark."""
        z, missing = mark
        return [(z, n + 1) for n in range(self.missing.get(z, 0))] if missing else [mark]

    def pixels(self, z: int) -> int:
        """How many pixels are in regions of a section, each counted once."""
        return sum(region.pixels for region in merge(list(self.regions[z].values())))

    def row(self, mark: Slot, state: State) -> Row:
        """Return the line of a mark in the table."""
        z, missing = mark
        if missing:
            return Row((mark,), "missing", self.missing[z], 1.0, state)
        if z in self.whole:
            return Row((mark,), "whole", 1, 1.0, state)
        share = self.pixels(z) / float(np.prod(self.shape[1:]))
        return Row((mark,), "region", len(self.regions[z]), share, state)

    def _check_section(self, z: int) -> None:
        if not 0 <= z < self.shape[0]:
            raise BadInput(f"Slice {z} is not in the stack: it has 0 to {self.shape[0] - 1}.")


def mark_of(slot: Slot) -> Slot:
    """Return the mark that a section of the repaired stack belongs to."""
    return slot[0], min(slot[1], 1)


def outline_key(z: int, outline: Iterable[Sequence[float]]) -> str:
    """Name of a region that is drawn as a polygon of (row, column), from its content."""
    rounded = np.round(np.asarray(list(outline), float), 3) + 0.0  # no negative zero
    return f"{z}:{hashlib.sha256(rounded.tobytes()).hexdigest()[:16]}"


def region_key(z: int, region: Region) -> str:
    """Name of a region, from its content."""
    if region.outline is not None:
        return outline_key(z, region.outline)
    content = f"{region.top} {region.left} {region.mask.shape}".encode() + region.mask.tobytes()
    return f"{z}:mask:{hashlib.sha256(content).hexdigest()[:16]}"
