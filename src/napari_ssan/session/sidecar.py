"""What survives a crash: marks, their states and the synthesized pixels, on disk.

A sidecar is a folder with one ``marks.json`` and an ``.npy`` file for every patch.
It lies beside the stack's file, or in the user's data folder for a layer that has
none, under a name that follows from the stack's content.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
from platformdirs import user_data_path
from pydantic import ValidationError

from napari_ssan.engine.lock import FileLock
from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repaired import Patch, Slot
from napari_ssan.engine.stored import StoredArray, store, worded
from napari_ssan.errors import BadInput
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Mask, Region
from napari_ssan.stack.sections import SliceStack

FORMAT = 1
NAME = "marks.json"
#: A stack is known by the middles of this many sections, each so many pixels wide.
SAMPLED_SECTIONS, SAMPLED_WIDTH = 5, 512


@dataclass(frozen=True)
class Saved:
    """State of a repair.

    Attributes
    ----------
    marks : Marks
        The marks.
    states : mapping of (int, int) to str
        State of each mark, by its slot.
    patches : tuple of Patch
        Synthesized pixels.
    when : datetime or None
        When it was saved.
    lost : int
        Patches whose files are missing or damaged; their marks are to be repaired again.
    """

    marks: Marks
    states: Mapping[Slot, str]
    patches: tuple[Patch, ...] = ()
    when: datetime | None = None
    lost: int = field(default=0)

    def __str__(self) -> str:
        slices = len({patch.slot for patch in self.patches})
        text = _count(len(self.states), "mark")
        if slices:
            text += f" and {_count(slices, 'repaired slice')}"
        return text if self.when is None else f"{text} from {_day(self.when)}"


class Sidecar:
    """A folder that holds the state of a repair.

    Pixels that are not needed any more are deleted when it is loaded or released,
    not before: until then, an export may still read them.

    Parameters
    ----------
    folder : Path
        Where; made when something is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: FileLock | None = None
        # Pixels that what was saved refers to; None while others may be in use.
        self._needed: tuple[Patch, ...] | None = None
        # What is saved could not be read, though it may be good: nothing is changed then.
        self._sealed = False

    @classmethod
    def of(cls, stack: SliceStack, source: Path | None) -> Sidecar:
        """Find the sidecar of a stack; reads a few windows of it.

        Parameters
        ----------
        stack : SliceStack
            The stack.
        source : Path or None
            Its file or folder, if it comes from one.
        """
        key = fingerprint(stack)
        if source is not None and source.exists() and os.access(source.parent, os.W_OK):
            return cls(source.parent / f".{source.name}.napari-ssan" / key)
        return cls(user_data_path("napari-ssan") / "unsaved" / key)

    def acquire(self) -> bool:
        """Take hold of the folder until :meth:`release`; False if someone else has it."""
        name = hashlib.sha256(str(self.folder.absolute()).encode()).hexdigest()[:16]
        lock = FileLock(user_data_path("napari-ssan") / "locks" / name)
        try:
            if not lock.acquire():
                return False
        except OSError:  # nothing can be locked here: better without than not at all
            return True
        self._lock = lock
        return True

    def release(self) -> None:
        """Delete what is not needed any more, and leave the folder to others."""
        try:
            if self._needed is not None:
                self._prune(self._needed)
        finally:
            if self._lock is not None:
                self._lock.release()

    def load(self, stack: SliceStack) -> Saved | None:
        """Read what was saved; None if there is nothing.

        Raises
        ------
        BadInput
            If the file is damaged: it is kept aside under another name. Or if it cannot be
            read now, or by this version: it is left alone, and nothing is saved any more.
        """
        path = self.folder / NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            saved = None if content["format"] > FORMAT else self._parse(content, stack)
        except FileNotFoundError:
            self._prune(())
            return None
        except OSError as error:
            raise self._seal(error.strerror or str(error)) from None
        except (BadInput, ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._put_aside(path, str(error)) from None
        if saved is None:
            raise self._seal("a newer version of napari-ssan wrote them: update yours")
        self._prune(saved.patches)
        self._needed = saved.patches
        return saved

    def _parse(self, content: dict[str, Any], stack: SliceStack) -> Saved:
        marks = Marks.from_json(json.dumps(content["defects"]), stack.shape[1:])
        marks.check(stack.shape)
        states = {_slot(e["slot"]): str(e["state"]) for e in content["states"]}
        when = datetime.fromisoformat(content["saved"])
        patches = [self._read_patch(entry, stack) for entry in content["patches"]]
        found = tuple(patch for patch in patches if patch is not None)
        return Saved(marks, states, found, when, len(patches) - len(found))

    def save(self, saved: Saved) -> None:
        """Write the state, whole or not at all; without any mark there is none to be kept.

        Does nothing, as does :meth:`keep`, if what is there was left alone by :meth:`load`.

        Raises
        ------
        OSError
            If it cannot be written, as when the disk is full.
        """
        if self._sealed:
            return
        self._needed = None
        if saved.marks:
            with worded(self.folder):
                self._write(saved)
        else:
            (self.folder / NAME).unlink(missing_ok=True)
            self._remove_if_empty()
        self._needed = saved.patches

    def _write(self, saved: Saved) -> None:
        content = {
            "format": FORMAT,
            "saved": datetime.now(UTC).isoformat(),
            "defects": json.loads(saved.marks.to_json()),
            "states": [{"slot": slot, "state": state} for slot, state in saved.states.items()],
            "patches": [
                _patch_to_json(patch)
                for patch in saved.patches
                if isinstance(patch.pixels, StoredArray)
            ],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{NAME}.part"
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.folder / NAME)
        finally:
            temporary.unlink(missing_ok=True)

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
        z, number = patch.slot
        name = f"{z}-{number}-{patch.top}-{patch.left}-{os.urandom(4).hex()}.npy"
        pixels = store(self.folder / name, np.asarray(patch.pixels[:]))
        if patch.error is None:
            return replace(patch, pixels=pixels)
        error = store(self.folder / f"error-{name}", np.asarray(patch.error[:]))
        return replace(patch, pixels=pixels, error=error)

    def _remove_if_empty(self) -> None:
        for folder in (self.folder, self.folder.parent):
            try:
                folder.rmdir()
            except OSError:  # not there, or not empty
                return

    def _prune(self, keep: tuple[Patch, ...]) -> None:
        if any(self.folder.glob("damaged-*.json")):
            return  # marks that were put aside may refer to any of the pixels
        arrays = [array for patch in keep for array in (patch.pixels, patch.error)]
        kept = {array.path for array in arrays if isinstance(array, StoredArray)}
        for path in self.folder.glob("*.npy"):
            if path not in kept:
                path.unlink(missing_ok=True)
        self._remove_if_empty()

    def _read_patch(self, entry: dict[str, Any], stack: SliceStack) -> Patch | None:
        """Read a patch; None if its pixels are not there as they should be."""
        slot, top, left = _slot(entry["slot"]), int(entry["top"]), int(entry["left"])
        try:
            record = SyntheticSection.model_validate(entry["record"])
            pixels = StoredArray(self.folder / Path(entry["file"]).name)
            mask = None if entry["mask"] is None else _mask_from_json(entry["mask"], stack)
        except (FileNotFoundError, ValueError, EOFError, BadInput, ValidationError):
            return None
        ends = np.add((top, left), pixels.shape)
        fits = len(pixels.shape) == 2 and (ends <= stack.shape[1:]).all() and min(top, left) >= 0
        if not fits or pixels.dtype != stack.dtype or not 0 <= slot[0] < len(stack):
            return None
        if mask is not None and mask.shape != pixels.shape:
            return None
        error = self._read_error(entry.get("error"), pixels.shape)
        return Patch(slot, top, left, pixels, mask, record, error)

    def _read_error(self, name: str | None, shape: tuple[int, ...]) -> StoredArray | None:
        """Read the map of expected errors; without one the pixels are still good."""
        if name is None:
            return None
        try:
            error = StoredArray(self.folder / Path(name).name)
        except (FileNotFoundError, ValueError, EOFError):
            return None
        return error if error.shape == shape and error.dtype == np.float32 else None

    def _put_aside(self, path: Path, reason: str) -> BadInput:
        aside = path.with_name(f"damaged-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.json")
        try:
            path.replace(aside)
        except OSError:
            return self._seal(reason)
        return BadInput(
            f"The saved marks of this stack cannot be read ({reason}); they are kept as {aside}."
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


def _patch_to_json(patch: Patch) -> dict[str, Any]:
    mask = None if patch.mask is None else _mask_to_json(patch.mask)
    return {
        "slot": patch.slot,
        "top": patch.top,
        "left": patch.left,
        "file": cast(StoredArray, patch.pixels).path.name,
        "error": patch.error.path.name if isinstance(patch.error, StoredArray) else None,
        "mask": mask,
        "record": patch.record.model_dump(mode="json"),
    }


def _mask_to_json(mask: Mask) -> Any:
    """Give a mask the form in which regions are written."""
    written = Marks(regions={0: [Region(0, 0, mask)]}).to_json()
    return json.loads(written)["regions"][0]


def _mask_from_json(entry: dict[str, Any], stack: SliceStack) -> Mask:
    height, width = (int(n) for n in entry["shape"])
    marks = Marks.from_json(json.dumps({"regions": [entry]}), stack.shape[1:])
    return cast(Mask, marks.mask(0, (slice(0, height), slice(0, width))))


def _slot(value: Any) -> Slot:
    z, number = value
    return int(z), int(number)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _day(when: datetime) -> str:
    day = when.astimezone().date()
    days = (datetime.now().astimezone().date() - day).days
    return {0: "today", 1: "yesterday"}.get(days, f"{day:%d %B %Y}")
