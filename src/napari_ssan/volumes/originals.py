"""Where the originals of a volume are, and what its metadata say of it.

The folder of originals lies beside the volume, or where the user wants it; the volume's record of
provenance names it by a relative path, so that both can be moved together. Easy to get wrong: a
folder that no volume names may be what a killed run left, or somebody's only originals.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_ssan.atomic import reason
from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput
from napari_ssan.files.provenance_io import added, from_plain, to_plain
from napari_ssan.json_text import dump_as_read, finite
from napari_ssan.paths import address, real
from napari_ssan.stack.sections import SliceStack
from napari_ssan.volumes.given import GIVEN
from napari_ssan.volumes.journal import NAME, State
from napari_ssan.volumes.layout import (
    Layout,
    Level,
    find_layout,
    metadata_names,
    record_of,
    with_record,
)
from napari_ssan.volumes.objects import OBJECTS, OURS, SAYS, SCRATCH, Objects, OriginalStore

#: Key of the record that says where the originals are.
WHERE = "originals"
#: Folders within that of the originals.
CONTENTS = (OBJECTS, SCRATCH, GIVEN)


def usual_folder(volume: Path) -> Path:
    """Where the originals of a volume are kept, unless the user says otherwise.

    Raises
    ------
    BadInput
        If the volume lies behind an address: no folder is beside it.
    """
    if where := address(volume):
        raise BadInput(
            f"Say with --backup which folder is to keep the originals of {where}; it must be "
            "there for as long as you may want to restore it."
        )
    return volume.with_name(f"{volume.name}.originals")


def noted_folder(volume: Path, node: str) -> Path | None:
    """Where the record of a node says that the originals are; None if it says nothing."""
    for name in metadata_names(node):
        where = record_of(Objects(volume, volume).read(name)).get(WHERE)
        if isinstance(where, str):
            return real(volume.parent / where)
    return None


def folder_of(volume: Path, layout: Layout, given: Path | None) -> Path:
    """Where the originals of a volume are, or are to be.

    Raises
    ------
    BadInput
        If they are not where the volume says, or would get mixed up with others.
    """
    noted, given = noted_folder(volume, layout.node), real(given) if given else None
    if noted is not None and noted.is_dir():
        if given not in (None, noted):
            raise BadInput(f"The originals of {volume.name} are in {noted}; leave --backup out.")
        return noted
    if noted is not None:
        if given is None or not (given / NAME).is_file():
            raise BadInput(
                f"The originals of {volume.name} are not in {noted} any more; say with --backup "
                "where they are now."
            )
        return given
    folder = given or usual_folder(volume)
    if folder.is_relative_to(volume) or volume.is_relative_to(folder):
        raise BadInput("The folder for the originals must not lie in the volume, or it in that.")
    if (folder / NAME).exists():
        raise BadInput(
            f"{folder} holds originals that {volume.name} does not know of; they may be another "
            "volume's. Move them away, or choose another folder (--backup)."
        )
    there = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    foreign = there - {*CONTENTS, OURS} or (there and OURS not in there)
    if foreign or (folder.exists() and not folder.is_dir()):
        raise BadInput(f"{folder} is in use for something else; choose another (--backup).")
    return folder


def original_stack(volume: Path) -> SliceStack | None:
    """A volume as it was before the first repair in place; None if that is not known."""
    layout, _ = find_layout(real(volume))
    folder = noted_folder(real(volume), layout.node)
    if folder is None or not folder.is_dir():
        return None
    original = OriginalStore(Objects(real(volume), folder))
    return SliceStack(Level(original, layout, 0).pixels, layout.zyx[0])


def check_belongs(
    objects: Objects, layout: Layout, sections: tuple[int, int], state: State
) -> None:
    """Check that originals are those of a volume with sections of (height, width).

    Raises
    ------
    BadInput
        If they are of another one: put back, they would destroy it.
    """
    if state.run and (
        Layout.from_json(state.run["layout"]) != layout or tuple(state.run["size"]) != sections
    ):
        raise BadInput(
            f"The originals in {objects.backup} are not those of {objects.store.name} as it is "
            "now; say with --backup where its own are."
        )


def make_folder(objects: Objects, layout: Layout) -> None:
    """Make the folder for originals, if there is none.

    What is in it means nothing unless the volume names it: a killed run has left it.

    Raises
    ------
    BadInput
        If it cannot be made.
    """
    kept = objects.backup / OBJECTS
    try:
        objects.backup.mkdir(parents=True, exist_ok=True)
        (objects.backup / OURS).write_text(SAYS, encoding="utf-8")
        if noted_folder(objects.store, layout.node) is None and kept.exists():
            shutil.rmtree(kept)
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"The folder {objects.backup} for the originals cannot be made: {reason(error)}."
        ) from error


def remove_folder(objects: Objects) -> None:
    """Remove a folder of originals, but for files of others that lie in it."""
    for name in CONTENTS:
        shutil.rmtree(objects.backup / name, ignore_errors=True)
    (objects.backup / OURS).unlink(missing_ok=True)  # the last: until then, it can be gone on with
    with suppress(OSError):  # somebody else's file lies there
        objects.backup.rmdir()


def recorded(objects: Objects, node: str, state: State) -> Provenance:
    """What is synthetic now: by the journal, and by the record from before the first repair."""
    return added(Provenance(sections=state.synthetic), from_plain(_earlier(objects, node)))


def note_in_metadata(objects: Objects, layout: Layout, state: State) -> None:
    """Write into the metadata what is synthetic now, and where the originals are."""
    where = objects.backup
    if not address(objects.store):
        with suppress(ValueError):  # on another drive of Windows
            where = Path(os.path.relpath(where, objects.store.parent))
    plain = to_plain(recorded(objects, layout.node, state))
    record = finite(plain) | {WHERE: where.as_posix()}
    for name, content in with_record(_now(objects, layout), layout.node, record).items():
        objects.replace(name, content)


def restore_metadata(objects: Objects, layout: Layout) -> None:
    """Bring the metadata back: to the byte, unless somebody has changed them since."""
    before = with_record(_now(objects, layout), layout.node, _earlier(objects, layout.node))
    for name, content in before.items():
        if _plain(content) == _plain(objects.original(name)):
            objects.put_back(name)
        else:
            objects.put(name, content)


def _plain(content: bytes | None) -> str:
    """A metadata object as text that can be compared: NaN is not equal to itself."""
    return dump_as_read(json.loads(content or b"{}"), sort_keys=True)


def _now(objects: Objects, layout: Layout) -> dict[str, bytes]:
    """Metadata objects as they are."""
    read = {name: objects.read(name) for name in metadata_names(layout.node)}
    return {name: content for name, content in read.items() if content is not None}


def _earlier(objects: Objects, node: str) -> dict[str, Any] | None:
    """The record that the volume had before the first repair in place."""
    for name in metadata_names(node):
        if record := record_of(objects.original(name)):
            return record
    return None
