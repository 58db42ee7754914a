"""A copy of the sections that are learned from, so that the stack may be closed or changed."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from threading import Event as Flag

import numpy as np

from napari_ssan.atomic import atomically
from napari_ssan.engine.stored import StoredArray
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.stack.lazy import LazyVolume, extent
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import Array, Window
from napari_ssan.stack.source import Source
from napari_ssan.training.events import Preparing, Report

#: Bytes that must stay free on the disk: checkpoints and models come on top.
MARGIN = 2**27


class SectionCopy(LazyVolume):
    """Sections in a file, under the numbers that they have in their stack.

    An array of (sections, height, width). It holds neither memory nor a file
    handle between reads; sections of the stack that were not copied are zero.

    Parameters
    ----------
    path : Path
        The ``.npy`` file.
    start : int
        Number of the first section in it.
    count : int
        Sections of the stack.
    """

    def __init__(self, path: Path, start: int, count: int) -> None:
        self._stored, self._start = StoredArray(path), start
        super().__init__((count, *self._stored.shape[1:]), self._stored.dtype)

    def _read(self, sections: range, window: Window) -> Array:
        out = np.zeros(extent(sections, window), self.dtype)
        for number, z in enumerate(sections):
            if 0 <= z - self._start < self._stored.shape[0]:
                out[number] = self._stored[z - self._start, *window]
        return out


def copy_sections(
    source: Source,
    path: Path,
    report: Report = lambda event: None,
    cancel: Flag | None = None,
) -> None:
    """Copy the usable part of a source's sections to a ``.npy`` file, whole or not at all.

    `report` receives :class:`Preparing`. Set `cancel` to stop at the next section.

    Raises
    ------
    BadInput
        If there is no room for it.
    Cancelled
        If `cancel` was set.
    OSError
        If it cannot be written for another reason.
    """
    dtype = source.stack.dtype
    shape = (len(source.sections), *source.extent)
    size = int(np.prod(shape)) * dtype.itemsize
    if shutil.disk_usage(path.parent).free < size + MARGIN:
        raise no_room(path.parent, size)
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    try:
        # Written, not mapped: on a full disk a mapped file ends the process.
        with atomically(path) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array_header_2_0(file, header)
            for done, z in enumerate(source.sections):
                if cancel is not None and cancel.is_set():
                    raise Cancelled
                report(Preparing("copying sections", done, shape[0]))
                file.write(np.ascontiguousarray(source.stack.read(z, source.area)).data)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_room(path.parent, size) from None
        raise
    report(Preparing("copying sections", shape[0], shape[0]))


def cut_marks(source: Source, marks: Marks | None) -> Marks | None:
    """Marks of a stack as they lie in the snapshot of a source."""
    if not marks:
        return None
    cut = Marks({z for z in marks.whole if z in source.sections})
    for z in set(marks.regions) & set(source.sections):
        mask = Marks(regions={z: marks.regions[z]}).mask(z, source.area)
        if mask is not None and mask.any():
            cut.add_region(z, Region.from_mask(mask))
    for z, count in marks.missing.items():
        if z in source.sections:
            cut.add_missing(z, count)
    return cut


def no_room(folder: Path, size: int) -> BadInput:
    """What is said when the disk is full."""
    return BadInput(
        f"The disk has no room for a copy of the slices to learn from ({size / 2**20:.0f} MB in "
        f"{folder}): make room, or choose fewer slices or a smaller region."
    )
