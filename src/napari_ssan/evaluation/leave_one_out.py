"""Hide a good section, synthesize it from its neighbours, compare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from napari_ssan.engine.events import Report
from napari_ssan.engine.methods import Method
from napari_ssan.engine.repair import patches
from napari_ssan.evaluation.metrics import FIDELITY
from napari_ssan.stack.defects import Defects
from napari_ssan.stack.sections import SliceStack


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
        ``section`` and the fidelity metrics ``psnr`` (dB), ``ssim`` and ``ie``.
    """
    for z in sections:
        (patch,) = patches(stack, Defects({z}), method, report)
        real, made = stack.read(z), patch.pixels[:]
        yield {"section": z} | {name: metric(real, made) for name, metric in FIDELITY.items()}
