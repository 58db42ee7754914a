"""Opens N5 and neuroglancer precomputed volumes: folders, or behind an address.

tensorstore reads the pixels; it is an extra. Which array is meant, and how large its voxels are,
is found here, in the JSON that lies beside them. Easy to get wrong: both formats count axes from x
on, and precomputed ends with the channel; here all is turned to (z, y, x). Where links lead is
looked at when a volume is opened; in one of very many files, when a chunk is read.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.files import remote, remote_clients
from napari_ssan.files.border import always_allowed, check_links, check_piece, check_within
from napari_ssan.files.calibration import Calibration, sane
from napari_ssan.files.completeness import MANY, files_in
from napari_ssan.files.lazy import LazyArray, reader
from napari_ssan.paths import address, spelled
from napari_ssan.stack.sections import Array

#: Files with what is to be known of a volume.
INFO, ATTRIBUTES = "info", "attributes.json"


def is_precomputed(path: Path) -> bool:
    """Whether a folder, or what an address stands for, is a precomputed volume."""
    return isinstance(_json(path / INFO).get("scales"), list)


def is_n5(path: Path) -> bool:
    """Whether a folder, or what an address stands for, is an N5 container, group or dataset."""
    known = _json(path / ATTRIBUTES)
    return "n5" in known or _is_dataset(known) or _is_dataset(_json(path / "s0" / ATTRIBUTES))


@reader
def open_precomputed(path: Path, home: Path | None) -> tuple[list[LazyArray], Calibration]:
    """Open all scales of a precomputed volume, the finest first.

    Parameters
    ----------
    path : Path
        Path or address of the folder with the file ``info``.
    home : Path or None
        Where all links in it must lead to; see :mod:`~napari_ssan.files.border`.

    Returns
    -------
    levels : list of LazyArray, (z, y, x)
        Or (c, z, y, x), if there are several channels.
    calibration : Calibration

    Raises
    ------
    BadInput
        If tensorstore is not installed, or the volume is damaged.
    """
    seen = bool(address(path)) or check_links(home, path, MANY)
    info = _json(path / INFO)
    spec = {"driver": "neuroglancer_precomputed", "kvstore": _kvstore(path)}
    levels = []
    for number, scale in enumerate(info["scales"]):
        folder = path / scale["key"]
        check_within(home, path.name, path / INFO)
        check_within(home, path.name, folder)
        if scale.get("sharding") and not seen:  # into few files, with names of their own
            check_links(home, folder)
        checked = not seen and not scale.get("sharding")
        guard = _Guard(home, path.name, folder, _between(scale)) if checked else None
        levels.append(_opened(path, spec | {"scale_index": number}, guard))
    finest = info["scales"][0]
    size = [sane(n, 1.0) for n in reversed(finest["resolution"])]
    offset = [float(n) for n in reversed(finest.get("voxel_offset") or [0, 0, 0])]
    first = [n * s for n, s in zip(offset, size, strict=True)]
    axes, name = "czyx", path.name.split(".")[0]
    if levels[0].shape[0] == 1:
        axes, levels = "zyx", [_Pixels(level.store[0], level.guard) for level in levels]
    rest = len(axes) - 3
    return [LazyArray(level, path.name) for level in levels], Calibration.of(
        axes, [1.0] * rest + size, "nanometer", [0.0] * rest + first, name=name
    )


@reader
def open_n5(path: Path, home: Path | None) -> tuple[list[LazyArray], Calibration]:
    """Open an N5 dataset, or the levels ``s0``, ``s1``, ... of a group.

    Parameters
    ----------
    path : Path
        Path or address of the dataset or the group. Of a container that holds only one, its own
        path will do.
    home : Path or None
        Where all links in it must lead to; see :mod:`~napari_ssan.files.border`.

    Returns
    -------
    levels : list of LazyArray
        Axes are those of the calibration.
    calibration : Calibration

    Raises
    ------
    BadInput
        If tensorstore is not installed, the volume is damaged, or there are several.
    """
    seen = bool(address(path)) or check_links(home, path, MANY)
    group = _group(path)
    known = _json(group / ATTRIBUTES)
    if _is_dataset(known):
        folders = [group]
    else:
        names = (f"s{number}" for number in itertools.count())
        within = (group / name for name in names)
        folders = list(itertools.takewhile(lambda f: _is_dataset(_json(f / ATTRIBUTES)), within))
    levels = []
    for folder in folders:
        check_within(home, path.name, folder / ATTRIBUTES)
        guard = None if seen else _Guard(home, path.name, folder, _numbered(folder))
        spec = {"driver": "n5", "kvstore": _kvstore(folder)}
        levels.append(LazyArray(_opened(path, spec, guard), path.name))
    ndim = levels[0].ndim
    own = _json(folders[0] / ATTRIBUTES)
    scale, units = _resolution(own, ndim) or _resolution(known, ndim) or (None, None)
    axes = own.get("axes") or known.get("axes") or list("xyzct")[:ndim]
    letters = "".join(str(axis)[:1].lower() for axis in reversed(axes))
    if len(letters) != ndim or not {"y", "x"} <= set(letters):
        raise BadInput(f"{path.name} has axes {letters!r}, not x, y and z; it cannot be read.")
    return levels, Calibration.of(letters, scale, units, name=path.name.split(".")[0] or group.name)


#: The size of chunks, and the name of one by its number, both along x, y and z.
Chunking = tuple[Sequence[int], Callable[[Sequence[int]], str]]


def _numbered(folder: Path) -> Chunking:
    """Chunks of an N5 dataset."""
    return _json(folder / ATTRIBUTES)["blockSize"], lambda place: "/".join(map(str, place))


def _between(scale: dict[str, Any]) -> Chunking:
    """Chunks of a scale of a precomputed volume, which lie in one folder."""
    size = scale["chunk_sizes"][0]
    first = scale.get("voxel_offset") or [0, 0, 0]

    def name(place: Sequence[int]) -> str:
        parts = zip(place, size, scale["size"], first, strict=True)
        return "_".join(f"{o + p * n}-{o + min((p + 1) * n, end)}" for p, n, end, o in parts)

    return size, name


@dataclass(frozen=True)
class _Guard:
    """Looks where the chunks of an array lie before they are read."""

    home: Path | None
    name: str
    folder: Path
    chunking: Chunking

    def check(self, spans: Sequence[slice]) -> None:
        """Check the chunks of a box, of slices along (..., z, y, x)."""
        size, name = self.chunking
        grid = (
            range(span.start // n, -(-span.stop // n))
            for span, n in zip(reversed(spans), size, strict=False)
        )
        for place in itertools.product(*grid):
            check_within(self.home, self.name, self.folder / name(place))


class _Pixels:
    """An array of tensorstore, (..., z, y, x) from 0 on."""

    def __init__(self, store: Any, guard: _Guard | None) -> None:
        self.store, self.guard = store, guard
        self.shape, self.dtype = tuple(store.shape), np.dtype(store.dtype.numpy_dtype)

    def __getitem__(self, spans: tuple[slice, ...]) -> Array:
        if self.guard is not None:
            self.guard.check(spans)
        return np.asarray(self.store[spans].read().result())


def _opened(path: Path, spec: dict[str, Any], guard: _Guard | None) -> _Pixels:
    try:
        import tensorstore
    except ImportError:
        raise BadInput(
            f"{path.name} is an N5 or precomputed volume, which needs tensorstore: "
            "pip install 'napari-ssan[tensorstore]'."
        ) from None
    retries = {
        "max_retries": remote_clients.TRIES,
        "initial_delay": f"{remote_clients.PAUSES[0]}s",
        "max_delay": f"{remote_clients.PAUSES[1]}s",
    }
    kinds = ("http_request_retries", "s3_request_retries", "gcs_request_retries")
    context = tensorstore.Context(dict.fromkeys(kinds, retries))
    store = tensorstore.open(spec, open=True, read=True, context=context).result()
    piece = store.chunk_layout.read_chunk.shape or store.shape
    size = math.prod(int(n or 1) for n in piece) * store.dtype.numpy_dtype.itemsize
    if size > always_allowed():
        stored = 0 if address(path) else sum(each for _, each in files_in(path))
        check_piece(path.name, size, stored)
    return _Pixels(store.T[tensorstore.d[:].translate_to[0]], guard)


def _kvstore(path: Path) -> dict[str, Any]:
    """Where tensorstore finds the objects of a folder or an address."""
    if (where := address(path)) is None:
        return {"driver": "file", "path": f"{path}/"}
    scheme, _, rest = where.partition("://")
    bucket, _, inner = rest.partition("/")
    if scheme == "s3":
        endpoint, region = remote_clients.s3_place(bucket)
        there = {"endpoint": endpoint} if endpoint else {}
        return {
            "driver": "s3",
            "bucket": bucket,
            "path": f"{inner}/",
            "aws_region": region,
            **there,
        }
    if scheme == "gs":
        return {"driver": "gcs", "bucket": bucket, "path": f"{inner}/"}
    login = remote_clients.login(bucket.partition(":")[0])
    headers = [f"{name}: {value}" for name, value in login.items()]
    return {"driver": "http", "base_url": f"{where}/", "headers": headers}


def _group(path: Path) -> Path:
    """The only dataset, or group of levels, at a path."""
    if _is_dataset(_json(path / ATTRIBUTES)) or _is_dataset(_json(path / "s0" / ATTRIBUTES)):
        return path
    found = []
    for folder, folders, _ in [] if address(path) else os.walk(path):
        here = Path(folder)
        if _is_dataset(_json(here / ATTRIBUTES)) or _is_dataset(_json(here / "s0" / ATTRIBUTES)):
            found.append(here)
            folders.clear()  # its blocks
    if len(found) == 1:
        return found[0]
    named = ", ".join(sorted(f"{spelled(path)}/{f.relative_to(path).as_posix()}" for f in found))
    raise BadInput(
        f"{path.name} holds several N5 datasets; give the path of one: {named}."
        if found
        else f"There is no N5 dataset right at {spelled(path)}; give the path of the dataset in it."
    )


def _is_dataset(attributes: dict[str, Any]) -> bool:
    return isinstance(attributes.get("dimensions"), list)


def _resolution(
    attributes: dict[str, Any], ndim: int
) -> tuple[list[float], list[str | None]] | None:
    """Voxel size and units in the ways that are in use, from the last axis of N5 to the first."""
    transform, pixel = attributes.get("transform"), attributes.get("pixelResolution")
    if isinstance(transform, dict):  # of COSEM, in the order of numpy
        values, units = transform.get("scale"), transform.get("units")
    elif isinstance(pixel, dict):
        values, units = pixel.get("dimensions"), [pixel.get("unit")] * ndim
    else:
        values, units = attributes.get("resolution", pixel), attributes.get("units")
    if not isinstance(values, list) or len(values) != ndim:
        return None
    units = units if isinstance(units, list) and len(units) == ndim else [None] * ndim
    turn = 1 if isinstance(transform, dict) else -1
    return [sane(value, 1.0) for value in values[::turn]], units[::turn]


def _json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing if it is not there, or something else."""
    try:
        content = remote.read(path) if address(path) else path.read_bytes()
        known = json.loads(content or b"")
    except remote.Unreachable:
        raise
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}
