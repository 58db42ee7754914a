"""Hide a good section, synthesize it from its neighbours, compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from napari_ssan.engine.events import Report
from napari_ssan.engine.methods import Method
from napari_ssan.engine.repair import patches
from napari_ssan.evaluation.metrics import interpolation_error, psnr, ssim
from napari_ssan.evaluation.style import band_ratios, hf_ratio, psnr_lowpass
from napari_ssan.stack.defects import Defects
from napari_ssan.stack.sections import Array, SliceStack

#: What is measured, by name.
METRICS: dict[str, Callable[[Array, Array], Any]] = {
    "psnr": psnr,
    "ssim": ssim,
    "ie": interpolation_error,
    "psnr_lowpass": psnr_lowpass,
    "hf_ratio": hf_ratio,
    "bands": band_ratios,
}


def leave_one_out(
    stack: SliceStack,
    sections: Iterable[int],
    method: Method,
    report: Report = lambda event: None,
) -> Iterator[dict[str, Any]]:
    """Judge a method on whole sections, each hidden in turn.

    Parameters
    ----------
    stack : SliceStack
        Real sections.
    sections : iterable of int
        Those to hide; each needs a good section on either side.
    method : Method
        How to synthesize them, by the same road as a repair.
    report : callable
        Events of the repairs.

    Yields
    ------
    dict
        ``section``; fidelity: ``psnr`` (dB), ``ssim``, ``ie``, ``psnr_lowpass`` (dB);
        style: ``hf_ratio`` and ``bands``, a list of four.
    """
    for z in sections:
        (patch,) = patches(stack, Defects({z}), method, report)
        real, made = stack.read(z), patch.pixels[:]
        yield {"section": z} | {name: metric(real, made) for name, metric in METRICS.items()}
