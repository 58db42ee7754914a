"""The way back: originals take the places of what a repair in place has changed, to the byte.

Of everything, or of some sections. What was restored can be repaired again. Easy to get wrong: an
object may hold sections that stay synthetic; then pixels go back, and the object is encoded anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_ssan.errors import BadInput
from napari_ssan.paths import real
from napari_ssan.stack.marks_io import format_slices
from napari_ssan.volumes.claim import Claim
from napari_ssan.volumes.journal import Journal, State
from napari_ssan.volumes.layout import Layout, find_layout, metadata_names
from napari_ssan.volumes.objects import OURS, Objects
from napari_ssan.volumes.originals import (
    check_belongs,
    folder_of,
    note_in_metadata,
    noted_folder,
    remove_folder,
    restore_metadata,
)
from napari_ssan.volumes.slabs import Order, Slab, Volume, plan_slabs, rows_of


def restore(
    path: Path,
    tell: Callable[[str], object],
    sections: set[int] | None = None,
    backup: Path | None = None,
) -> set[int]:
    """Put the originals of a volume back.

    Parameters
    ----------
    path : Path
        Zarr array or OME-Zarr image that was repaired in place.
    tell : callable
        Is told when one has to wait.
    sections : set of int, optional
        Which ones; default is all, and the metadata.
    backup : Path, optional
        Where the originals are, if they are not where the volume says.

    Returns
    -------
    set of int
        The sections that have their original pixels again.

    Raises
    ------
    BadInput
        If there is nothing to restore, or somebody else works on the volume.
    """
    path = real(path)
    layout, file = find_layout(path)
    with Claim(path, tell) as claim:
        objects = Objects(path, folder_of(path, layout, backup))
        if noted_folder(path, layout.node) is None:
            empty = backup is None and objects.backup.is_dir() and not any(objects.backup.iterdir())
            if not (objects.backup / OURS).is_file() and not empty:
                raise BadInput(f"{path.name} was not repaired in place, or it is restored already.")
            remove_folder(objects)  # all that a killed restore has left to do
            return set()
        journal = Journal(objects.backup)
        state = journal.read()
        check_belongs(objects, layout, file.stack().shape[1:], state)
        changed = state.asked | state.records.keys()
        if unknown := sorted((sections or set()) - changed):
            raise BadInput(
                f"Slice {unknown[0]} was not repaired in place; restorable are: "
                f"{format_slices(changed) or 'none'}."
            )
        objects.sweep()
        if sections is None or sections >= changed:
            _restore_all(objects, layout, journal, state)
            return changed
        journal.write("restoring", sections=sorted(sections))
        volume = Volume(Order(path, objects.backup, claim.token))
        for level in range(len(layout.levels)):
            staying = volume.changed(level, changed - sections)
            for row, found in rows_of(volume, level, sections).items():
                volume.revert(Slab(level, row, tuple(found)), staying)
        journal.write("restored", sections=sorted(sections))
        state = journal.read()
        if not state.failed and not plan_slabs(volume, state):
            journal.write("end")
        note_in_metadata(objects, layout, state)
        return sections


def _restore_all(objects: Objects, layout: Layout, journal: Journal, state: State) -> None:
    """Put everything back, the metadata last: until then they say where the originals are."""
    if state.run:
        journal.write("restoring", sections=sorted(state.asked | state.records.keys()))
    for name in set(objects.names()) - set(metadata_names(layout.node)):
        objects.put_back(name)
    objects.sweep()
    journal.path.unlink(missing_ok=True)
    restore_metadata(objects, layout)
    remove_folder(objects)
