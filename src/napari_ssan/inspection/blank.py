"""What is blank in a stack: lost sections are often stored as constant, lost pixels as NaN.

A section with good pixels is never blank as a whole, however many of the others are NaN: these
are regions.
"""

from __future__ import annotations

from threading import Event as Flag

import numpy as np
from skimage.measure import label, regionprops

from napari_ssan.errors import Cancelled
from napari_ssan.events import Progress, Report
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Mask, Region
from napari_ssan.stack.sections import SliceStack

#: With more patches in a section than this, all of them are one region.
MOST_PATCHES = 50


def blank_marks(stack: SliceStack, report: Report, cancel: Flag) -> Marks:
    """Find sections whose pixels are all equal or not finite, and patches that are not finite.

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
    marks = Marks()
    for z in range(len(stack)):
        if cancel.is_set():
            raise Cancelled
        _look(stack, z, marks)
        report(Progress(z + 1, len(stack), z, None))
    return marks


def _look(stack: SliceStack, z: int, marks: Marks) -> None:
    """Mark what is blank in a section."""
    floating = np.issubdtype(stack.dtype, np.floating)
    value, constant = None, True
    lost: Mask | None = None
    for rows, band in stack.bands(z):
        finite = band
        if floating and not (good := np.isfinite(band)).all():
            lost = np.zeros(stack.shape[1:], bool) if lost is None else lost
            lost[rows] = ~good
            finite = band[good]
        if finite.size:
            value = finite.flat[0] if value is None else value
            constant = constant and bool((finite == value).all())
        if not constant and not floating:
            return
    if constant:
        marks.whole.add(z)
    elif lost is not None:
        for region in _patches(lost):
            marks.add_region(z, region)


def _patches(lost: Mask) -> list[Region]:
    found = regionprops(label(lost))
    if len(found) > MOST_PATCHES:
        return [Region.from_mask(lost)]
    return [Region.from_mask(each.image, *each.bbox[:2]) for each in found]
