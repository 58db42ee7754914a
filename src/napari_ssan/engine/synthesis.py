"""From inputs to a patch: tiles are synthesized, blended, matched, and fitted to their place.

Reads no stack: all that it is made from is in :class:`~napari_ssan.engine.inputs.Inputs`.
Nothing happens before the first item is asked for, and nothing after the last one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.blending import membrane, rim_of
from napari_ssan.engine.expected_error import gap_factor, summarize
from napari_ssan.engine.inputs import Inputs
from napari_ssan.engine.methods import LessMemory, MemoryFull, Method, Pending
from napari_ssan.engine.plan import Job, marked_share
from napari_ssan.engine.provenance import ErrorSummary, SyntheticSection
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.stored import StoredArray, buffer, release, store
from napari_ssan.engine.tiles import Blender
from napari_ssan.errors import BadInput
from napari_ssan.stack.intensity import (
    COUNTED,
    QUANTILES,
    SAMPLE,
    SPAN,
    Float,
    Intensity,
    specify,
    to_dtype,
)
from napari_ssan.stack.region import Mask, packed
from napari_ssan.stack.sections import Array, Window

#: Intensities of float64 may be larger, but a map of errors has float32.
LARGEST_ERROR = float(np.finfo(np.float32).max)
FLOAT32: np.dtype[Any] = np.dtype(np.float32)


@dataclass(frozen=True)
class TileDone:
    """A tile is synthesized."""


def synthesize(
    inputs: Inputs, method: Method, *, with_error: bool = False, scratch: Path | None = None
) -> Iterator[TileDone | LessMemory | Patch]:
    """Synthesize, match, fit, and say where it comes from.

    With `with_error`, the error of every pixel is estimated, too; of a copy there is none.
    Pixels go to the folder `scratch`, if there is one, else they stay in memory; an ``OSError``
    says that there is no room.

    Yields
    ------
    TileDone, LessMemory or Patch
        After every tile; where the method could not go on, with the one that does; at the end.

    Raises
    ------
    BadInput
        If a tile is not finite.
    """
    job, window = inputs.job, inputs.grid.window
    layers = 1 + (with_error and len(inputs.neighbours) == 2)
    shape = tuple(part.stop - part.start for part in window)
    unit, *errors = (buffer(shape, FLOAT32, scratch) for _ in range(layers))
    first, last = inputs.neighbours[0].intensity, inputs.neighbours[-1].intensity
    wanted = first.blend(last, job.position)
    yield from _tiles(inputs, method, [unit, *errors])
    pixels = _pixels(inputs, method.match, unit, wanted, scratch)
    mask = None if job.region is None else job.region.mask
    inner = job.window(inputs.grid.shape)
    top, left = inner[0].start, inner[1].start
    laid = kept(pixels, scratch, job)
    known = estimate = None
    scale = SPAN * wanted.std * gap_factor(job.distances)
    for error in errors:
        for part in _strips(shape):
            grey = error[part].astype(np.float64) * scale
            error[part] = np.minimum(grey, LARGEST_ERROR)
            release(error)
        error = error[_within(inner, window)]
        known = summarize(error, mask, top, left, wanted.std)
        estimate = kept(error, scratch, job, "error-")
    yield Patch(job.slot, top, left, laid, mask, _record(inputs, method, known), estimate)


def _tiles(inputs: Inputs, method: Method, layers: list[Float]) -> Iterator[TileDone | LessMemory]:
    """Fill the section, zeros so far, and, if there are two layers, its errors.

    All are on the network's scale.
    """
    grid = inputs.grid
    blenders = [Blender(grid, layer) for layer in layers]
    begun: deque[tuple[int, tuple[int, ...], Pending]] = deque()

    def blended() -> Iterator[TileDone]:
        """Wait for the oldest batch that was begun, and blend it."""
        number, batch, pending = begun.popleft()
        made = pending()
        if not all(np.isfinite(values).all() for values in made):
            raise BadInput(
                f"The synthesis of slice {inputs.job.slot[0]} is infinite or NaN in part; "
                "take another model or method, or mark slices with extreme values."
            )
        for place, left in enumerate(batch):
            for blender, values in zip(blenders, made, strict=True):
                blender.add(grid.tops[number], left, values[place])
            yield TileDone()
        if batch[-1] == grid.rows[number][-1]:
            for blender in blenders:
                blender.finish_row(number)

    for number, lefts in enumerate(grid.rows):
        if not lefts:
            while begun:  # their rows of tiles come first
                yield from blended()
            for blender in blenders:
                blender.finish_row(number)
        start = 0
        while start < len(lefts):
            batch = lefts[start : start + method.batch]
            tiles = _batch(inputs, number, start, len(batch))
            try:
                pending = _begun(method, tiles, inputs.job.position, len(layers))
            except MemoryFull:
                smaller = method.smaller()
                yield LessMemory(_going_on(method, smaller), smaller)
                method = smaller
                continue
            begun.append((number, batch, pending))
            while len(begun) > method.ahead:
                yield from blended()
            start += len(batch)
    while begun:
        yield from blended()


def _batch(inputs: Inputs, number: int, start: int, count: int) -> list[Float]:
    """So many tiles of a row of tiles from each neighbour, on the network's scale."""
    grid = inputs.grid
    lefts = grid.rows[number][start : start + count]
    parts = [grid.part(grid.tops[number], left) for left in lefts]
    tiles = [
        np.stack([grid.pad(near.unit(number, at, part)) for at, part in enumerate(parts, start)])
        for near in inputs.neighbours
    ]
    for near in inputs.neighbours:
        release(near.tiles[number][start])
    return tiles


