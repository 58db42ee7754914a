"""Hide good sections, synthesize them from their neighbours, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any

from napari_ssan.engine.methods import LessMemory, Method
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch
from napari_ssan.events import Event
from napari_ssan.metrics.fidelity import interpolation_error, psnr, ssim
from napari_ssan.metrics.texture import (
    band_ratios,
    hf_ratio,
    mean_distance,
    psnr_lowpass,
    ssim_lowpass,
    std_distance,
)
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import Array, SliceStack

#: What is measured on any section, by name.
METRICS: dict[str, Callable[[Array, Array], Any]] = {
    "psnr": psnr,
    "ssim": ssim,
    "ie": interpolation_error,
    "psnr_lowpass": psnr_lowpass,
    "ssim_lowpass": ssim_lowpass,
    "hf_ratio": hf_ratio,
    "bands": band_ratios,
    "mean_distance": mean_distance,
    "std_distance": std_distance,
}

#: Is given a section's number, the real and the synthesized section; returns figures by name.
Judge = Callable[[int, Array, Array], dict[str, Any]]


def compare(z: int, real: Array, made: Array) -> dict[str, Any]:
    """All of :data:`METRICS`."""
    return {name: metric(real, made) for name, metric in METRICS.items()}


def leave_one_out(
    stack: SliceStack,
    sections: Iterable[int],
    method: Method,
    *,
    gap: int = 1,
    judge: Judge = compare,
    only: Container[int] | None = None,
) -> Iterator[Event | dict[str, Any]]:
    """Judge a method on whole sections, each hidden in turn.

    Parameters
    ----------
    stack : SliceStack
        Real sections.
    sections : iterable of int
        Those to hide; each needs a good section on either side.
    method : Method
        How to synthesize them, by the same road as a repair.
    gap : int
        Each of `sections` is the first of so many adjacent ones that are hidden
        together, and every one of them is judged at its position.
    judge : callable
        What to measure.
    only : container of int, optional
        Of those that are hidden, synthesize and judge these; one at least in each gap.

    Yields
    ------
    Event
        What :func:`~napari_ssan.engine.repair.patches` has to say.
    dict
        ``section``, what `judge` measures, and ``seconds`` of the synthesis.
    """
    for first in sections:
        begin = time.perf_counter()
        hidden = Marks(set(range(first, first + gap)))
        wanted = {(z, 0) for z in hidden.whole if only is None or z in only}
        made: list[Patch] = []
        for item in patches(stack, hidden, method, only=wanted):
            if isinstance(item, Patch):
                made.append(item)
                continue
            if isinstance(item, LessMemory):
                method = item.method
            yield item
        seconds = (time.perf_counter() - begin) / len(made)
        for patch in made:
            z = patch.slot[0]
            figures = judge(z, stack.read(z), patch.pixels[:])
            yield {"section": z} | figures | {"seconds": seconds}
