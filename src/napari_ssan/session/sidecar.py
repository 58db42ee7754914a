"""The folder in which a repair survives a crash: a journal, and an ``.npy`` file for every patch.

It lies beside the stack's file, or in the user's data folder for a layer that has
none, under a name that follows from the stack's content. It says where things lie, that
one works on them at a time, and what becomes of what cannot be read; what the lines of the
journal mean is :mod:`~napari_ssan.session.journal`'s.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from platformdirs import user_data_path

from napari_ssan.atomic import worded, write_atomically
from napari_ssan.engine.patch_files import store_patch
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.stored import StoredArray
from napari_ssan.errors import BadInput
from napari_ssan.json_text import dump_json
from napari_ssan.session.journal import NAME, OLDER, Journal, NewerFormat
from napari_ssan.session.rejected import Place, places_from
from napari_ssan.session.saved import Saved
from napari_ssan.stack.sections import SliceStack
from napari_ssan.swap import recover

#: A stack is known by the middles of this many sections, each so many pixels wide.
SAMPLED_SECTIONS, SAMPLED_WIDTH = 5, 512
#: Which suggestions were rejected.
REJECTED = "rejected.json"


@dataclass(frozen=True)
class Found:
    """All that a sidecar holds.

    Attributes
    ----------
    saved : Saved or None
        Marks and repairs; None if there are none, or they cannot be read.
    rejected : frozenset of Place
        Suggestions that were rejected.
    refused : tuple of BadInput
        What cannot be read, and why.
    """

    saved: Saved | None = None
    rejected: frozenset[Place] = frozenset()
    refused: tuple[BadInput, ...] = ()


class Sidecar:
    """A folder that holds the state of a repair.

    Pixels that are not needed any more are deleted when it is loaded or released,
    not before: until then, an export may still read them. The folder is made when something
    is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal = Journal(folder)
        # Not in the folder, which goes when it is empty. The work ends in another thread.
        self._lock = FileLock(folder.with_name(f"{folder.name}.lock"), thread_local=False)
        # Pixels that what was saved refers to; None while others may be in use.
        self._needed: tuple[Patch, ...] | None = None
        # What is saved could not be read, though it may be good: nothing is changed then.
        self._sealed = self._rejected_sealed = False

    @classmethod
    def of(cls, stack: SliceStack, source: Path | None, derived: bool = False) -> Sidecar:
        """Find the sidecar of a stack; reads a few windows of it.

        The source is the stack's file or folder, if it comes from one. Where that is a link,
        what it leads to counts, unless something was saved beside the link. A `derived` stack
        was made from another one, which it may look like.
        """
        key = fingerprint(stack) + ("-derived" if derived else "")
        if source is not None and source.exists():
            paths = source.resolve(), source
            real, link = (path.parent / f".{path.name}.napari-ssan" / key for path in paths)
            folder = link if link.exists() and not real.exists() else real
            if os.access(folder.parent.parent, os.W_OK):
                return cls(folder)
        return cls(user_data_path("napari-ssan") / "unsaved" / key)

    def acquire(self) -> bool:
        """Take hold of the folder until :meth:`release`; False if someone else has it."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
            recover(self.folder)  # what a killed program left
        except Timeout:
            return False
        except (OSError, NotImplementedError):  # nothing can be locked here: better without
            return True
        return True

    def release(self) -> None:
        """Delete what is not needed any more, and leave the folder to others."""
        try:
            if self._needed is not None:
                self._prune(self._needed)
        finally:
            if self._lock.is_locked:
                with contextlib.suppress(OSError):  # Windows deletes no open file
                    Path(self._lock.lock_file).unlink()
                self._lock.release()
                self._remove_if_empty()

    def read(self, stack: SliceStack) -> Found:
        """Read all that there is; where a part cannot be read, the other is there all the same."""
        found = Found()
        try:
            found = replace(found, rejected=self.load_rejected())
        except BadInput as error:
            found = replace(found, refused=(error,))
        try:
            return replace(found, saved=self.load(stack))
        except BadInput as error:
            return replace(found, refused=(*found.refused, error))

    def load(self, stack: SliceStack) -> Saved | None:
        """Read what was saved; None if there is nothing.

        Where part of it is damaged, the rest is read, and `damage` is a sentence about it.

        Raises
        ------
        BadInput
            If nothing can be read: it is kept aside under another name. Or if it cannot be
            read now, or by this version: it is left alone, and nothing is saved any more.
        """
        try:
            saved = self._journal.load(stack)
        except (OSError, NewerFormat) as error:
            raise self._seal(getattr(error, "strerror", None) or str(error)) from None
        except BadInput as error:
            raise self._put_aside("The saved marks", str(error)) from None
        if saved is not None and saved.damage:
            told = self._put_aside("Some of the saved marks", saved.damage)
            saved = replace(saved, damage=str(told))
        if saved is not None and not self._sealed:
            if saved.damage or not saved.lost:  # else the next save does it
                with contextlib.suppress(OSError):  # what is there is good; the next save tells
                    self._journal.compact(saved)
            self._needed = saved.all_patches
        if not self._sealed:
            self._prune(self._needed or ())
        return saved

    def save(self, saved: Saved) -> None:
        """Write what the state changes; without any mark there is none to be kept.

        Does nothing, as does :meth:`keep`, if what is there was left alone by :meth:`load`.

        Raises
        ------
        OSError
            If it cannot be written, as when the disk is full.
        """
        if self._sealed:
            return
        self._needed = None
        with worded(self.folder):
            self._journal.write(saved)
        if not saved.marks:
            self._remove_if_empty()
        self._needed = saved.all_patches

    def load_rejected(self) -> frozenset[Place]:
        """Read which suggestions were rejected.

        Raises
        ------
        BadInput
            If that cannot be read: it is left alone, and not written any more.
        """
        path = self.folder / REJECTED
        if not path.exists():
            return frozenset()
        try:
            return places_from(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            self._rejected_sealed = True
            raise BadInput(
                f"{path} cannot be read ({error}), so what was rejected is suggested again, and "
                "what you reject now is not kept; remove it."
            ) from error

    def save_rejected(self, places: frozenset[Place]) -> None:
        """Write which suggestions were rejected; without any there is nothing to be kept.

        Raises
        ------
        OSError
            If it cannot be written, as when the disk is full.
        """
        if self._rejected_sealed:
            return
        path = self.folder / REJECTED
        with worded(self.folder):
            if places:
                self.folder.mkdir(parents=True, exist_ok=True)
                order = sorted(places, key=lambda place: (place[0], place[1] or (), place[2]))
                write_atomically(path, dump_json(order))
            else:
                path.unlink(missing_ok=True)
                self._remove_if_empty()

    def keep(self, patch: Patch) -> Patch:
        """Move a patch's pixels, and what is known of their errors, from memory into the folder.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        if self._sealed:
            return patch
        self._needed = None
        with worded(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        return store_patch(patch, self.folder)

    def _remove_if_empty(self) -> None:
        with contextlib.suppress(OSError):  # it is not empty, or the parent is not
            if self.folder.exists():
                self.folder.rmdir()
            self.folder.parent.rmdir()

    def _prune(self, keep: tuple[Patch, ...]) -> None:
        if any(self.folder.glob("damaged-*")):
            return  # marks that were put aside may refer to any of the pixels
        arrays = [array for patch in keep for array in (patch.pixels, patch.error)]
        kept = {array.path for array in arrays if isinstance(array, StoredArray)}
        for path in self.folder.glob("*.npy"):
            if path not in kept:
                path.unlink(missing_ok=True)
        self._remove_if_empty()

    def _put_aside(self, what: str, reason: str) -> BadInput:
        """Keep what is damaged under another name; the sentence that says so."""
        path = self.folder / NAME
        path = path if path.exists() else self.folder / OLDER
        aside = path.with_name(f"damaged-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}{path.suffix}")
        try:
            path.replace(aside)
        except OSError:
            return self._seal(reason)
        return BadInput(
            f"{what} of this stack cannot be read ({reason}); they are kept as {aside}."
        )

    def _seal(self, reason: str) -> BadInput:
        self._sealed = True
        return BadInput(
            f"The saved marks of this stack cannot be read ({reason}); they are left as they are "
            f"in {self.folder}, and what is done now is not saved: export it to keep it."
        )


def fingerprint(stack: SliceStack) -> str:
    """Short name of a stack's content, from its shape, its dtype and a few windows of it."""
    count, height, width = stack.shape
    digest = hashlib.sha256(f"{stack.source_shape} {stack.z_axis} {stack.dtype}".encode())
    top, left = (max(0, (n - SAMPLED_WIDTH) // 2) for n in (height, width))
    window = slice(top, top + SAMPLED_WIDTH), slice(left, left + SAMPLED_WIDTH)
    for z in sorted({round(z) for z in np.linspace(0, count - 1, SAMPLED_SECTIONS)}):
        digest.update(np.ascontiguousarray(stack.read(z, window)).tobytes())
    return digest.hexdigest()[:16]
