"""The rule for blank sections: lost sections are often stored as constant or non-finite."""

from __future__ import annotations

from threading import Event as Flag

import numpy as np

from napari_ssan.errors import Cancelled
from napari_ssan.events import Progress, Report
from napari_ssan.stack.sections import SliceStack


def blank_sections(stack: SliceStack, report: Report, cancel: Flag) -> list[int]:
    """Find sections whose pixels are all equal, or of which some are not finite.

    Parameters
    ----------
    stack : SliceStack
        The stack. For integers, a section with an image is recognized by its first rows.
    report : callable
        Receives a :class:`~napari_ssan.events.Progress` after every section.
    cancel : threading.Event
        Set it to stop at the next section.

    Raises
    ------
    Cancelled
        If `cancel` was set.
    """
    found = []
    for z in range(len(stack)):
        if cancel.is_set():
            raise Cancelled
        if _is_blank(stack, z):
            found.append(z)
        report(Progress(z + 1, len(stack), z, None))
    return found


def _is_blank(stack: SliceStack, z: int) -> bool:
    floating = np.issubdtype(stack.dtype, np.floating)
    value, constant = None, True
    for _, band in stack.bands(z):
        if floating and not np.isfinite(band).all():
            return True
        value = band.flat[0] if value is None else value
        constant = constant and bool((band == value).all())
        if not constant and not floating:
            return False
    return constant
