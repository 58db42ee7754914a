"""Pixels that a run is given: those that somebody has seen and accepted, not synthesized anew.

They lie in the folder of originals while the run lasts, so that it can be gone on with by anybody,
like any other. Easy to get wrong: of a section that an earlier run has repaired, only pixels that
are given change. What else of it is synthetic stays so, and keeps its record.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from napari_ssan.atomic import worded, write_atomically
from napari_ssan.engine.patch_files import patch_to_json, read_patch, store_patch
from napari_ssan.engine.provenance import Provenance, SyntheticSection, recorded_marks
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.stored import StoredArray
from napari_ssan.errors import BadInput
from napari_ssan.json_text import dump_json
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import MALFORMED
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack

#: Name of the folder, and of the method of such a run.
GIVEN = "given"
LIST = "patches.json"


class Given:
    """Patches in a folder of originals.

    Parameters
    ----------
    backup : Path
        The folder of originals.
    """

    def __init__(self, backup: Path) -> None:
        self._folder = backup / GIVEN

    def keep(self, patches: Iterable[Patch]) -> None:
        """Keep patches in place of those that are there.

        Raises
        ------
        OSError
            If they cannot be written, as when the disk is full. None is kept then.
        """
        self.forget()
        entries = {}
        try:
            with worded(self._folder.parent):
                self._folder.mkdir()
                for patch in patches:
                    stored = store_patch(patch, self._folder)
                    assert isinstance(stored.pixels, StoredArray)
                    entries[stored.pixels.path.name] = patch_to_json(stored)
                write_atomically(self._folder / LIST, dump_json(entries))
        except BaseException:
            self.forget()
            raise

    def read(self, stack: SliceStack, sections: Collection[int]) -> list[Patch]:
        """The patches of some sections, the undermost of each first.

        Raises
        ------
        BadInput
            If they are not there any more.
        """
        try:
            entries = json.loads((self._folder / LIST).read_text(encoding="utf-8"))
            wanted = {name: each for name, each in entries.items() if each["slot"][0] in sections}
            found = [read_patch(self._folder, *each, stack) for each in wanted.items()]
        except (OSError, *MALFORMED):
            found = [None]
        if None in found:
            raise BadInput(
                f"The pixels to be written are not in {self._folder} any more: undo the run "
                "(napari-ssan restore), and export from napari again."
            )
        return [patch for patch in found if patch is not None]

    def forget(self) -> None:
        """Keep nothing."""
        shutil.rmtree(self._folder, ignore_errors=True)


def marks_of(patches: Iterable[Patch], shape: tuple[int, int]) -> Marks:
    """Mark the pixels of patches, in sections of (height, width)."""
    marks = Marks()
    for patch in patches:
        z = patch.slot[0]
        if patch.mask is None and patch.pixels.shape == shape:
            marks.whole.add(z)
        else:
            mask = np.ones(patch.pixels.shape, bool) if patch.mask is None else patch.mask
            marks.add_region(z, Region.from_mask(mask, patch.top, patch.left))
    return marks


def left_of(
    records: Iterable[SyntheticSection], marks: Marks, shape: tuple[int, int, int]
) -> list[SyntheticSection]:
    """Records of which marks do not cover all pixels, in a stack (sections, height, width)."""
    return [record for record in records if not _covers(marks, record, shape)]


def _covers(marks: Marks, record: SyntheticSection, shape: tuple[int, int, int]) -> bool:
    z = record.section
    if z in marks.whole:
        return True
    own = recorded_marks(Provenance(sections=(record,)), shape, record.corrected)
    masks = [(region.mask, marks.mask(z, region.window)) for region in own.regions.get(z, [])]
    return bool(masks) and all(now is not None and bool(now[mask].all()) for mask, now in masks)
