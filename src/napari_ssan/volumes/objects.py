"""The encoded objects of a zarr store, its chunks, shards and metadata, and their originals.

The store is a folder or lies behind an address; originals are always in a folder.

An object is changed as a whole: its original goes into a folder beside the store first, once and
for all, then the new one takes its place in one step. What an object says is for `layout`. Easy
to get wrong: the live object is read *before* one looks for its original, since another process
may put an original aside and change the object in between.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zarr.abc.store import Store
from zarr.storage import LocalStore, WrapperStore

from napari_ssan.atomic import worded, write_atomically
from napari_ssan.errors import BadInput
from napari_ssan.files import remote
from napari_ssan.files.border import home_of
from napari_ssan.files.completeness import files_in
from napari_ssan.paths import address
from napari_ssan.swap import recover

#: Within the folder of originals: the objects, under their own names, and synthesized pixels.
OBJECTS, SCRATCH = "objects", "scratch"
#: The file that marks a folder of originals, and what it says: no other folder is ever removed.
OURS = "napari-ssan-originals.txt"
SAYS = (
    "Originals of a volume that was repaired in place by napari-ssan.\n"
    "napari-ssan restore brings them back, and removes this folder.\n"
)


class Objects:
    """Objects of a store, and the folder with the originals of those that were changed.

    Parameters
    ----------
    store, backup : Path
        Folders of the store and of the originals.
    """

    def __init__(self, store: Path, backup: Path) -> None:
        self.store, self.backup = store, backup

    def read(self, name: str) -> bytes | None:
        """An object as it is now; None if it is not there."""
        return read_object(self.store / name)

    def original(self, name: str) -> bytes | None:
        """An object as it was before the first repair; None if it was not there."""
        now, kept = self.read(name), read_object(self.backup / OBJECTS / name)
        return now if kept is None else kept or None

    def had(self, name: str) -> bool:
        """Whether an object was there before the first repair, in a folder."""
        sizes = [_size(self.store / name), _size(self.backup / OBJECTS / name)]
        return bool(sizes[0] if sizes[1] is None else sizes[1])

    def names(self) -> list[str]:
        """Names of the objects whose originals are kept."""
        folder = self.backup / OBJECTS
        return sorted(name for name, _ in files_in(folder)) if folder.is_dir() else []

    def replace(self, name: str, new: bytes | None) -> bool:
        """Put an object in the place of another, whose original is kept; False if they are equal.

        Raises
        ------
        OSError
            If it cannot be written, as when the disk is full. Then the old one is there.
        BadInput
            If what was written reads otherwise.
        """
        old = self.read(name)
        if old == new:
            return False
        kept = self.backup / OBJECTS / name
        if not kept.exists():
            write_object(kept, old or b"")  # an object is never empty
        self.put(name, new)
        return True

    def put(self, name: str, new: bytes | None) -> None:
        """As :meth:`replace`, without keeping anything."""
        path = self.store / name
        if new is None:
            remove_object(path)
        else:
            write_object(path, new)
        if self.read(name) != new:
            raise BadInput(f"{path} reads otherwise than it was written; check the disk.")

    def put_back(self, name: str) -> None:
        """Put the original of an object back, byte for byte."""
        original = self.original(name)
        if self.read(name) != original:
            self.put(name, original)

    def sweep(self) -> None:
        """Remove what killed processes left: pixels, and drafts beside objects."""
        shutil.rmtree(self.backup / SCRATCH, ignore_errors=True)
        names = self.names()
        for root in (self.store, self.backup / OBJECTS):
            for folder in {(root / name).parent for name in names}:
                if not address(folder):  # behind one, an object is there as a whole or not at all
                    recover(folder)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def read_object(path: Path) -> bytes | None:
    """A file, or an object behind an address; None if it is not there."""
    if address(path):
        return remote.read(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def remove_object(path: Path) -> None:
    """Remove a file, or an object behind an address, if it is there."""
    if address(path):
        remote.remove(path)
    else:
        path.unlink(missing_ok=True)


def write_object(path: Path, content: bytes) -> None:
    """Write a file, or an object behind an address, whole or not at all."""
    if address(path):
        remote.write(path, content)
        return
    with worded(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)


class OriginalStore(WrapperStore[Store]):
    """A store as it was before the first repair, whatever is being changed in it; read only."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(remote.zarr_store(objects.store, home=home_of(objects.store)))
        self._kept = LocalStore(objects.backup / OBJECTS, read_only=True)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """See :meth:`zarr.abc.store.Store.get`."""
        now = await self._store.get(key, prototype, byte_range)
        path = self._kept.root / key
        if not path.is_file():
            return now
        if not path.stat().st_size:
            return None
        return await self._kept.get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        """See :meth:`zarr.abc.store.Store.exists`."""
        path = self._kept.root / key
        return path.stat().st_size > 0 if path.is_file() else await self._store.exists(key)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[Any]) -> list[Any]:
        """See :meth:`zarr.abc.store.Store.get_partial_values`."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]


class StagedStore(WrapperStore[Store]):
    """A store to which nothing is written: what would be, is kept in memory.

    Parameters
    ----------
    objects : Objects
        Read as they are now.

    Attributes
    ----------
    staged : dict of str to bytes or None
        What would be written; None where an object would be removed.
    """

    def __init__(self, objects: Objects) -> None:
        store = remote.zarr_store(objects.store, read_only=False, home=home_of(objects.store))
        super().__init__(store)
        self.staged: dict[str, bytes | None] = {}

    async def set(self, key: str, value: Any) -> None:
        """See :meth:`zarr.abc.store.Store.set`."""
        self.staged[key] = value.to_bytes()

    async def delete(self, key: str) -> None:
        """See :meth:`zarr.abc.store.Store.delete`."""
        self.staged[key] = None

    def take(self) -> dict[str, bytes | None]:
        """Hand out what was staged, and forget it."""
        staged, self.staged = self.staged, {}
        return staged
