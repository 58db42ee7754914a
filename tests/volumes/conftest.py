"""Volumes in all the ways that a zarr store can hold them, and their bytes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_ssan.cli import main
from napari_ssan.files.zarr_rows import halved
from napari_ssan.volumes.slabs import How

from .nursery import Nursery

#: zarr format, sections per chunk, shards, halved along z
KINDS = {
    "0.4": (2, 1, None, False),
    "0.4 thick": (2, 4, None, False),
    "0.5": (3, 1, None, False),
    "0.5 thick": (3, 4, None, False),
    "0.5 sharded": (3, 1, (4, 64, 64), False),
    "0.5 halved along z": (3, 2, None, True),
    "0.5 sharded, halved along z": (3, 2, (4, 64, 64), True),
}
#: Chunks, and shards, of outputs.
CUTS = {
    "chunked": ("--chunks", "2,32,32"),
    "sharded": ("--chunks", "1,16,16", "--shards", "4,32,64"),
}
Make = Callable[..., Path]
AVERAGE = How("average")


def pyramid(volume: np.ndarray, along_z: bool = False, levels: int = 3) -> list[np.ndarray]:
    """Levels as they should be."""
    found = [volume]
    while len(found) < levels:
        coarse = np.stack([halved(section) for section in found[-1]])
        if along_z:
            pairs = [coarse[z : z + 2].astype(np.int64) for z in range(0, len(coarse), 2)]
            coarse = np.stack([(p.sum(0) + len(p) // 2) // len(p) for p in pairs]).astype("uint8")
        found.append(coarse)
    return found


@pytest.fixture
def volume() -> np.ndarray:
    """(13, 100, 130) uint8."""
    random = np.random.default_rng(0)
    base = random.integers(60, 200, (4, 25, 33)).repeat(4, 0).repeat(4, 1).repeat(4, 2)
    noise = random.integers(-20, 20, (13, 100, 130))
    return (base[:13, :100, :130] + noise).clip(1, 254).astype(np.uint8)


@pytest.fixture
def stack(tmp_path: Path, volume: np.ndarray) -> Path:
    """The volume as a TIFF."""
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, volume, photometric="minisblack")
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """``run("repair", ...)``: exit code and what was said."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["napari-ssan", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), "".join(capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def nursery(tmp_path_factory) -> Iterator[Nursery]:
    """Forks runs, and workers, to be killed."""
    pytest.importorskip("distributed")
    if os.name == "nt":
        pytest.skip("no fork")
    started = Nursery(tmp_path_factory.mktemp("nursery"))
    yield started
    started.end()


def write(path: Path, volume: np.ndarray, kind: str) -> Path:
    """Write an OME-Zarr image."""
    version, thick, shards, along_z = KINDS[kind]
    group = zarr.create_group(path, zarr_format=version)
    levels = pyramid(volume, along_z)
    for number, level in enumerate(levels):
        options = {"shards": shards} if shards else {}
        chunks = (thick, 32, 32) if shards else (thick, 64, 64)
        group.create_array(str(number), data=level, chunks=chunks, **options)
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [
                {"type": "scale", "scale": [2**number if along_z else 1, 2**number, 2**number]}
            ],
        }
        for number in range(len(levels))
    ]
    image = {"axes": axes, "datasets": datasets, "name": "cortex"}
    if version == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    else:
        group.attrs["multiscales"] = [image | {"version": "0.4"}]
    return path


@pytest.fixture
def make(tmp_path: Path, volume: np.ndarray) -> Make:
    """``make("0.5 sharded")``: path of an image of a kind."""
    return lambda kind="0.5", name="image.ome.zarr": write(tmp_path / name, volume, kind)


def content(folder: Path, hidden: bool = True) -> dict[str, str]:
    """Digests of all files of a folder, by name.

    Its hidden entries are those of runs. After a kill, others may still be emptying them.
    """
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for entry in sorted(folder.iterdir())
        if hidden or not entry.name.startswith(".")
        for path in (sorted(entry.rglob("*")) if entry.is_dir() else [entry])
        if path.is_file()
    }


def levels_of(path: Path) -> list[np.ndarray]:
    """Pixels of all levels."""
    return [np.asarray(zarr.open_array(path / str(number), mode="r")) for number in range(3)]


def attributes(path: Path) -> dict:
    """Those of the root."""
    return json.loads(json.dumps(dict(zarr.open_group(path, mode="r").attrs)))
