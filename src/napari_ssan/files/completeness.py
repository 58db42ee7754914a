"""Whether a zarr store or HDF5 dataset holds all of its chunks, and whether files stay.

A chunk that was never written reads as the fill value, so a store that was copied in part looks
like one with black sections. Missing chunks are legal, thus no store is refused for some: they
are counted, and a section that lacks what the one beside it has is no good neighbour. Easy to get
wrong: millions of files take minutes to list, so then a section's chunks are only looked for when
somebody asks about that section.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.files.remote import can_list, names
from napari_ssan.paths import address, real

Place = tuple[int, ...]
#: Rows of chunks that are remembered.
ROWS = 256

#: One of so many chunks must be there. Tissue fills less of no stack that is worth a repair.
SPARSEST = 1000
#: Of an array of more chunks, no list is made.
MANY = 50_000
#: So many objects are listed behind an address, a thousand at a time.
LONGEST = 200_000


@dataclass(frozen=True, eq=False)
class Chunks:
    """The chunks that are there of an array.

    Attributes
    ----------
    shape, chunk : tuple of int
        Of the array, and of a chunk (of zarr: a shard, if there are any).
    there : frozenset of tuple of int
        Places in the grid of chunks that are stored.
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    there: frozenset[Place]

    @property
    def expected(self) -> int:
        """How many there should be."""
        return math.prod(-(-n // c) for n, c in zip(self.shape, self.chunk, strict=True))

    @property
    def missing(self) -> int:
        """How many there are not."""
        return self.expected - len(self.there)

    @property
    def some(self) -> bool:
        """Whether a fair part of them is there: less fits no shape that can be believed."""
        return len(self.there) * SPARSEST >= self.expected

    def lacking(self, axis: int) -> AbstractSet[int]:
        """Sections along an axis that lack a chunk which the one beside them has."""
        if not self.missing:
            return frozenset()
        rows: dict[int, set[Place]] = {}
        for place in self.there:
            rows.setdefault(place[axis], set()).add((*place[:axis], *place[axis + 1 :]))
        thick, lacking = self.chunk[axis], set[int]()
        for row, places in rows.items():
            for other in (row - 1, row + 1):
                if places - rows.get(other, set()):
                    lacking.update(range(other * thick, (other + 1) * thick))
        return frozenset(z for z in lacking if 0 <= z < self.shape[axis])


class ManyChunks:
    """The chunks of an array that has so many of them that they are not listed.

    Parameters
    ----------
    array : zarr.Array
    there : callable
        Whether an object is there, and not empty, by its name within the array.
    """

    def __init__(self, array: Any, there: Callable[[str], bool]) -> None:
        self._array, self._there = array, there
        self.shape, self.chunk = tuple(array.shape), tuple(array.shards or array.chunks)
        self._rows: dict[tuple[int, int], frozenset[Place]] = {}

    def row(self, axis: int, number: int) -> frozenset[Place]:
        """Places, without this axis, of the chunks that a row along an axis has."""
        if (axis, number) not in self._rows:
            if len(self._rows) > ROWS:
                self._rows.clear()
            grid = [range(-(-n // c)) for n, c in zip(self.shape, self.chunk, strict=True)]
            within = 0 <= number < len(grid[axis])
            grid[axis] = range(number, number + within)
            name = self._array.metadata.encode_chunk_key
            self._rows[axis, number] = frozenset(
                (*place[:axis], *place[axis + 1 :])
                for place in itertools.product(*grid)
                if self._there(name(place))
            )
        return self._rows[axis, number]

    def lacking(self, axis: int) -> AbstractSet[int]:
        """As :meth:`Chunks.lacking`; each section is looked at when it is asked for."""
        return Lacking(self, axis)


class Lacking(AbstractSet[int]):
    """Sections that lack a chunk which the one beside them has."""

    def __init__(self, chunks: ManyChunks, axis: int) -> None:
        self._chunks, self._axis = chunks, axis

    def __contains__(self, z: object) -> bool:
        if not isinstance(z, int | np.integer) or not 0 <= z < self._chunks.shape[self._axis]:
            return False
        row = int(z) // self._chunks.chunk[self._axis]
        own, *others = (self._chunks.row(self._axis, n) for n in (row, row - 1, row + 1))
        return any(other - own for other in others)

    def __iter__(self) -> Iterator[int]:
        return (z for z in range(self._chunks.shape[self._axis]) if z in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> frozenset[Any]:
        return frozenset(it)


def files_in(path: Path) -> Iterator[tuple[str, int]]:
    """Files of a folder, or a file, with their sizes; names are relative, with slashes.

    Links to folders are followed, but not those in a folder that a link has led to. Of an address,
    the objects below it.
    """
    if address(path):
        yield from names(path)
        return
    if not path.is_dir():
        yield "", path.stat().st_size
        return
    root, within = str(real(path)), [""]
    while within:  # plain text, as there may be millions of files
        inner = within.pop()
        folder = f"{root}/{inner}".rstrip("/")
        for entry in _entries(folder):
            name = f"{inner}{entry.name}"
            if entry.is_file():
                yield name, entry.stat().st_size
            elif entry.is_dir() and not (
                entry.is_symlink() and os.path.realpath(folder) != os.path.normpath(folder)
            ):
                within.append(f"{name}/")


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:  # nobody else can read it either
        return


def zarr_chunks(path: Path, array: Any) -> Chunks | ManyChunks | None:
    """Find the chunks of a zarr array, by the names of its objects.

    None if it lies behind an address, and there is no list, or a very long one.
    """
    chunk = array.shards or array.chunks
    grid = [-(-n // c) for n, c in zip(array.shape, chunk, strict=True)]
    count = math.prod(grid)
    folder, there = path / array.path, set()
    if address(path) and (count > LONGEST or not can_list(path)):
        return None
    enough = min(count // SPARSEST + 1, MANY) if count > MANY and not address(path) else None
    for name, size in files_in(folder):
        place = tuple(int(number) for number in re.findall(r"\d+", name.removeprefix("c")))
        fits = len(place) == len(grid) and all(p < n for p, n in zip(place, grid, strict=True))
        if size and fits and array.metadata.encode_chunk_key(place) == name:
            there.add(place)
            if len(there) == enough:
                return ManyChunks(array, partial(_is_there, str(folder)))
    return Chunks(tuple(array.shape), tuple(chunk), frozenset(there))


def _is_there(folder: str, name: str) -> bool:
    """Whether a file is there, and not empty."""
    try:
        return Path(folder, name).stat().st_size > 0
    except OSError:
        return False


def hdf5_chunks(dataset: Any) -> Chunks | None:
    """Find the chunks of an HDF5 dataset; None if it is stored in one piece."""
    if dataset.chunks is None:
        return None
    there: set[Place] = set()

    def note(chunk: Any) -> None:
        places = zip(chunk.chunk_offset, dataset.chunks, strict=True)
        there.add(tuple(offset // length for offset, length in places))

    dataset.id.chunk_iter(note)
    return Chunks(dataset.shape, dataset.chunks, frozenset(there))


def check_some(name: str, chunks: Chunks) -> None:
    """Check that a fair part of the chunks is there.

    Raises
    ------
    BadInput
        If none is, or so few that what the metadata say of the shape cannot be believed.
    """
    if not chunks.some:
        raise BadInput(
            f"{name} holds {len(chunks.there) or 'none'} of the {chunks.expected} chunks that its "
            "metadata name; copy it again."
        )


class Witness:
    """How much there was of files when they were opened.

    Parameters
    ----------
    paths : iterable of Path
        Files or folders.
    count : bool
        Whether folders may hold few enough files to count them now.
    """

    def __init__(self, paths: Iterable[Path], *, count: bool = True) -> None:
        most = MANY if count else 0
        found = {path: _amount(path, most) for path in paths if not address(path)}
        self._amounts = {path: amount for path, amount in found.items() if amount}
        self._paths = found.keys()

    def watch(self) -> None:
        """Also watch what holds so many files that they were not counted, from now on."""
        for path in self._paths - self._amounts.keys():
            self._amounts[path] = _amount(path) or (0, 0)

    def check(self) -> None:
        """Check that nothing has vanished since; what was added does not matter.

        Raises
        ------
        BadInput
            If files or folders are gone, or have become smaller.
        """
        for path, before in self._amounts.items():
            now = _amount(path) or (0, 0)
            if now[0] < before[0] or now[1] < before[1]:
                raise BadInput(
                    f"{path} has lost data while it was read; put it back and repair it again."
                )


def _amount(path: Path, most: int | None = None) -> tuple[int, int] | None:
    """Number of files, and of bytes; None if there are more than `most` files."""
    if not path.exists():
        return 0, 0
    count = size = 0
    for _, each in files_in(path):
        count, size = count + 1, size + each
        if most is not None and count > most:
            return None
    return count, size
