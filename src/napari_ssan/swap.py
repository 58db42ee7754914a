"""Puts new files and folders in the place of old ones: all of a set or none, whatever ends the run.

What is new lies in a :class:`~napari_ssan.part.Part` beside its place. A swap that needs several
renames writes a journal into the parts first: from then on it can only be finished, by this run or
by `recover` in a later one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from napari_ssan.json_text import dump_json
from napari_ssan.part import JOURNAL, NAME, held, parts, remove

#: What was replaced lies in the part under this name until the swap is done.
OLD = ".old"
#: Files that are brought to the disk at once.
_THREADS = 16


@dataclass(frozen=True)
class _Move:
    """What is to happen to one of a set.

    Attributes
    ----------
    part : Path
        Holds what is new; its place is beside the part.
    name : str
        Of both.
    replaced : int or None
        Which file or folder is replaced, by its number on the disk. Nothing else ever is: neither
        what somebody has put there since, nor what a forged journal is after.
    """

    part: Path
    name: str
    replaced: int | None

    @property
    def new(self) -> Path:
        return self.part / self.name

    @property
    def target(self) -> Path:
        return self.part.parent / self.name

    @property
    def old(self) -> Path:
        return self.part / OLD

    def forward(self) -> None:
        """Do it, or what is left of it to do."""
        if not os.path.lexists(self.new):
            return
        if os.path.lexists(self.target):
            if _number(self.target) != self.replaced or os.path.lexists(self.old):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.target))
            self.target.rename(self.old)
        self.new.rename(self.target)

    def back(self) -> None:
        """Undo it, or what was done of it; what another run has put there meanwhile stays."""
        if not os.path.lexists(self.new):
            self.target.rename(self.new)
        if os.path.lexists(self.old) and not os.path.lexists(self.target):
            self.old.rename(self.target)


def swap(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Bring what is new to the disk, and then to its place.

    Parameters
    ----------
    pairs : sequence of (Path, Path)
        What is new, each in a `Part`, and its place; what is there is replaced.

    Raises
    ------
    OSError
        If that cannot be done. Then all is as it was.
    """
    for new, _ in pairs:
        _sync(new)
    new, target = pairs[0]
    if len(pairs) == 1 and not (new.is_dir() and os.path.lexists(target)):
        os.replace(new, target)
        _sync_folder(target.parent)
        return
    moves = [
        _Move(Path(os.path.realpath(new.parent)), new.name, _number(target))
        for new, target in pairs
    ]
    own = [move.part for move in moves]
    try:
        for move in reversed(moves):  # with that of the first, the swap is decided
            _write_journal(move.part, moves)
        for move in moves:
            move.forward()
    except BaseException:
        for move in reversed(moves):
            move.back()
        _forget(own)
        raise
    for move in moves:
        _sync_folder(move.target.parent)
    _forget(own)


def recover(folder: Path) -> tuple[list[Path], list[Path]]:
    """Finish swaps that were killed in a folder, and remove what else killed runs left in it.

    What belongs to living runs is left alone.

    Returns
    -------
    finished, removed : list of Path
        What has taken its place now, and the hidden folders that only held incomplete work.

    Raises
    ------
    OSError
        If a swap cannot be finished now.
    """
    finished, removed = list[Path](), list[Path]()
    for part in parts(folder):
        with contextlib.ExitStack() as locks:
            if not locks.enter_context(held(part)):
                continue
            try:
                moves = _read_journal(part)
            except ValueError:  # not ours, or damaged: it may hold the only copy of something
                continue
            first = moves[0].part if moves else part
            if first != part:
                if not first.parent.is_dir():  # on a disk that is not there now
                    continue
                if first.is_dir() and not locks.enter_context(held(first)):
                    continue
            if moves and (first / JOURNAL).exists():
                for move in moves:
                    with contextlib.suppress(FileExistsError):
                        move.forward()
                    _sync_folder(move.target.parent)
                finished += [move.target for move in moves]
            _forget([*(move.part for move in moves), part])
            remove(part)
        if os.name == "nt":  # where no file is deleted that is locked
            remove(part)
        if not moves and not part.exists():
            removed.append(part)
    return finished, removed


def interrupted(path: Path) -> Path | None:
    """The part in which a killed swap has left what belongs at a path; None if there is none."""
    for part in parts(path.parent):
        with contextlib.suppress(ValueError):
            for move in _read_journal(part):
                ours = move.part == part and move.name == path.name
                if ours and any(map(os.path.lexists, (move.old, move.new))):
                    return part
    return None


def _write_journal(part: Path, moves: Sequence[_Move]) -> None:
    """Write down a swap, with paths from the part on: a disk may be mounted elsewhere next time."""
    text = dump_json([[_from(part, move.part), move.name, move.replaced] for move in moves])
    draft = part / f"{JOURNAL}.draft"
    draft.write_text(text, encoding="utf-8")
    _sync_file(draft)
    os.replace(draft, part / JOURNAL)
    for folder in (part, part.parent):
        _sync_folder(folder)


def _read_journal(part: Path) -> list[_Move]:
    """What a part's journal says; nothing if there is none; ValueError if it is none of ours."""
    try:
        text = (part / JOURNAL).read_text(encoding="utf-8")
    except OSError:
        return []
    moves = []
    try:
        for where, name, replaced in json.loads(text):
            other = Path(os.path.normpath(part / where))
            if not NAME.fullmatch(other.name) or Path(name).name != name:
                raise ValueError(name)
            moves.append(_Move(other, name, replaced))
    except (TypeError, RecursionError) as error:
        raise ValueError(text) from error
    return moves


def _forget(parts: Iterable[Path]) -> None:
    """Remove the journals, the deciding one first."""
    for part in parts:
        (part / JOURNAL).unlink(missing_ok=True)


def _number(path: Path) -> int | None:
    """Number of a file, a folder or a link on its disk; None if there is nothing."""
    return os.lstat(path).st_ino if os.path.lexists(path) else None


def _from(part: Path, path: Path) -> str:
    try:
        return os.path.relpath(path, part)
    except ValueError:  # on another drive of Windows
        return str(path)


def _sync(path: Path) -> None:
    """Bring a file, or a folder with all that is in it, to the disk."""
    if not path.is_dir():
        _sync_file(path)
        return
    files, folders = [], []
    for folder, _, names in os.walk(path):
        folders.append(Path(folder))
        files += [Path(folder, name) for name in names]
    sync_files(files)
    for each in reversed(folders):
        _sync_folder(each)


def sync_files(files: Iterable[Path]) -> None:
    """Bring files to the disk."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(_sync_file, files):
            pass


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make new names last through a power cut, where the system can."""
    with contextlib.suppress(OSError):  # Windows opens no folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
