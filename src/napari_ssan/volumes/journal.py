"""What was done to a volume, one line a step, in the folder of its originals.

Only the run that holds the volume writes here, never a worker, so lines do not mix. A line that
a kill has torn is dropped. Easy to get wrong: marks add up over runs. A section that was repaired
once is marked in every later run, too, so that it is never a neighbour; a restore ends that.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_ssan.atomic import worded
from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.errors import BadInput
from napari_ssan.files import remote
from napari_ssan.json_text import dump_json
from napari_ssan.paths import address
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import MALFORMED
from napari_ssan.volumes.objects import read_object, write_object

FORMAT = 1
NAME = "journal.jsonl"
#: Behind an address, where nothing is appended to, it is cut into objects of so many lines.
FIRST, LINES = "journal-000000.jsonl", 100
PART = re.compile(r"journal-\d{6}\.jsonl")
#: Level, row of objects.
Row = tuple[int, int]


@dataclass
class State:
    """What a journal says.

    Attributes
    ----------
    run : dict
        The last run as it was begun; empty if there was none.
    asked : set of int
        Sections that it is to repair.
    done : dict
        By row of a level, the sections that this run has brought there.
    records : dict
        By section, what is synthetic of it now, by all runs.
    failed : dict
        By row of a level, sections and reason of what failed and was not done since.
    restoring : set of int
        Sections whose restore was begun and has not ended.
    finished : bool
        Whether the last run has come to its end.
    """

    run: dict[str, Any] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    done: dict[Row, set[int]] = field(default_factory=dict)
    records: dict[int, list[SyntheticSection]] = field(default_factory=dict)
    failed: dict[Row, tuple[list[int], str]] = field(default_factory=dict)
    restoring: set[int] = field(default_factory=set)
    finished: bool = False

    def take(self, line: dict[str, Any]) -> None:
        """Take in a line.

        Raises
        ------
        One of `MALFORMED`
            If it is none of ours.
        """
        if line.get("format", FORMAT) > FORMAT:
            raise BadInput("A newer version of napari-ssan has repaired this volume: update yours.")
        sections = [int(z) for z in line.get("sections", [])]
        if line["step"] == "begin":
            self.run, self.asked, self.finished = line, set(sections), False
            self.done, self.failed = {}, {}
        elif line["step"] == "restoring":
            self.restoring.update(sections)
        elif line["step"] == "restored":
            self.restoring.difference_update(sections)
            self.asked.difference_update(sections)
            for z in sections:
                self.records.pop(z, None)
            for each in self.done.values():
                each.difference_update(sections)
            for row, (failed, _) in list(self.failed.items()):
                if not set(failed) - set(sections):
                    del self.failed[row]
        elif line["step"] in ("done", "failed"):
            level, number = (int(n) for n in line["row"])
            self.finished = False
            if line["step"] == "failed":
                self.failed[level, number] = sections, str(line["reason"])
                return
            self.failed.pop((level, number), None)
            self.done.setdefault((level, number), set()).update(sections)
            found = [SyntheticSection.model_validate(each) for each in line.get("records", [])]
            for z in sections if level == 0 else ():
                self.records[z] = [each for each in found if each.section == z]
        elif line["step"] == "end":
            self.finished = True

    @property
    def synthetic(self) -> tuple[SyntheticSection, ...]:
        """What is synthetic, by sections."""
        return tuple(record for z in sorted(self.records) for record in self.records[z])

    @property
    def repaired(self) -> set[int]:
        """Sections of the last run that are repaired at full resolution."""
        done = [sections for (level, _), sections in self.done.items() if level == 0]
        return set().union(*done) & self.asked

    def marks(self, shape: tuple[int, int]) -> Marks:
        """What is, or is to be, synthetic, in sections of (height, width)."""
        if not self.run:
            return Marks()
        every = Marks.from_json(self.run["marks"], shape)
        return only(every, {*self.asked, *self.records})


class Journal:
    """Reads and writes the journal in a folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._last = FIRST, b""

    def read(self) -> State:
        """What it says; nothing if there is none.

        Raises
        ------
        BadInput
            If it is damaged, or a newer version wrote it.
        """
        state = State()
        lines = self._content().split(b"\n")
        for number, line in enumerate(lines[:-1], 1):  # after them nothing, or a torn one
            try:
                state.take(json.loads(line))
            except BadInput:
                raise
            except MALFORMED as error:
                raise BadInput(
                    f"Line {number} of {self.path} is damaged ({error}); it says what was changed, "
                    "so nothing is changed any more. Bring it back from a backup."
                ) from None
        return state

    def _content(self) -> bytes:
        if address(self.path):
            return b"".join(read_object(self.path.parent / name) or b"" for name in self._parts())
        return read_object(self.path) or b""

    def _parts(self) -> list[str]:
        return sorted(name for name in remote.top(self.path.parent) if PART.fullmatch(name))

    def _append(self, line: bytes) -> None:
        if not self._last[1]:
            name = (self._parts() or [FIRST])[-1]
            self._last = name, read_object(self.path.parent / name) or b""
        name, content = self._last
        if content.count(b"\n") >= LINES:
            name, content = f"journal-{int(name[8:-6]) + 1:06}.jsonl", b""
        write_object(self.path.parent / name, content + line)
        self._last = name, content + line

    def write(self, step: str, **content: Any) -> None:
        """Append a line, and have it on the disk.

        Raises
        ------
        OSError, Unreachable
            If it cannot be written. Then nothing was.
        """
        line = dump_json({"step": step} | content).encode() + b"\n"
        if address(self.path):
            self._append(line)
            return
        with worded(self.path.parent), self.path.open("a+b", buffering=0) as file:
            end = _whole(file, file.seek(0, os.SEEK_END))
            try:
                file.truncate(end)
                file.write(line)
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise


def _whole(file: Any, end: int) -> int:
    """Where the last whole line ends."""
    while end:
        start = max(0, end - 4096)
        file.seek(start)
        at: int = file.read(end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def counted(sections: AbstractSet[int], but: Iterable[int] = ()) -> list[int] | None:
    """Sections as a journal has them; None where each is looked at when it is needed."""
    return sorted(sections - set(but)) if isinstance(sections, frozenset) else None


def only(marks: Marks, sections: Iterable[int]) -> Marks:
    """The marks of some sections."""
    wanted = set(sections)
    regions = {z: list(each) for z, each in marks.regions.items() if z in wanted}
    return Marks(marks.whole & wanted, regions, {}, marks.corrected & wanted)


def joined(marks: Marks, others: Marks) -> Marks:
    """Marks that are either."""
    found = marks.copy()
    found.corrected = found.corrected - others.whole | others.corrected
    found.whole |= others.whole
    for z, regions in others.regions.items():
        known = {region.key(z) for region in found.regions.get(z, [])}
        for region in regions:
            if region.key(z) not in known:
                found.add_region(z, region)
    return found
