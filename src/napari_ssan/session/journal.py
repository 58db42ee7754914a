"""The journal of a repair: marks, states and repairs, one line a change.

Every line is JSON that is merged into what the lines before it say: a name takes a new value,
or goes where that is null. So a change costs what changed, whatever came before. The first
line names the format. When the journal is opened, it is written anew without what is out of date.

Finds out by itself what has changed since it last wrote; a write that failed is made up for
by the next one. Where it lies, who may write, and the files of pixels are the sidecar's.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from napari_ssan.atomic import write_atomically
from napari_ssan.engine.patch_files import patch_to_json, read_patch
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.stored import StoredArray
from napari_ssan.errors import BadInput
from napari_ssan.json_text import dump_json
from napari_ssan.paths import check_input
from napari_ssan.session.marks import mark_of
from napari_ssan.session.results import Result
from napari_ssan.session.saved import Saved
from napari_ssan.stack.marks import Mark, Marks
from napari_ssan.stack.marks_io import MALFORMED
from napari_ssan.stack.sections import SliceStack

FORMAT = 2
#: The journal, and what format 1 had in its place, which now tells older versions to stay away.
NAME, OLDER = "journal.jsonl", "marks.json"
Content = dict[str, dict[str, Any]]
Value = TypeVar("Value")
NOTHING = Saved(Marks(), {})


class NewerFormat(Exception):
    """A newer version wrote it."""

    def __str__(self) -> str:
        return "a newer version of napari-ssan wrote them: update yours"


class Journal:
    """Writes the states of a repair to a folder, each as what it changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written = NOTHING
        # What is in the file is not all known: the next write replaces it.
        self._anew = True

    def load(self, stack: SliceStack) -> Saved | None:
        """Read what was saved, see :func:`read`, and go on from there."""
        saved = read(self.folder, stack)
        self._written = saved or NOTHING
        return saved

    def compact(self, saved: Saved) -> None:
        """Write a state anew, as of when it was saved; an OSError leaves what was there."""
        lines = b"".join(map(_line, _lines(saved)))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / NAME, lines)
        write_atomically(self.folder / OLDER, _line({"format": FORMAT}))
        self._written, self._anew = saved, False

    def write(self, saved: Saved) -> None:
        """Append what a state changes; without any mark there is nothing to be kept."""
        if not saved.marks:
            for name in (NAME, OLDER):
                (self.folder / name).unlink(missing_ok=True)
            self._written, self._anew = NOTHING, True
        elif self._anew:
            self.compact(saved)
        elif change := _change(self._written, saved):
            self._append(_line({"saved": _now()} | change))
            self._written = saved

    def _append(self, line: bytes) -> None:
        self._anew = True  # until it is known to be there
        with (self.folder / NAME).open("r+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, "the disk is full")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
        self._anew = False


def read(folder: Path, stack: SliceStack) -> Saved | None:
    """Read what was saved of a stack; None if nothing was. Changes nothing.

    Raises
    ------
    BadInput
        If nothing of it can be read.
    NewerFormat
        If a newer version wrote it.
    OSError
        If a file cannot be read now.
    """
    for name in (NAME, OLDER):
        check_input(folder / name)
    try:
        lines = (folder / NAME).read_bytes().split(b"\n")
    except FileNotFoundError:
        return _read_format_1(folder, stack)
    content: Content = {"marks": {}, "states": {}, "patches": {}, "spares": {}}
    when, damage = None, ""
    for number, line in enumerate(lines[:-1], 1):  # after the last break nothing, or a torn line
        try:
            when = _merge(json.loads(line), content) or when
        except MALFORMED as error:
            if number == 1 or number < len(lines) - 1 or lines[-1]:  # else it is the torn one
                damage = f"line {number}: {error}"
    if len(lines) == 1:
        damage = "no line is whole"
    return _parse(content, when, stack, folder, damage)


def _read_format_1(folder: Path, stack: SliceStack) -> Saved | None:
    """Read one JSON file, which was written whole at every change."""
    try:
        old = json.loads((folder / OLDER).read_text(encoding="utf-8"))
        if old["format"] > FORMAT:
            raise NewerFormat
        if old["format"] == FORMAT:  # no marks.json, but the note beside a journal
            return None
        content: Content = {
            "marks": {"": old["defects"]},
            "states": {_key(each["slot"]): each["state"] for each in old["states"]},
            "patches": {each["file"]: each for each in old["patches"]},
            "spares": {},
        }
        return _parse(content, datetime.fromisoformat(old["saved"]), stack, folder)
    except FileNotFoundError:
        return None
    except MALFORMED as error:
        raise BadInput(str(error)) from None


def _merge(change: dict[str, Any], content: Content) -> datetime | None:
    """Merge a line into what the lines before it say; when it was saved."""
    if change.get("format", FORMAT) > FORMAT:
        raise NewerFormat
    when = datetime.fromisoformat(change["saved"]) if "saved" in change else None
    parts = {name: change.get(name, {}).items() for name in content}
    for name, entries in parts.items():
        content[name].update(entries)
    return when


def _parse(
    content: Content, when: datetime | None, stack: SliceStack, folder: Path, damage: str = ""
) -> Saved | None:
    """Turn JSON into a state; what is null has gone."""
    found = {
        name: {key: value for key, value in entries.items() if value is not None}
        for name, entries in content.items()
    }
    marks = Marks()
    for entry in found["marks"].values():
        try:
            part = Marks.from_json(dump_json(entry), stack.shape[1:])
            part.check(stack.shape)
        except BadInput as error:
            damage = damage or str(error)
            continue
        marks.update(part)
    if not marks:
        if damage:
            raise BadInput(damage)
        return None
    marks.check(stack.shape)
    known = {_key(mark): mark for mark in marks.each()}
    states = {known[key]: str(state) for key, state in found["states"].items() if key in known}
    patches = [read_patch(folder, *each, stack) for each in found["patches"].items()]
    kept = tuple(patch for patch in patches if patch is not None)
    spares: dict[Mark, dict[str, Result]] = {}
    for name, entry in found["spares"].items():
        patch = read_patch(folder, name, entry, stack)
        if patch is not None:
            results, made = spares.setdefault(mark_of(patch.slot), {}), str(entry.get("result"))
            results[made] = (*results.get(made, ()), patch)
    return Saved(marks, states, kept, when, len(patches) - len(kept), spares, damage)


def _change(before: Saved, after: Saved) -> Content:
    """Say in JSON what makes a state of another one; pixels in memory are not kept."""
    same = before.marks is after.marks
    parts = {
        "marks": {} if same else _differing(before.marks.each(), after.marks.each(), _mark_to_json),
        "states": _differing(before.states, after.states, str),
        "patches": _differing(_stored(before), _stored(after), patch_to_json),
        "spares": _differing(_spares(before), _spares(after), _spare_to_json),
    }
    return {name: entries for name, entries in parts.items() if entries}


def _differing(
    before: Mapping[Any, Value], after: Mapping[Any, Value], write: Callable[[Value], Any]
) -> dict[str, Any]:
    new = {_key(key): write(value) for key, value in after.items() if before.get(key) != value}
    return new | {_key(key): None for key in before if key not in after}


def _lines(saved: Saved) -> Iterator[dict[str, Any]]:
    """Give a state as lines each of which says one thing, so that damage costs one."""
    yield {"format": FORMAT, "saved": saved.when.isoformat() if saved.when else _now()}
    for name, entries in _change(NOTHING, saved).items():
        for key, entry in entries.items():
            yield {name: {key: entry}}


def _key(key: str | Mark) -> str:
    return key if isinstance(key, str) else f"{key[0]}-{key[1]}"


def _mark_to_json(mark: Marks) -> dict[str, Any]:
    return {name: part for name, part in json.loads(mark.to_json()).items() if part}


def _stored(saved: Saved) -> dict[str, Patch]:
    return {p.pixels.path.name: p for p in saved.patches if isinstance(p.pixels, StoredArray)}


def _spares(saved: Saved) -> dict[str, tuple[str, Patch]]:
    """By the name of their file, patches that are not chosen, and what made their result."""
    return {
        patch.pixels.path.name: (name, patch)
        for results in saved.spares.values()
        for name, result in results.items()
        for patch in result
        if isinstance(patch.pixels, StoredArray)
    }


def _spare_to_json(spare: tuple[str, Patch]) -> dict[str, Any]:
    name, patch = spare
    return {"result": name} | patch_to_json(patch)


def _line(content: Mapping[str, Any]) -> bytes:
    return dump_json(content).encode() + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat()