def _begun(method: Method, tiles: list[Float], position: float, layers: int) -> Pending:
    """Begin on tiles; a copy is there already, and has no errors."""
    if len(tiles) == 1:
        return lambda: (tiles[0],)
    return method.begin(tiles[0], tiles[-1], position, with_error=layers == 2)


def _going_on(method: Method, smaller: Method) -> str:
    if smaller.batch == method.batch:
        return "The GPU's memory is full even for one tile: work continues on the CPU."
    tiles = f"{smaller.batch} tile{'s' if smaller.batch > 1 else ''}"
    return f"The GPU's memory is full: work continues with {tiles} at a time."


def _pixels(
    inputs: Inputs, match: str, unit: Float, wanted: Intensity, scratch: Path | None
) -> Array:
    """Network's scale to grey values like the neighbours', a region fitted to its rim."""
    own = None
    made = None if inputs.job.region is None else inputs.grid.complete()
    if match == "histogram":
        step = max(1, unit.size // SAMPLE)
        sample = _thinned(unit, step)
        own = np.quantile(sample if made is None else sample[made.ravel()[::step]], QUANTILES)

    def grey(part: Float) -> npt.NDArray[np.float64]:
        if own is not None:
            values = specify(part.astype(np.float64), own, wanted.quantiles)
        else:
            values = wanted.denormalize(part)
        return np.clip(values, wanted.minimum, wanted.maximum)

    if inputs.good is not None and made is not None:
        return _fitted(inputs, unit, grey, ~inputs.good & made, inputs.good & made, scratch)
    pixels = buffer(unit.shape, inputs.dtype, scratch)
    for strip in _strips(unit.shape):
        pixels[strip] = to_dtype(grey(unit[strip]), inputs.dtype)
        release(pixels)
        release(unit)
    return pixels


def _fitted(
    inputs: Inputs,
    unit: Float,
    grey: Callable[[Float], npt.NDArray[np.float64]],
    unknown: Mask,
    known: Mask,
    scratch: Path | None,
) -> Array:
    """The window of a region: own pixels, but unknown ones are made, and fitted to known ones."""
    assert inputs.own is not None  # it is there with what is good of it
    pixels = buffer(unit.shape, inputs.dtype, scratch)
    inside, rim = np.flatnonzero(unknown), rim_of(unknown, known)
    wanted = inputs.own.ravel()[rim].astype(np.float64) - grey(unit.ravel()[rim])
    change = membrane(unknown, rim, wanted)
    for strip in _strips(unit.shape):
        first, last = np.searchsorted(inside, np.multiply((strip.start, strip.stop), unit.shape[1]))
        made = grey(unit[strip][unknown[strip]]) + change[first:last]
        if np.issubdtype(inputs.dtype, np.floating):  # beyond its range lies infinity
            made = made.clip(np.finfo(inputs.dtype).min, np.finfo(inputs.dtype).max)
        pixels[strip] = inputs.own[strip]
        pixels[strip][unknown[strip]] = to_dtype(made, inputs.dtype)
        release(pixels)
        release(unit)
    return pixels[_within(inputs.job.window(inputs.grid.shape), inputs.grid.window)]


def _thinned(unit: Float, step: int) -> npt.NDArray[np.float64]:
    """Every so many pixels, line after line."""
    found = []
    for strip in _strips(unit.shape):
        first = -strip.start * unit.shape[1] % step
        found.append(unit[strip].reshape(-1)[first::step].astype(np.float64))
        release(unit)
    return np.concatenate(found)


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows that are worked on at once: their copies stay in the processor's cache."""
    step = max(1, COUNTED // shape[1])
    for top in range(0, shape[0], step):
        yield slice(top, top + step)


def _record(inputs: Inputs, method: Method, error: ErrorSummary | None) -> SyntheticSection:
    job, copied = inputs.job, len(inputs.neighbours) == 1
    model = None if copied else method.model
    return SyntheticSection(
        section=job.slot[0],
        kind=job.kind,
        share=marked_share(job, inputs.grid.shape),
        region=None if job.region is None else packed(job.region),
        neighbours=job.neighbours,
        position=job.position,
        distance=min(job.distances),
        method="copy" if copied else method.name,
        model=model.name if model else None,
        model_sha256=model.sha256 if model else None,
        match=None if copied else method.match,
        views=method.views if model else None,
        error=error,
    )


def kept(values: Array, scratch: Path | None, job: Job, what: str = "") -> Array | StoredArray:
    """Put a value for every pixel of a job into the scratch folder, if there is one."""
    if scratch is None:
        return values
    place = "" if job.region is None else f"-{job.region.top}-{job.region.left}"
    name = f"{what}{job.slot[0]}-{job.slot[1]}{place}-{time.time_ns():x}.npy"
    return store(scratch / name, values)


def _within(inner: Window, outer: Window) -> Window:
    """A window as a part of a wider one."""
    rows, columns = (
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True)
    )
    return rows, columns
