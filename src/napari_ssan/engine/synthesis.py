"""From a job to a patch: tiles are synthesized, blended, matched, and fitted to their place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.blending import fit_to_rim
from napari_ssan.engine.expected_error import summarize
from napari_ssan.engine.methods import Method
from napari_ssan.engine.plan import Job, Survey, marked_share
from napari_ssan.engine.provenance import ErrorSummary, SyntheticSection
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.stored import StoredArray, buffer, store
from napari_ssan.engine.tiles import BandBlender, TileGrid
from napari_ssan.stack.alignment import field_of
from napari_ssan.stack.intensity import (
    QUANTILES,
    SAMPLE,
    SPAN,
    Float,
    Intensity,
    specify,
    to_dtype,
)
from napari_ssan.stack.region import Region, packed
from napari_ssan.stack.registration import (
    HERE,
    Placement,
    find_placement,
    halfway,
    read_placed,
)
from napari_ssan.stack.sections import Array, Window

#: Intensities of float64 may be larger, but a map of errors has float32.
LARGEST_ERROR = float(np.finfo(np.float32).max)


class JobSynthesis:
    """One job on its way to a patch.

    Parameters
    ----------
    survey : Survey
        The stack and its marks.
    job : Job
        What to synthesize.
    method : Method
        How.
    grid : TileGrid
        Tiles of the section.
    tick : callable
        Called after every tile; it may raise.
    scratch : Path or None
        Folder for the pixels; without one they stay in memory.
    with_error : bool
        Whether to estimate the error of every pixel, too.
    """

    def __init__(
        self,
        survey: Survey,
        job: Job,
        method: Method,
        grid: TileGrid,
        tick: Callable[[], None],
        scratch: Path | None,
        with_error: bool,
    ) -> None:
        self.survey, self.stack, self.job = survey, survey.stack, job
        self.method, self.grid, self.tick, self.scratch = method, grid, tick, scratch
        # A region is synthesized with the good pixels that touch it, to be compared with them.
        self.window = with_rim(job.window(grid.shape), grid.shape)
        # A single neighbour is copied: both sides are the same.
        self.copied = len(job.neighbours) == 1
        self.sections = job.neighbours * 2 if self.copied else job.neighbours
        self.with_error = with_error and not self.copied
        self.intensities = [survey.intensity(z) for z in self.sections]
        self.placements = self._placements()

    def run(self) -> Patch:
        """Synthesize, match, fit, and say where it comes from."""
        unit = self._buffer(np.dtype(np.float32))
        error = self._buffer(np.dtype(np.float32)) if self.with_error else None
        wanted = self.intensities[0].blend(self.intensities[1], self.job.position)
        for rows, made in self._bands():
            part = slice(rows.start - self.window[0].start, rows.stop - self.window[0].start)
            unit[part] = made[0]
            if error is not None:
                grey = made[1].astype(np.float64) * (SPAN * wanted.std)
                error[part] = np.minimum(grey, LARGEST_ERROR)
        own = self._quantiles(unit)
        if self.job.region is None:
            pixels = self._buffer(self.stack.dtype)
            step = max(1, SAMPLE // unit.shape[1])
            for top in range(0, len(unit), step):
                part = slice(top, top + step)
                pixels[part] = to_dtype(self._grey(unit[part], own, wanted), self.stack.dtype)
        else:
            pixels = self._fitted(self._grey(unit, own, wanted), self.job.region)
            error = None if error is None else error[self._inside(self.job.region)]
        window = self.job.window(self.grid.shape)
        mask = None if self.job.region is None else self.job.region.mask
        top, left = window[0].start, window[1].start
        kept = self._kept(pixels, top, left)
        if error is None:
            return Patch(self.job.slot, top, left, kept, mask, self._record(None))
        record = self._record(summarize(error, mask, top, left, wanted.std))
        errors = self._kept(error, top, left, "error-")
        return Patch(self.job.slot, top, left, kept, mask, record, errors)

    def _record(self, error: ErrorSummary | None) -> SyntheticSection:
        job = self.job
        model = None if self.copied else self.method.model
        return SyntheticSection(
            section=job.slot[0],
            kind=job.kind,
            share=marked_share(job, self.grid.shape),
            region=None if job.region is None else packed(job.region),
            neighbours=job.neighbours,
            position=job.position,
            method="copy" if self.copied else self.method.name,
            model=model.name if model else None,
            model_sha256=model.sha256 if model else None,
            match=None if self.copied else self.method.match,
            views=self.method.views if model else None,
            error=error,
        )

    def _kept(self, values: Array, top: int, left: int, what: str = "") -> Array | StoredArray:
        """Put pixels into the scratch folder, if there is one."""
        if self.scratch is None:
            return values
        z, number = self.job.slot
        name = f"{what}{z}-{number}-{top}-{left}-{time.time_ns():x}.npy"
        return store(self.scratch / name, values)

    def _placements(self) -> tuple[Placement, Placement]:
        """Where both neighbours have what the section has, or would have."""
        before, after = self.sections
        if self.job.region is not None:
            own = self.job.slot[0]
            field = field_of(self.grid.shape, self.window)
            if not np.isfinite(self.stack.read(own, field)[self._unmarked(own, field)]).all():
                return HERE, HERE
            first, second = (
                find_placement(self.stack, own, z, self._unmarked, self.window)
                for z in (before, after)
            )
            return first, second
        if self.copied:
            return HERE, HERE
        placement = find_placement(self.stack, before, after, self._unmarked)
        return halfway(placement, self.job.position)

    def _unmarked(self, z: int, window: Window) -> npt.NDArray[np.bool_]:
        marked = self.survey.defects.mask(z, window)
        return np.ones([p.stop - p.start for p in window], bool) if marked is None else ~marked

    def _bands(self) -> Iterator[tuple[slice, list[Float]]]:
        """Rows of the window, and those of their errors, blended, on the network's scale."""
        blenders = [BandBlender(self.grid, self.window) for _ in range(1 + self.with_error)]
        columns = blenders[0].columns
        tops = self.grid.origins(0, self.window[0])
        lefts = self.grid.origins(1, self.window[1])
        size = self.grid.tile
        for top in tops:
            rows = slice(top, min(top + size, self.grid.shape[0]))
            both = [
                intensity.normalize(read_placed(self.stack, z, (rows, columns), placement))
                for z, intensity, placement in zip(
                    self.sections, self.intensities, self.placements, strict=True
                )
            ]
            for start in range(0, len(lefts), self.method.batch):
                batch = lefts[start : start + self.method.batch]
                tiles = [
                    np.stack([self._cut(band, left - columns.start) for left in batch])
                    for band in both
                ]
                made = self._between(tiles[0], tiles[1])
                for number, left in enumerate(batch):
                    for blender, values in zip(blenders, made, strict=True):
                        blender.add(left, values[number])
                    self.tick()
            finished = [blender.finish_row(top, last=top == tops[-1]) for blender in blenders]
            for bands in zip(*finished, strict=True):
                yield bands[0][0], [values for _, values in bands]

    def _between(self, previous: Float, following: Float) -> tuple[Float, ...]:
        """The section's tiles and, if they are estimated, their errors."""
        if self.copied:
            return (previous,)
        if self.with_error:
            return self.method.with_error(previous, following, self.job.position)
        return (self.method.synthesize(previous, following, self.job.position),)

    def _cut(self, band: Float, left: int) -> Float:
        return self.grid.pad(band[:, left : left + self.grid.tile])

    def _grey(
        self, unit: Float, own: npt.NDArray[np.float64], wanted: Intensity
    ) -> npt.NDArray[np.float64]:
        """Network's scale to grey values like the neighbours'."""
        if self.method.match == "histogram":
            grey = specify(unit.astype(np.float64), own, wanted.quantiles)
        else:
            grey = wanted.denormalize(unit)
        return np.clip(grey, wanted.minimum, wanted.maximum)

    def _quantiles(self, unit: Float) -> npt.NDArray[np.float64]:
        step = max(1, unit.size // SAMPLE)
        return np.quantile(unit.reshape(-1)[::step].astype(np.float64), QUANTILES)

    def _fitted(self, patch: npt.NDArray[np.float64], region: Region) -> Array:
        """Fit a region to the good pixels of its own section."""
        surroundings = self.stack.read(self.job.slot[0], self.window).astype(np.float64)
        good = self._unmarked(self.job.slot[0], self.window) & np.isfinite(surroundings)
        fitted = fit_to_rim(patch, surroundings, good)
        return to_dtype(fitted[self._inside(region)], self.stack.dtype)

    def _inside(self, region: Region) -> Window:
        """Where a region lies in the window."""
        top, left = (part.start for part in self.window)
        rows, columns = region.window
        return (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )

    def _buffer(self, dtype: np.dtype[Any]) -> Array:
        shape = tuple(part.stop - part.start for part in self.window)
        return buffer(shape, dtype, self.scratch)


def with_rim(window: Window, shape: tuple[int, int]) -> Window:
    """A window and the pixels that touch it."""
    rows, columns = (
        slice(max(part.start - 1, 0), min(part.stop + 1, length))
        for part, length in zip(window, shape, strict=True)
    )
    return rows, columns
