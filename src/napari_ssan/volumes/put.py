"""Puts repaired pixels, as a user has seen them, into the volume that they were made for.

It is a run in place like any other: with a journal, with originals, resumable, and undone by a
restore. Easy to get wrong: a layer may show other pixels than the volume that it was opened from.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.engine.repaired import Patch, RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.files.open import open_stack
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack
from napari_ssan.volumes.given import GIVEN, marks_of
from napari_ssan.volumes.run import Outcome, repair_in_place
from napari_ssan.volumes.slabs import How
from napari_ssan.volumes.status import begun, status

#: Pixels along each side of a patch that are compared with the volume's.
COMPARED = 128


def put_in_place(path: Path, repaired: RepairedStack, tell: Callable[[Any], object]) -> Outcome:
    """Write what is repaired of a stack into the zarr store that it was opened from.

    If an earlier call was interrupted, its pixels are written first.

    Parameters
    ----------
    path : Path
        Zarr array or OME-Zarr image.
    repaired : RepairedStack
        Its stack is the volume, at full resolution.
    tell : callable
        Receives what :func:`~napari_ssan.volumes.run.repair_in_place` tells. What it raises ends
        the run, which can be gone on with, or undone.

    Raises
    ------
    BadInput
        If that cannot be done; nothing was changed.
    """
    stack = repaired.stack
    patches = [patch for slot in repaired.slots for patch in repaired.patches(slot)]
    if any(patch.slot[1] for patch in patches):
        raise BadInput(
            "Slices were inserted, and all that follow them would have to move: export to a new "
            "file, or unmark what is missing."
        )
    _check_same(path, stack, patches)
    if begun(path):
        now = status(path)
        if now.given and not now.finished and not now.restoring:
            repair_in_place(path, Marks(), How(GIVEN), tell, resume=True)
    marks = marks_of(patches, stack.shape[1:])
    return repair_in_place(path, marks, How(GIVEN), tell, given=patches)


def _check_same(path: Path, stack: SliceStack, patches: list[Patch]) -> None:
    """Check that a stack is that of a volume, as far as a few of its pixels tell."""
    volume = open_stack(path).stack()
    same = volume.shape == stack.shape and volume.dtype == stack.dtype
    for patch in patches if same else ():
        rows, columns = (
            slice(start, start + min(length, COMPARED))
            for start, length in zip((patch.top, patch.left), patch.pixels.shape, strict=True)
        )
        z = patch.slot[0]
        ours, theirs = (each.read(z, (rows, columns)) for each in (stack, volume))
        same = same and np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")
    if not same:
        raise BadInput(
            f"The layer does not show the pixels of {path.name} as they are now: open it anew, or "
            "export to a new file."
        )
