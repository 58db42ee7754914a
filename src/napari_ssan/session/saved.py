"""A state of a repair as it is kept, and its patches in JSON.

What a patch's entry says is taken with care: pixels that are missing, damaged or another
stack's make it a lost one, never a wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.stored import StoredArray
from napari_ssan.session.marks import mark_of
from napari_ssan.session.results import Spares
from napari_ssan.stack.marks import Mark, Marks
from napari_ssan.stack.marks_io import MALFORMED
from napari_ssan.stack.region import Mask, Region, region_from_entry, region_to_entry
from napari_ssan.stack.sections import SliceStack

#: What is raised for an array whose file is missing, or for a malformed entry.
UNREADABLE = (FileNotFoundError, *MALFORMED)


@dataclass(frozen=True)
class Saved:
    """State of a repair, and when it was saved."""

    marks: Marks
    states: Mapping[Mark, str]
    patches: tuple[Patch, ...] = ()
    when: datetime | None = None
    #: Patches whose files are missing or damaged; their marks are to be repaired again.
    lost: int = 0
    #: Results that are not chosen, by mark and by what made them.
    spares: Spares = field(default_factory=dict)
    #: Why part of it could not be read; empty if all could.
    damage: str = ""

    @property
    def all_patches(self) -> tuple[Patch, ...]:
        """Those of all results, chosen or not."""
        others = (result for results in self.spares.values() for result in results.values())
        return (*self.patches, *(patch for result in others for patch in result))

    def __str__(self) -> str:
        marks, repaired = len(self.states), len({mark_of(patch.slot) for patch in self.patches})
        text = "1 mark" if marks == 1 else f"{marks} marks"
        if self.when is not None:
            text += f" from {_day(self.when)}"
        if repaired < marks:
            return f"{text}, {repaired} of them repaired" if repaired else text
        return f"{text}, already repaired" if marks == 1 else f"{text}, all of them repaired"


def patch_to_json(patch: Patch) -> dict[str, Any]:
    """Say all of a patch but its pixels, which lie in files; :func:`read_patch` reads it."""
    return {
        "slot": patch.slot,
        "top": patch.top,
        "left": patch.left,
        "error": patch.error.path.name if isinstance(patch.error, StoredArray) else None,
        "mask": None if patch.mask is None else region_to_entry(0, Region(0, 0, patch.mask)),
        "record": patch.record.model_dump(mode="json"),
    }


def read_patch(folder: Path, name: str, entry: dict[str, Any], stack: SliceStack) -> Patch | None:
    """Read a patch; None if its pixels are not there as they should be."""
    try:
        z, number = (int(n) for n in entry["slot"])
        top, left = int(entry["top"]), int(entry["left"])
        record = SyntheticSection.model_validate(entry["record"])
        pixels = StoredArray(folder / Path(name).name)
        mask = None if entry["mask"] is None else _mask_from_json(entry["mask"], stack)
    except UNREADABLE:
        return None
    ends = np.add((top, left), pixels.shape)
    fits = len(pixels.shape) == 2 and (ends <= stack.shape[1:]).all() and min(top, left) >= 0
    if not fits or pixels.dtype != stack.dtype or not 0 <= z < len(stack):
        return None
    if mask is not None and mask.shape != pixels.shape:
        return None
    try:  # without a map of expected errors the pixels are still good
        found = StoredArray(folder / Path(entry["error"]).name)
        same = found.shape == pixels.shape and found.dtype == np.float32
        error = found if same else None
    except UNREADABLE:
        error = None
    return Patch((z, number), top, left, pixels, mask, record, error)


def _mask_from_json(entry: dict[str, Any], stack: SliceStack) -> Mask | None:
    height, width = (int(n) for n in entry["shape"])
    marks = Marks(regions={0: [region_from_entry(entry, stack.shape[1:])]})
    return marks.mask(0, (slice(0, height), slice(0, width)))


def _day(when: datetime) -> str:
    day = when.astimezone().date()
    days = (datetime.now().astimezone().date() - day).days
    return {0: "today", 1: "yesterday"}.get(days, f"{day:%d %B %Y}")
