"""How a volume is cut into levels, rows of objects and objects; what one of them says in pixels.

A `Layout` is plain data, found once and handed to every worker; `Level` reads and encodes. All
boxes here are (z, y, x), whatever the order of the axes in the store. Easy to get wrong: an object
is a shard where there are shards, since a shard is written as a whole.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr

from napari_ssan.errors import BadInput
from napari_ssan.files.completeness import ManyChunks
from napari_ssan.files.lazy import LazyArray
from napari_ssan.files.open import StackFile, open_stack
from napari_ssan.files.open_zarr import is_zarr
from napari_ssan.files.provenance_io import KEY
from napari_ssan.files.zarr_rows import halved
from napari_ssan.json_text import dump_as_read
from napari_ssan.paths import address, spelled
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Mask, Region
from napari_ssan.stack.sections import Array, Window
from napari_ssan.volumes.objects import StagedStore, read_object

#: A level lies so many folders within its image, at most.
DEEPEST = 3
#: Sections, rows and columns; and place of an object in the grid of them.
Box = tuple[slice, slice, slice]
Place = tuple[int, int, int]


@dataclass(frozen=True)
class Layout:
    """Where the pixels of a volume lie in its store.

    Attributes
    ----------
    node : str
        Path of the group or array whose attributes are the image's.
    levels : tuple of str
        Paths of the arrays, full resolution first.
    zyx : (int, int, int)
        Their axes of sections, rows and columns; all others have length 1.
    factors : tuple of (int, int)
        How many sections, and how many rows and columns, of the level before make one of each.
    """

    node: str
    levels: tuple[str, ...]
    zyx: tuple[int, int, int]
    factors: tuple[tuple[int, int], ...]

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Layout:
        """A layout from its fields as JSON."""
        z, y, x = entry["zyx"]
        factors = tuple((int(along), int(across)) for along, across in entry["factors"])
        return cls(entry["node"], tuple(entry["levels"]), (z, y, x), factors)

    def spans(self, level: int) -> int:
        """How many sections of full resolution make one of a level."""
        return math.prod(z for z, _ in self.factors[: level + 1])


def find_layout(path: Path) -> tuple[Layout, StackFile]:
    """Open a volume that is to be changed in place.

    Raises
    ------
    BadInput
        If it is no zarr store, or holds a pyramid that cannot be kept consistent.
    """
    if not is_zarr(path):
        raise BadInput(
            f"{spelled(path)} is no zarr store; only zarr arrays and OME-Zarr images are changed "
            "in place."
        )
    above = path.parents[:DEEPEST]
    for image in (each for each in above if not address(path) or address(each)):
        if path.relative_to(image).as_posix() in _datasets(image, ""):
            raise BadInput(
                f"{path.name} is one level of the OME-Zarr image {image.name}; give the path of "
                "the image, so that all of its levels stay consistent."
            )
    file = open_stack(path)
    stack = file.stack()
    zyx = stack.z_axis, stack.y_axis, stack.x_axis
    node = node_of(path)
    names = tuple(f"{node}/{name}".strip("/") for name in _datasets(path, node)) or ("",)
    shapes = [tuple(level.shape[axis] for axis in zyx) for level in file.levels]
    factors = [(1, 1)]
    for number, (fine, coarse) in enumerate(itertools.pairwise(shapes), 1):
        z, y, x = (factor_of(n, m) for n, m in zip(fine, coarse, strict=True))
        if not z or not y or not x or (y != x and 1 not in (*fine[1:], *coarse[1:])):
            raise BadInput(
                f"Level {number} of {path.name} is no halving of the one before: it has the shape "
                f"{coarse}, after {fine}. It cannot be kept consistent: repair to a new output."
            )
        factors.append((z, max(y, x)))
    return Layout(node, names, zyx, tuple(factors)), file


def node_of(path: Path) -> str:
    """Path within a store of the group or array whose attributes are the image's."""
    return "0" if not _datasets(path, "") and _datasets(path, "0") else ""


