"""From marks to jobs: which section, which treatment, which good neighbours, where between them.

Easy to get wrong: a mark that is corrected keeps its pixels, but it is marked like any other, so
it serves no other section as a neighbour. In a section that is corrected as a whole, regions are
synthesized; they are fitted to its corrected pixels.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_ssan.engine.repaired import Slot
from napari_ssan.engine.survey import Survey
from napari_ssan.engine.tiles import TileGrid, Tiling
from napari_ssan.errors import BadInput
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region, Treatment
from napari_ssan.stack.sections import Window, touch

#: Sections smaller than this along an axis are refused.
SMALLEST = 32
#: Gaps with more sections than the network was trained for are still filled, with a warning.
LONGEST_GAP = 3
#: Rows that are looked at once.
BAND_ROWS = 1024
#: A section is corrected if at least this share of it is not synthesized.
LEAST = 0.01
#: Regions nearer than this to each other are repaired as one, in pixels.
NEAR = 16


@dataclass(frozen=True)
class Job:
    """One piece of work: a whole section or a region of it.

    Attributes
    ----------
    slot : (int, int)
        The section.
    kind : {"whole", "region", "inserted"}
        What is repaired of it.
    neighbours : tuple of int
        One or two sections of the source, in order.
    position : float
        Where the section lies between them, 0 to 1.
    distances : tuple of int
        How many sections away each of them is, in the repaired stack.
    region : Region or None
        The marked pixels; None for the whole section.
    treatment : {"synthesize", "correct"}
        Whether pixels are made from the neighbours, or kept and matched to them.
    """

    slot: Slot
    kind: Literal["whole", "region", "inserted"]
    neighbours: tuple[int, ...]
    position: float
    distances: tuple[int, ...]
    region: Region | None = None
    treatment: Treatment = "synthesize"

    def window(self, shape: tuple[int, int]) -> Window:
        """The part of a section of `shape` that is repaired."""
        if self.region is not None:
            return self.region.window
        return slice(0, shape[0]), slice(0, shape[1])

    def grid(self, tiling: Tiling, shape: tuple[int, int]) -> TileGrid:
        """Tiles over what is repaired; a region that is synthesized is fitted to what is around."""
        rimmed = self.treatment == "synthesize"
        window = self.rimmed(shape) if rimmed else self.window(shape)
        return tiling.grid(shape, window, self.region)

    def rimmed(self, shape: tuple[int, int]) -> Window:
        """:meth:`window` with the pixels that touch it: a region is fitted to them."""
        rows, columns = (
            slice(max(part.start - 1, 0), min(part.stop + 1, length))
            for part, length in zip(self.window(shape), shape, strict=True)
        )
        return rows, columns


def plan(survey: Survey, only: Container[Slot] | None = None) -> tuple[list[Job], list[str]]:
    """Jobs for the marks of a stack, all planned from the original sections.

    Parameters
    ----------
    survey : Survey
        Stack and marks.
    only : container of (int, int), optional
        Sections to plan; the others are neither read nor warned of. Default is all.

    Returns
    -------
    jobs : list of Job
        In order of their sections.
    warnings : list of str
        What the user should know: neighbours passed over, one-sided repairs, long gaps.

    Raises
    ------
    BadInput
        If the marks do not fit the stack, or no good section is left.
    """
    stack, marks = survey.stack, survey.marks
    marks.check(stack.shape)
    if min(stack.shape[1:]) < SMALLEST:
        raise BadInput(
            f"The sections have {stack.shape[1]} x {stack.shape[2]} pixels; "
            f"at least {SMALLEST} x {SMALLEST} are needed."
        )
    slots = [
        (z, number) for z in range(len(stack)) for number in range(1 + marks.missing.get(z, 0))
    ]
    place = {slot: i for i, slot in enumerate(slots)}
    jobs: list[Job] = []
    warnings: dict[str, None] = {}
    for slot in slots:
        if only is not None and slot not in only:
            continue
        z, inserted = slot
        if inserted:
            jobs.append(_job(survey, place, slot, "inserted", None, "synthesize", warnings))
            continue
        for region, treatment in tasks(marks, z):
            kind: Literal["whole", "region"] = "region" if region else "whole"
            jobs.append(_job(survey, place, slot, kind, region, treatment, warnings))
    for job in jobs:
        if job.treatment == "correct":
            _check_own(survey, job)
    return jobs, list(warnings)


def tasks(marks: Marks, z: int) -> list[tuple[Region | None, Treatment]]:
    """What is repaired of a marked section, and how: regions, or None for all of it.

    In order: what is synthesized lies over what is corrected.
    """
    regions = sorted(merge(marks.regions.get(z, [])), key=lambda r: r.treatment)
    if z not in marks.whole:
        return [(region, region.treatment) for region in regions]
    if z not in marks.corrected:
        return [(None, "synthesize")]
    made: list[tuple[Region | None, Treatment]] = [
        (region, "synthesize") for region in regions if region.treatment == "synthesize"
    ]
    return [(None, "correct"), *made]


def _check_own(survey: Survey, job: Job) -> None:
    """Refuse to correct pixels that hold no image."""
    stack, z, (rows, columns) = survey.stack, job.slot[0], job.window(survey.stack.shape[1:])
    advice = "synthesize it instead"
    if z in stack.incomplete:
        raise BadInput(f"Slice {z} lacks pixels in its file, so it cannot be corrected; {advice}.")
    low, high, seen = np.inf, -np.inf, 0
    for top in range(rows.start, rows.stop, BAND_ROWS):
        part = slice(top, min(top + BAND_ROWS, rows.stop)), columns
        band = stack.read(z, part)
        if job.region is None:
            band = band[survey.unmarked(z, part)]
            seen += band.size
            if not band.size:
                continue
        if not np.isfinite(band).all():
            raise BadInput(
                f"Slice {z} has pixels that are not finite (NaN or infinite), so it cannot be "
                f"corrected; {advice}."
            )
        low, high = min(low, float(band.min())), max(high, float(band.max()))
    if job.region is None and seen < LEAST * np.prod(stack.shape[1:]):
        raise BadInput(
            f"The regions of slice {z} leave less than {LEAST:.0%} of it to be corrected; {advice}."
        )
    if low >= high:
        raise BadInput(f"Slice {z} is constant where it is marked: there is nothing to correct; "
                       f"{advice}.")  # fmt: skip


def merge(regions: list[Region]) -> list[Region]:
    """Regions with those of a treatment that touch, or nearly so, made one."""
    merged: list[Region] = []
    for region in regions:
        near = [
            other for other in merged
            if other.treatment == region.treatment and touch(other.window, region.window, NEAR)
        ]  # fmt: skip
        for other in near:
            merged.remove(other)
            region = region.union(other)
        merged.append(region)
    return merged if len(merged) == len(regions) else merge(merged)


def _job(
    survey: Survey,
    place: dict[Slot, int],
    slot: Slot,
    kind: Literal["whole", "region", "inserted"],
    region: Region | None,
    treatment: Treatment,
    warnings: dict[str, None],
) -> Job:
    window = region.window if region else None
    z, inserted = slot
    before = range(z if inserted else z - 1, -1, -1)
    after = range(z + 1, len(survey.stack))
    found: list[int] = []
    for candidates in (before, after):
        for candidate in candidates:
            objection = survey.objection(candidate, window)
            if objection is None:
                found.append(candidate)
                break
            if candidate not in survey.marks.whole:
                warnings[f"Slice {candidate} {objection}, so no repair uses it here."] = None
    if not found:
        raise BadInput(
            f"Slice {z} has no good slice on either side: all others are marked, constant, "
            "not finite or incomplete."
        )
    if len(found) == 1:
        done = "corrected to match" if treatment == "correct" else "copied from"
        warnings[
            f"Slice {z} has a good slice on one side only, "
            f"so its marked pixels are {done} slice {found[0]}."
        ] = None
        away = abs(place[found[0], 0] - place[slot])
        return Job(slot, kind, (found[0],), 0.0, (away,), region, treatment)
    first, last, own = place[found[0], 0], place[found[1], 0], place[slot]
    if last - first - 1 > LONGEST_GAP:
        warnings[
            f"Slices {found[0]} and {found[1]} are {last - first} sections apart: "
            "a repair between them is mostly a guess."
        ] = None
    neighbours, position = (found[0], found[1]), (own - first) / (last - first)
    return Job(slot, kind, neighbours, position, (own - first, last - own), region, treatment)


def marked_share(job: Job, shape: tuple[int, int]) -> float:
    """Share of a section's pixels that a job replaces, 0 to 1."""
    return 1.0 if job.region is None else job.region.pixels / float(np.prod(shape))
