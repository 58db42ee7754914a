"""Whether a zarr store or HDF5 dataset holds all of its chunks, and whether files stay.

A chunk that was never written reads as the fill value, so a store that was copied in part looks
like one with black sections. Missing chunks are legal, thus no store is refused for some: they
are counted, and a section that lacks what the one beside it has is no good neighbour.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_ssan.errors import BadInput
from napari_ssan.files.remote import can_list, names
from napari_ssan.paths import address, real

Place = tuple[int, ...]

#: One of so many chunks must be there. Tissue fills less of no stack that is worth a repair.
SPARSEST = 1000
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

    def lacking(self, axis: int) -> frozenset[int]:
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


def files_in(path: Path) -> Iterator[tuple[str, int]]:
    """Files of a folder, or a file, with their sizes; names are relative, with slashes.

    Links to folders are followed, but not those in a folder that a link has led to.
    """
    if not path.is_dir():
        yield "", path.stat().st_size
        return
    root, within = str(real(path)), [""]
    while within:  # plain text, as there may be millions of files
        inner = within.pop()
        folder = f"{root}/{inner}".rstrip("/")
        try:
            entries = [*os.scandir(folder)]
        except OSError:  # nobody else can read it either
            continue
        for entry in entries:
            name = f"{inner}{entry.name}"
            if entry.is_file():
                yield name, entry.stat().st_size
            elif entry.is_dir() and not (
                entry.is_symlink() and os.path.realpath(folder) != os.path.normpath(folder)
            ):
                within.append(f"{name}/")


def zarr_chunks(path: Path, array: Any) -> Chunks | None:
    """Find the chunks of a zarr array, by the names of its objects.

    None if it lies behind an address, and there is no list, or a very long one.
    """
    chunk = array.shards or array.chunks
    grid = [-(-n // c) for n, c in zip(array.shape, chunk, strict=True)]
    folder, there = path / array.path, set()
    if address(path) and (math.prod(grid) > LONGEST or not can_list(path)):
        return None
    for name, size in names(folder) if address(path) else files_in(folder):
        place = tuple(int(number) for number in re.findall(r"\d+", name.removeprefix("c")))
        fits = len(place) == len(grid) and all(p < n for p, n in zip(place, grid, strict=True))
        if size and fits and array.metadata.encode_chunk_key(place) == name:
            there.add(place)
    return Chunks(tuple(array.shape), tuple(chunk), frozenset(there))


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
    if len(chunks.there) * SPARSEST < chunks.expected:
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
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._amounts = {path: _amount(path) for path in paths if not address(path)}

    def check(self) -> None:
        """Check that nothing has vanished since; what was added does not matter.

        Raises
        ------
        BadInput
            If files or folders are gone, or have become smaller.
        """
        for path, before in self._amounts.items():
            if any(now < then for now, then in zip(_amount(path), before, strict=True)):
                raise BadInput(
                    f"{path} has lost data while it was read; put it back and repair it again."
                )


def _amount(path: Path) -> tuple[int, int]:
    """Number of files, and of bytes."""
    if not path.exists():
        return 0, 0
    sizes = [size for _, size in files_in(path)]
    return len(sizes), sum(sizes)
