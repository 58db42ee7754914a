"""A patch in files: its pixels and errors as arrays, all else of it as JSON.

What the JSON says is taken with care: pixels that are missing, damaged or another stack's make a
patch a lost one, never a wrong one. In which folder it lies, and for how long, others decide.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.stored import StoredArray, store
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import MALFORMED
from napari_ssan.stack.region import Mask, Region, region_from_entry, region_to_entry
from napari_ssan.stack.sections import SliceStack

#: What is raised for an array whose file is missing, or for a malformed entry.
UNREADABLE = (FileNotFoundError, *MALFORMED)


def store_patch(patch: Patch, folder: Path) -> Patch:
    """Copy a patch's pixels, and what is known of their errors, to files in a folder.

    Returns
    -------
    Patch
        With a :class:`~napari_ssan.engine.stored.StoredArray` each.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    z, number = patch.slot
    name = f"{z}-{number}-{patch.top}-{patch.left}-{os.urandom(4).hex()}.npy"
    pixels = store(folder / name, np.asarray(patch.pixels[:]))
    if patch.error is None:
        return replace(patch, pixels=pixels)
    error = store(folder / f"error-{name}", np.asarray(patch.error[:]))
    return replace(patch, pixels=pixels, error=error)


def patch_to_json(patch: Patch) -> dict[str, Any]:
    """Say all of a patch but its pixels, which lie in files; :func:`read_patch` reads it."""
    return {
        "slot": patch.slot,
        "top": patch.top,
        "left": patch.left,
        "error": patch.error.path.name if isinstance(patch.error, StoredArray) else None,
        "mask": None if patch.mask is None else region_to_entry(0, Region(0, 0, patch.mask)),
        "record": patch.record.model_dump(mode="json"),
    }


def read_patch(folder: Path, name: str, entry: dict[str, Any], stack: SliceStack) -> Patch | None:
    """Read a patch; None if its pixels are not there as they should be."""
    try:
        z, number = (int(n) for n in entry["slot"])
        top, left = int(entry["top"]), int(entry["left"])
        record = SyntheticSection.model_validate(entry["record"])
        pixels = StoredArray(folder / Path(name).name)
        mask = None if entry["mask"] is None else _mask_from_json(entry["mask"], stack)
    except UNREADABLE:
        return None
    ends = np.add((top, left), pixels.shape)
    fits = len(pixels.shape) == 2 and (ends <= stack.shape[1:]).all() and min(top, left) >= 0
    if not fits or pixels.dtype != stack.dtype or not 0 <= z < len(stack):
        return None
    if mask is not None and mask.shape != pixels.shape:
        return None
    try:  # without a map of expected errors the pixels are still good
        found = StoredArray(folder / Path(entry["error"]).name)
        same = found.shape == pixels.shape and found.dtype == np.float32
        error = found if same else None
    except UNREADABLE:
        error = None
    return Patch((z, number), top, left, pixels, mask, record, error)


def _mask_from_json(entry: dict[str, Any], stack: SliceStack) -> Mask | None:
    height, width = (int(n) for n in entry["shape"])
    marks = Marks(regions={0: [region_from_entry(entry, stack.shape[1:])]})
    return marks.mask(0, (slice(0, height), slice(0, width)))
