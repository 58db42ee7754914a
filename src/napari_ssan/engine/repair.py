"""The main road: marks in, patches out, section by section and tile by tile."""

from __future__ import annotations

import itertools
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from threading import Event as Flag
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.blending import fit_to_rim
from napari_ssan.engine.events import Notice, PatchDone, Progress, Report
from napari_ssan.engine.methods import Method, make_method
from napari_ssan.engine.plan import Job, Survey, marked_share, plan
from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repaired import Patch, RepairedStack, Slot
from napari_ssan.engine.stored import buffer, store
from napari_ssan.engine.tiles import BandBlender, TileGrid
from napari_ssan.errors import Cancelled
from napari_ssan.stack.alignment import (
    LONGEST_SHIFT,
    NOWHERE,
    SPLINE,
    Shift,
    field_of,
    find_shift,
    read_shifted,
)
from napari_ssan.stack.defects import Defects, as_defects
from napari_ssan.stack.intensity import QUANTILES, SAMPLE, Float, Intensity, specify, to_dtype
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import Array, SliceStack, Window


def repair(
    stack: SliceStack | Any,
    defects: Defects | Iterable[int] | Mapping[int, npt.NDArray[Any]],
    model: str | Path = "ssan-fidelity",
    device: str = "auto",
    progress: Report | None = None,
    cancel: Flag | None = None,
    *,
    method: str = "ssan",
    match: str = "auto",
    z_axis: int | None = None,
    scratch: Path | None = None,
) -> RepairedStack:
    """Repair broken sections of a stack.

    Parameters
    ----------
    stack : array-like or SliceStack
        Three axes, grey; numpy, dask or zarr, or a multiscale list of them.
        Never changed.
    defects : Defects, iterable of int, or mapping of int to mask
        What is broken: sections counting from 0, or masks (height, width) of
        the broken pixels by section, or both and insertions as
        :class:`Defects`.
    model : str or Path
        A bundled model's name, or a ``.safetensors`` file.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    progress : callable, optional
        Called with a :class:`~napari_ssan.engine.events.Progress` after every
        tile, a ``PatchDone`` after every repair, and a ``Notice`` where there is
        something to know.
    cancel : threading.Event, optional
        Set it to stop at the next tile.
    method : {"ssan", "copy", "average", "ilk", "tvl1"}
        The network, or one of the baselines.
    match : {"auto", "mean", "histogram"}
        Fit the result to mean and contrast of the neighbours, or by histogram
        specification to their whole distribution; ``auto`` is the model's own way.
    z_axis : int, optional
        Along which axis the sections lie; default the third from last.
    scratch : Path, optional
        An existing folder for the synthesized pixels, which then take no
        memory; it must outlive the result.

    Returns
    -------
    RepairedStack
        Reads like an array, in the dtype and axes of `stack`.

    Raises
    ------
    BadInput
        If the stack cannot be repaired as asked; the message says why.
    Cancelled
        If `cancel` was set.
    """
    report: Report = progress or (lambda event: None)
    source = stack if isinstance(stack, SliceStack) else SliceStack(stack, z_axis)
    how = make_method(method, str(model), device, report, match)
    repaired = RepairedStack(source)
    for patch in patches(
        source, as_defects(defects, source.shape[1:]), how, report, cancel, scratch
    ):
        repaired.add(patch)
    return repaired


def patches(
    stack: SliceStack,
    defects: Defects,
    method: Method,
    report: Report,
    cancel: Flag | None = None,
    scratch: Path | None = None,
    only: Container[Slot] | None = None,
) -> Iterator[Patch]:
    """Synthesize what is marked, one patch after the other.

    Parameters are those of :func:`repair`; every patch is also reported. With
    `only`, all marks are planned with, but these sections alone are synthesized.
    """
    # A tile sees so far, and lies so far off where its neighbour has shifted.
    survey = Survey(stack, defects, method.tile + LONGEST_SHIFT + SPLINE)
    jobs, warnings = plan(survey)
    jobs = [job for job in jobs if only is None or job.slot in only]
    for text in warnings:
        report(Notice(text))
    shape = stack.shape[1:]
    grid = TileGrid(shape, method.tile, method.overlap)
    total = sum(grid.count(_with_rim(job.window(shape), shape)) for job in jobs)
    begin, done = time.monotonic(), itertools.count(1)
    for job in jobs:

        def tick(job: Job = job) -> None:
            number = next(done)
            passed = time.monotonic() - begin
            report(Progress(number, total, job.slot[0], passed / number * (total - number)))
            if cancel is not None and cancel.is_set():
                raise Cancelled

        patch = _Synthesis(survey, job, method, grid, tick, scratch).run()
        report(PatchDone(patch))
        yield patch


