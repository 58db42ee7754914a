"""Finds sections without an image: lost sections are often stored as constant or non-finite.

The rule is that of an inspection, :func:`~napari_ssan.inspection.look.flaw`. Nothing is compared,
so it is quicker than an inspection.
"""

from __future__ import annotations

from threading import Event as Flag

from napari_ssan.errors import Cancelled
from napari_ssan.events import Progress, Report
from napari_ssan.inspection.look import View, flaw
from napari_ssan.stack.sections import SliceStack


def blank_sections(stack: SliceStack, report: Report, cancel: Flag) -> list[int]:
    """Find sections that are constant, not finite, or black or white in most of their pixels.

    Parameters
    ----------
    stack : SliceStack
        The stack.
    report : callable
        Receives a :class:`~napari_ssan.events.Progress` after every section.
    cancel : threading.Event
        Set it to stop at the next section.

    Raises
    ------
    Cancelled
        If `cancel` was set.
    """
    found, view = [], View(stack)
    for z in range(len(stack)):
        if cancel.is_set():
            raise Cancelled
        if flaw(view.read(z)):
            found.append(z)
        report(Progress(z + 1, len(stack), z, None))
    return found
