"""The main road: marks in, patches out, section by section and tile by tile.

:func:`patches` yields all there is to tell, each item once: events as work goes on, patches as
they are finished. Whoever wants to stop stops asking. What the next job needs is read meanwhile,
one job ahead and no more, or not before its turn. :func:`repair` is for those who rather give a
function that is called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.correction import TILING as CORRECTION
from napari_ssan.engine.correction import correct
from napari_ssan.engine.inputs import Inputs, gather
from napari_ssan.engine.methods import LessMemory, Method, make_method
from napari_ssan.engine.plan import plan
from napari_ssan.engine.repaired import Patch, RepairedStack, Slot
from napari_ssan.engine.survey import Survey
from napari_ssan.engine.synthesis import TileDone, synthesize
from napari_ssan.errors import Cancelled, memory_in_words
from napari_ssan.events import Event, Notice, Progress
from napari_ssan.stack.alignment import LONGEST_SHIFT, SPLINE
from napari_ssan.stack.marks import Marks, as_marks
from napari_ssan.stack.region import as_treatment
from napari_ssan.stack.sections import SliceStack


@memory_in_words()
def repair(
    stack: SliceStack | Any,
    defects: Marks | Iterable[int] | Mapping[int, npt.NDArray[Any]],
    model: str | Path = "ssan-fidelity",
    device: str = "auto",
    progress: Callable[[Event | Patch], object] | None = None,
    cancel: Flag | None = None,
    *,
    method: str = "ssan",
    match: str = "auto",
    views: int | None = None,
    treatment: str | None = None,
    z_axis: int | None = None,
    scratch: Path | None = None,
) -> RepairedStack:
    """Repair broken sections of a stack: synthesize what is marked, or correct it.

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
        Called with a :class:`~napari_ssan.events.Progress` after every tile, with each
        :class:`~napari_ssan.engine.repaired.Patch` once it is part of the result, and with
        a :class:`~napari_ssan.events.Notice` where there is something to know.
    cancel : threading.Event, optional
        Set it to stop; it is looked at after every tile.
    method : {"ssan", "copy", "average", "registered", "ilk", "tvl1"}
        The network, or one of the baselines.
    match : {"auto", "mean", "histogram"}
        Fit the result to mean and contrast of the neighbours, or by histogram
        specification to their whole distribution; ``auto`` is the model's own way.
    views : {1, 2, 4, 8}, optional
        How many mirrored and turned views the network averages over: closer to the
        real section, smoother, and as many times slower. Default is 1.
    treatment : {"synthesize", "correct"}, optional
        What becomes of all marked pixels: they are made from the neighbours, or kept and
        brought to the neighbours' brightness and contrast. By default as each mark says.
        Inserted sections are always synthesized.
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
        If the stack cannot be repaired as asked, or memory is full; the message says why.
    Cancelled
        If `cancel` was set.
    """
    source = stack if isinstance(stack, SliceStack) else SliceStack(stack, z_axis)
    marks = as_marks(defects, source.shape[1:])
    if treatment is not None:
        marks = marks.copy()
        marks.treat({*marks.whole, *marks.regions}, as_treatment(treatment))
    how = make_method(method, str(model), device, match, views)
    repaired = RepairedStack(source)
    for item in patches(source, marks, how, scratch=scratch, with_error=True):
        if isinstance(item, Patch):
            repaired.add(item)
        if progress is not None:
            progress(item)
        if cancel is not None and cancel.is_set() and isinstance(item, Progress):
            raise Cancelled
    return repaired


def patches(
    stack: SliceStack,
    marks: Marks,
    method: Method,
    *,
    only: Container[Slot] | None = None,
    scratch: Path | None = None,
    with_error: bool = False,
    ahead: bool = True,
) -> Iterator[Event | Patch]:
    """Repair what is marked, one patch after the other; close the generator to cancel.

    Parameters and errors are those of :func:`repair`. With `only`, no marked pixel is
    used, but these sections alone are repaired. With `with_error`, the error of every pixel is
    estimated, too, except where a single neighbour is copied: that tells nothing of it. Without
    `ahead`, the next job is not read meanwhile, so that many jobs take no more memory than one.

    Yields
    ------
    Progress, Notice or Patch
        After every tile, where there is something to know, and after the last tile of a
        section or region. As a :class:`~napari_ssan.engine.methods.LessMemory`, a notice has
        the method that goes on.
    """
    # A tile sees so far, and lies so far off where its neighbour has shifted.
    survey = Survey(stack, marks, method.tiling.reach + LONGEST_SHIFT + SPLINE)
    jobs, warnings = plan(survey, only)
    yield from map(Notice, warnings)
    grids = [
        job.grid(CORRECTION if job.treatment == "correct" else method.tiling, stack.shape[1:])
        for job in jobs
    ]
    # Those of a copy take no time to speak of, so they do not count.
    work = [
        grid.pixels if len(job.neighbours) > 1 else 0 for job, grid in zip(jobs, grids, strict=True)
    ]
    total, all_pixels = sum(map(len, grids)), sum(work)
    begin, done, pixels = time.monotonic(), 0, 0
    with ThreadPoolExecutor(1) as reader:

        def begun(number: int) -> Future[Inputs] | None:
            """Inputs of a job, which are read and registered while the job before it is made."""
            if number == len(jobs) or jobs[number].treatment == "correct":
                return None
            return reader.submit(gather, survey, jobs[number], grids[number], scratch)

        coming = begun(0)
        under: Patch | None = None
        for number, (job, grid, own) in enumerate(zip(jobs, grids, work, strict=True)):
            steps: Iterator[TileDone | LessMemory | Patch]
            if coming is None:
                steps = correct(survey, job, grid, scratch)
            else:  # named, inputs would be kept for one job more: too large for a disk
                steps = synthesize(
                    _fitted_to(under, coming.result()), method,
                    with_error=with_error, scratch=scratch,
                )  # fmt: skip
            coming = begun(number + 1) if ahead else None
            for item in steps:
                if isinstance(item, TileDone):
                    done, pixels = done + 1, pixels + own // len(grid)
                    passed = time.monotonic() - begin
                    left = passed / pixels * (all_pixels - pixels) if pixels else None
                    yield Progress(done, total, job.slot[0], left, pixels)
                    continue
                if isinstance(item, LessMemory):
                    method = item.method
                if isinstance(item, Patch) and item.record.corrected and item.mask is None:
                    under = item
                yield item
            if not ahead:
                coming = begun(number + 1)


def _fitted_to(under: Patch | None, inputs: Inputs) -> Inputs:
    """Inputs of a region, with the pixels of its section as they are corrected."""
    if under is None or under.slot != inputs.job.slot:
        return inputs
    return replace(inputs, own=np.array(under.pixels[inputs.grid.window]))
