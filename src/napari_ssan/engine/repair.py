"""The main road: marks in, patches out, section by section and tile by tile."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from threading import Event as Flag
from typing import Any

import numpy.typing as npt

from napari_ssan.engine.methods import Classical, Method, make_method
from napari_ssan.engine.plan import Job, Survey, plan
from napari_ssan.engine.repaired import Patch, PatchDone, RepairedStack, Slot
from napari_ssan.engine.synthesis import JobSynthesis, with_rim
from napari_ssan.engine.tiles import TileGrid
from napari_ssan.errors import Cancelled
from napari_ssan.events import Event, Notice, Progress
from napari_ssan.stack.alignment import LONGEST_SHIFT, SPLINE
from napari_ssan.stack.marks import Marks, as_marks
from napari_ssan.stack.sections import SliceStack

Report = Callable[[Event | PatchDone], object]


def repair(
    stack: SliceStack | Any,
    defects: Marks | Iterable[int] | Mapping[int, npt.NDArray[Any]],
    model: str | Path = "ssan-fidelity",
    device: str = "auto",
    progress: Report | None = None,
    cancel: Flag | None = None,
    *,
    method: str = "ssan",
    match: str = "auto",
    views: int | None = None,
    z_axis: int | None = None,
    scratch: Path | None = None,
) -> RepairedStack:
    """Repair broken sections of a stack.

    Parameters
    ----------
    stack : array-like or SliceStack
        Three axes, grey; numpy, dask or zarr, or a multiscale list of them.
        Never changed.
    defects : Marks, iterable of int, or mapping of int to mask
        What is broken: sections counting from 0, or masks (height, width) of
        the broken pixels by section, or both and insertions as
        :class:`Marks`.
    model : str or Path
        Name of a bundled model or of one of the user's own, or a ``.safetensors`` file.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    progress : callable, optional
        Called with a :class:`~napari_ssan.events.Progress` after every
        tile, a ``PatchDone`` after every repair, and a ``Notice`` where there is
        something to know.
    cancel : threading.Event, optional
        Set it to stop at the next tile.
    method : {"ssan", "copy", "average", "registered", "ilk", "tvl1"}
        The network, or one of the baselines.
    match : {"auto", "mean", "histogram"}
        Fit the result to mean and contrast of the neighbours, or by histogram
        specification to their whole distribution; ``auto`` is the model's own way.
    views : {1, 2, 4, 8}, optional
        How many mirrored and turned views the network averages over: closer to the
        real section, smoother, and as many times slower. Default is the model's own.
    z_axis : int, optional
        Along which axis the sections lie; default the third from last.
    scratch : Path, optional
        An existing folder for the synthesized pixels, which then take no
        memory; it must outlive the result.

    Returns
    -------
    RepairedStack
        Reads like an array, in the dtype and axes of `stack`; its
        ``expected_error`` says how wrong each pixel is likely to be.

    Raises
    ------
    BadInput
        If the stack cannot be repaired as asked; the message says why.
    Cancelled
        If `cancel` was set.
    """
    report: Report = progress or (lambda event: None)
    source = stack if isinstance(stack, SliceStack) else SliceStack(stack, z_axis)
    how = make_method(method, str(model), device, report, match, views)
    repaired = RepairedStack(source)
    for patch in patches(
        source, as_marks(defects, source.shape[1:]), how, report, cancel, scratch, with_error=True
    ):
        repaired.add(patch)
    return repaired


def patches(
    stack: SliceStack,
    defects: Marks,
    method: Method,
    report: Report,
    cancel: Flag | None = None,
    scratch: Path | None = None,
    only: Container[Slot] | None = None,
    *,
    with_error: bool = False,
) -> Iterator[Patch]:
    """Synthesize what is marked, one patch after the other.

    Parameters are those of :func:`repair`; every patch is also reported. With
    `only`, all marks are planned with, but these sections alone are synthesized.
    With `with_error`, the error of every pixel is estimated, too, except where a
    single neighbour is copied: then there is nothing to estimate it from.
    """
    # A tile sees so far, and lies so far off where its neighbour has shifted.
    survey = Survey(stack, defects, method.tile + LONGEST_SHIFT + SPLINE)
    jobs, warnings = plan(survey)
    jobs = [job for job in jobs if only is None or job.slot in only]
    for text in warnings:
        report(Notice(text))
    shape = stack.shape[1:]
    tile = method.tile
    if isinstance(method, Classical):  # a network's attention sees its whole tile, always
        tile = max(min(tile, max(shape)), 2 * method.overlap)
    grid = TileGrid(shape, tile, method.overlap)
    total = sum(grid.count(with_rim(job.window(shape), shape)) for job in jobs)
    begin, done = time.monotonic(), itertools.count(1)
    for job in jobs:

        def tick(job: Job = job) -> None:
            number = next(done)
            passed = time.monotonic() - begin
            report(Progress(number, total, job.slot[0], passed / number * (total - number)))
            if cancel is not None and cancel.is_set():
                raise Cancelled

        patch = JobSynthesis(survey, job, method, grid, tick, scratch, with_error).run()
        report(PatchDone(patch))
        yield patch