class _Synthesis:
    """One job on its way to a patch."""

    def __init__(
        self,
        survey: Survey,
        job: Job,
        method: Method,
        grid: TileGrid,
        tick: Any,
        scratch: Path | None,
    ) -> None:
        self.survey, self.stack, self.job = survey, survey.stack, job
        self.method, self.grid, self.tick, self.scratch = method, grid, tick, scratch
        # A region is synthesized with the good pixels that touch it, to be compared with them.
        self.window = _with_rim(job.window(grid.shape), grid.shape)
        # A single neighbour is copied: both sides are the same.
        self.sections = job.neighbours * 2 if len(job.neighbours) == 1 else job.neighbours
        self.intensities = [survey.intensity(z) for z in self.sections]
        self.shifts = self._shifts()

    def run(self) -> Patch:
        """Synthesize, match, fit, and say where it comes from."""
        unit = self._buffer(np.dtype(np.float32))
        for rows, band in self._bands():
            unit[rows.start - self.window[0].start : rows.stop - self.window[0].start] = band
        job = self.job
        wanted = self.intensities[0].blend(self.intensities[1], job.position)
        own = self._quantiles(unit)
        if job.region is None:
            pixels = self._buffer(self.stack.dtype)
            step = max(1, SAMPLE // unit.shape[1])
            for top in range(0, len(unit), step):
                part = slice(top, top + step)
                pixels[part] = to_dtype(self._grey(unit[part], own, wanted), self.stack.dtype)
        else:
            pixels = self._fitted(self._grey(unit, own, wanted), job.region)
        copied = len(job.neighbours) == 1
        model = None if copied else self.method.model
        record = SyntheticSection(
            section=job.slot[0],
            kind=job.kind,
            share=marked_share(job, self.grid.shape),
            neighbours=job.neighbours,
            position=job.position,
            method="copy" if copied else self.method.name,
            model=model.name if model else None,
            model_sha256=model.sha256 if model else None,
        )
        window = job.window(self.grid.shape)
        mask = None if job.region is None else job.region.mask
        top, left = window[0].start, window[1].start
        if self.scratch is not None:
            z, number = job.slot
            name = f"{z}-{number}-{top}-{left}-{time.time_ns():x}.npy"
            return Patch(job.slot, top, left, store(self.scratch / name, pixels), mask, record)
        return Patch(job.slot, top, left, pixels, mask, record)

    def _shifts(self) -> tuple[Shift, Shift]:
        """How both neighbours are shifted to where the section lies or would lie."""
        field = field_of(self.grid.shape, self.window if self.job.region else None)
        views = [self.stack.read(z, field) for z in self.sections]
        valid = [self._unmarked(z, field) for z in self.sections]
        if self.job.region is not None:
            own, good = (
                self.stack.read(self.job.slot[0], field),
                self._unmarked(self.job.slot[0], field),
            )
            if not np.isfinite(own[good]).all():
                return NOWHERE, NOWHERE
            first, second = (
                find_shift(own, view, good, seen) for view, seen in zip(views, valid, strict=True)
            )
            return first, second
        if len(self.job.neighbours) == 1:
            return NOWHERE, NOWHERE
        rows, columns = find_shift(views[0], views[1], valid[0], valid[1])
        share = self.job.position
        return (-share * rows, -share * columns), ((1 - share) * rows, (1 - share) * columns)

    def _unmarked(self, z: int, window: Window) -> npt.NDArray[np.bool_]:
        marked = self.survey.defects.mask(z, window)
        return np.ones([p.stop - p.start for p in window], bool) if marked is None else ~marked

    def _bands(self) -> Iterator[tuple[slice, Float]]:
        """Rows of the window, synthesized and blended, on the network's scale."""
        blender = BandBlender(self.grid, self.window)
        tops = self.grid.origins(0, self.window[0])
        lefts = self.grid.origins(1, self.window[1])
        size = self.grid.tile
        for top in tops:
            rows = slice(top, min(top + size, self.grid.shape[0]))
            both = [
                intensity.normalize(read_shifted(self.stack, z, (rows, blender.columns), offset))
                for z, intensity, offset in zip(
                    self.sections, self.intensities, self.shifts, strict=True
                )
            ]
            for start in range(0, len(lefts), self.method.batch):
                batch = lefts[start : start + self.method.batch]
                tiles = [
                    np.stack([self._cut(band, left - blender.columns.start) for left in batch])
                    for band in both
                ]
                made = self._between(tiles[0], tiles[1])
                for left, values in zip(batch, made, strict=True):
                    blender.add(left, values)
                    self.tick()
            yield from blender.finish_row(top, last=top == tops[-1])

    def _between(self, previous: Float, following: Float) -> Float:
        if len(self.job.neighbours) == 1:
            return previous
        return self.method.synthesize(previous, following, self.job.position)

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
        top, left = (part.start for part in self.window)
        rows, columns = region.window
        inside = (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        return to_dtype(fitted[inside], self.stack.dtype)

    def _buffer(self, dtype: np.dtype[Any]) -> Array:
        shape = tuple(part.stop - part.start for part in self.window)
        return buffer(shape, dtype, self.scratch)


def _with_rim(window: Window, shape: tuple[int, int]) -> Window:
    """A window and the pixels that touch it."""
    rows, columns = (
        slice(max(part.start - 1, 0), min(part.stop + 1, length))
        for part, length in zip(window, shape, strict=True)
    )
    return rows, columns