def factor_of(fine: int, coarse: int) -> int:
    """The power of two by which a length is divided, rounded up or down; 0 if it is none."""
    for factor in (1, 2, 4, 8, 16):
        if coarse in (-(-fine // factor), fine // factor):
            return factor
    return 0


class Level:
    """An array of a volume, read as it is now or as it was, and encoded object by object.

    Parameters
    ----------
    store : zarr.abc.store.Store
        A :class:`~napari_ssan.volumes.objects.StagedStore` if it is to be encoded.
    layout : Layout
    number : int
        Which level.
    """

    def __init__(self, store: Any, layout: Layout, number: int) -> None:
        mode: Any = "r+" if isinstance(store, StagedStore) else "r"
        array: Any = zarr.open_array(store, path=layout.levels[number], mode=mode)
        self._store, self._array, self._zyx = store, array, layout.zyx
        self.pixels = LazyArray(array, f"level {number}")
        self.shape = tuple(array.shape[axis] for axis in layout.zyx)
        pieces = array.shards or array.chunks
        self.object = tuple(pieces[axis] for axis in layout.zyx)

    def read(self, box: Box) -> Array:
        """Pixels of a box, (sections, rows, columns), as an array of the caller's own."""
        return self.pixels[self._index(box)].transpose(np.argsort(np.argsort(self._zyx)))

    def read_around(self, box: Box, marked: Mapping[int, Mask]) -> Array:
        """Pixels of a box; if it is damaged, those of sections that are wholly marked are blank."""
        try:
            return self.read(box)
        except BadInput:
            numbers = range(box[0].start, box[0].stop)
            staying = [z for z in numbers if z not in marked or not marked[z].all()]
            if len(staying) == len(numbers):
                raise
            pixels = np.zeros([part.stop - part.start for part in box], self.pixels.dtype)
            for z in staying:
                pixels[z - numbers.start] = self.read((slice(z, z + 1), *box[1:]))[0]
            return pixels

    def lacking(self, there: Callable[[str], bool]) -> AbstractSet[int]:
        """Sections that lack an object which the one beside them has, as a store tells by names."""
        path = self._array.path
        chunks = ManyChunks(self._array, lambda name: there(f"{path}/{name}".lstrip("/")))
        return chunks.lacking(self._zyx[0])

    def boxes(self, row: int) -> Iterator[tuple[Place, Box]]:
        """The objects of a row: place in the grid, and what each covers."""
        counts = (-(-n // size) for n, size in zip(self.shape[1:], self.object[1:], strict=True))
        for y, x in np.ndindex(*counts):
            z, rows, columns = (
                slice(n * size, min((n + 1) * size, length))
                for n, size, length in zip((row, y, x), self.object, self.shape, strict=True)
            )
            yield (row, y, x), (z, rows, columns)

    def name(self, place: Place) -> str:
        """Name of the object at a place, (z, y, x) in the grid."""
        grid = [0] * self._array.ndim
        for axis, number in zip(self._zyx, place, strict=True):
            grid[axis] = number
        return f"{self._array.path}/{self._array.metadata.encode_chunk_key(tuple(grid))}".lstrip(
            "/"
        )

    def encode(self, place: Place, box: Box, pixels: Array) -> bytes | None:
        """The object at a place with these pixels; None if they are empty, and it is not kept."""
        others = [axis for axis in range(self._array.ndim) if axis not in self._zyx]
        index = tuple(part if isinstance(part, slice) else slice(0, 1) for part in self._index(box))
        self._array[index] = np.expand_dims(pixels.transpose(np.argsort(self._zyx)), others)
        staged = self._store.take()
        content: bytes | None = staged[self.name(place)]
        return content

    def _index(self, box: Box) -> tuple[int | slice, ...]:
        index: list[int | slice] = [0] * self._array.ndim
        for axis, part in zip(self._zyx, box, strict=True):
            index[axis] = part
        return tuple(index)


class Fine(Protocol):
    """A level that another one is the mean of; boxes and shape are (z, y, x)."""

    shape: tuple[int, ...]

    def read(self, box: Box) -> Array:
        """Pixels of a box."""


def mean(fine: Fine, factors: tuple[int, int], z: int, window: Window) -> Array:
    """Pixels of a coarser section in a window, as our writer makes them: means of 2 by 2.

    Parameters
    ----------
    fine : Fine
        The level before.
    factors : (int, int)
        As in :class:`Layout`, of the coarser level.
    z : int
        The coarser section.
    window : (slice, slice)
        Rows and columns of it.
    """
    along, across = factors
    rows, columns = (
        slice(part.start * across, min(part.stop * across, length))
        for part, length in zip(window, fine.shape[1:], strict=True)
    )
    found = []
    for source in range(z * along, min((z + 1) * along, fine.shape[0])):
        section = fine.read((slice(source, source + 1), rows, columns))[0]
        for _ in range(across.bit_length() - 1):
            section = halved(section)
        found.append(section)
    pixels: Array = np.stack(found)
    coarse: Array
    if pixels.dtype.kind == "f":
        coarse = np.asarray(pixels.mean(axis=0, dtype=np.float64))
    else:
        coarse = (np.asarray(pixels.sum(axis=0, dtype=np.int64)) + len(found) // 2) // len(found)
    return coarse.astype(pixels.dtype)


def coarser(marks: Marks, factors: tuple[int, int], shape: tuple[int, ...]) -> Marks:
    """Marks of all pixels of a coarser level, of (sections, height, width), that marks reach."""
    along, across = factors
    found = Marks({z // along for z in marks.whole if z // along < shape[0]})
    for z, regions in marks.regions.items():
        if z // along >= shape[0]:  # rounded down: nothing is made of the last sections
            continue
        for region in regions:
            top, left = region.top // across, region.left // across
            before = [(region.top % across, 0), (region.left % across, 0)]
            mask = np.pad(region.mask, before)
            mask = np.pad(mask, [(0, -n % across) for n in mask.shape])
            height, width = (n // across for n in mask.shape)
            parts = mask.reshape(height, across, width, across)
            mask = np.logical_or.reduce(parts, axis=(1, 3))[: shape[1] - top, : shape[2] - left]
            if mask.any():
                found.add_region(z // along, Region(top, left, mask))
    return found


def with_record(
    objects: dict[str, bytes], node: str, record: dict[str, Any] | None
) -> dict[str, bytes]:
    """The metadata objects that a record in the attributes of a node changes, as they become.

    Parameters
    ----------
    objects : dict of str to bytes
        Those of :func:`metadata_names` that are there.
    node : str
        See :class:`Layout`.
    record : dict or None
        Goes under the key of provenance; None for none there.
    """
    own, attributes = (f"{node}/{name}".lstrip("/") for name in ("zarr.json", ".zattrs"))
    found = {name: json.loads(content) for name, content in objects.items()}
    changed = own if own in found else attributes
    places = {changed: [found.setdefault(changed, {})]}
    if changed == own:
        places[own] = [found[own].setdefault("attributes", {})]
    for name in ("zarr.json", ".zmetadata"):
        copies = found.get(name, {})
        copies = copies.get("consolidated_metadata") or copies
        for key, each in (copies.get("metadata") or {}).items():
            if key in (node, attributes):
                copy = each.setdefault("attributes", {}) if key == node else each
                places.setdefault(name, []).append(copy)
    for holder in itertools.chain(*places.values()):
        holder.pop(KEY, None)
        if record is not None:
            holder[KEY] = record
    return {name: dump_as_read(found[name], indent=2).encode() for name in sorted(places)}


def metadata_names(node: str) -> tuple[str, ...]:
    """Objects that may hold the attributes of a node."""
    own, attributes = (f"{node}/{name}".lstrip("/") for name in ("zarr.json", ".zattrs"))
    return tuple(dict.fromkeys((own, attributes, "zarr.json", ".zmetadata")))


def record_of(content: bytes | None) -> dict[str, Any]:
    """The record in a metadata object; empty if there is none."""
    try:
        attributes = json.loads(content or b"{}")
        attributes = attributes.get("attributes", attributes)
        record = attributes.get(KEY)
    except (AttributeError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _datasets(path: Path, node: str) -> list[str]:
    """Paths of the arrays that the image of a group names; none if it holds no image."""
    for name in metadata_names(node):
        found = read_object(path / name)
        try:
            content = json.loads(found or b"")
            attributes = content.get("attributes", content)
            attributes = attributes.get("ome", attributes)
            return [str(each["path"]) for each in attributes["multiscales"][0]["datasets"]]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
    return []
