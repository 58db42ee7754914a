"""What a repair in place costs: workers, dask, planning, memory.

Run ``python benchmarks/volumes.py --json`` on a machine with at least two idle cores. It measures

- sections per second of one process without dask, of dask with one worker and with two, each of one
  thread, between the first and the last slab, so that no import counts;
- the time from the call to the first slab, for 10 000 slabs of which 1 % holds marks;
- the time to open a volume of a million chunks;
- how far memory rises above the imports for one whole section, in volumes of 100 and of 2000
  sections, of a section in a shard of 64 sections, and of all 64; with ``--large 20000``, also for
  one of 20 000 x 20 000 pixels, which takes half an hour with ``--method ssan``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

# One thread, as dask gives to each worker; before torch is imported.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np
import psutil
import zarr
from large_layer import sparse_volume
from memory import resident_bytes

from napari_ssan.errors import Cancelled
from napari_ssan.files.open import open_stack
from napari_ssan.files.zarr_rows import halved
from napari_ssan.heap import share_heap
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.cluster import cluster
from napari_ssan.volumes.drive import SlabsDone
from napari_ssan.volumes.run import repair_in_place
from napari_ssan.volumes.slabs import How

SLABS, SHARE = 10_000, 0.01


def make(path: Path, sections: int, side: int, shards: tuple[int, int, int] | None = None) -> Path:
    """Write an OME-Zarr image of two levels, of smooth noise that moves slowly."""
    group = zarr.create_group(path)
    random = np.random.default_rng(0)
    coarse = random.integers(60, 200, (side // 8 + 2, side // 8 + 2), np.uint8)
    base = coarse.repeat(8, 0).repeat(8, 1)
    levels = []
    for number in range(2):
        chunks = (1, min(512, side >> number), min(512, side >> number))
        shape = (sections, side >> number, side >> number)
        levels.append(
            group.create_array(
                str(number), shape=shape, dtype=np.uint8, chunks=chunks, shards=shards
            )
        )
    for z in range(0, sections, thick := shards[0] if shards else 1):
        block = np.stack(
            [
                base[(at := n // 4 % 8) : at + side, :side] // 2
                + random.integers(0, 90, (side, side), np.uint8)
                for n in range(z, min(z + thick, sections))
            ]
        )
        levels[0][z : z + thick] = block
        levels[1][z : z + thick] = np.stack([halved(section) for section in block])
    datasets = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [1, 2**n, 2**n]}]}
        for n in range(2)
    ]
    image = {"axes": [{"name": name, "type": "space"} for name in "zyx"], "datasets": datasets}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return path


def rate(path: Path, marks: Marks, workers: int, skip: int) -> tuple[float, float]:
    """Sections per second, from the `skip`-th on, and CPU seconds for each of them.

    The latter, of all processes together, does not depend on what else the machine does. Without
    dask for no workers.
    """
    times: list[tuple[int, float, float]] = []

    def tell(item: Any) -> None:
        if isinstance(item, SlabsDone):
            own = psutil.Process()
            spent = [each.cpu_times() for each in (own, *own.children(recursive=True))]
            cpu = sum(each.user + each.system for each in spent)
            times.append((item.done, time.monotonic(), cpu))

    crew = partial(cluster, workers=workers, scheduler="", tell=print) if workers else None
    repair_in_place(path, marks, How(), tell, device="cpu", crew=crew)
    first = next(each for each in times if each[0] >= skip)
    last = next(each for each in times if each[0] == len(marks.whole))
    sections = last[0] - first[0]
    return sections / (last[1] - first[1]), (last[2] - first[2]) / sections


def planning(folder: Path) -> float:
    """Seconds from the call to the first slab."""

    class Stop:
        def __enter__(self) -> Stop:
            raise Cancelled

        def __exit__(self, *error: object) -> None:
            pass

    path = make(folder / "many.ome.zarr", SLABS, 64)
    marked = set(range(5, SLABS, round(1 / SHARE)))
    begin = time.monotonic()
    try:
        repair_in_place(path, Marks(marked), How("average"), str, crew=lambda order: Stop())
    except Cancelled:
        return time.monotonic() - begin
    raise AssertionError("nothing was planned")


def opening(folder: Path, side: int = 32) -> dict[str, float | None]:
    """Seconds to open a volume of a million chunks, and to look for those of a section."""
    path, chunk = folder / "million.zarr", 4
    shape = (1_000_000 // side**2, side * chunk, side * chunk)
    zarr.create_array(path, shape=shape, dtype=np.uint8, chunks=(1, chunk, chunk))
    for z, y in np.ndindex(shape[0], side):
        row = path / "c" / str(z) / str(y)
        row.mkdir(parents=True)
        for x in range(side):
            (row / str(x)).write_bytes(b"0")
    begin = time.monotonic()
    file = open_stack(path)
    opened = time.monotonic()
    assert 5 not in file.stack().incomplete
    looked = time.monotonic()
    return {
        "seconds to open a million chunks": opened - begin,
        "seconds to look for the chunks of a section": looked - opened,
    }


def some_sections(path: str, sections: Iterable[int], method: str) -> Any:
    """Repair sections, for :func:`memory.resident_bytes`."""
    import napari_ssan.engine.error_network
    import napari_ssan.network.ssan  # noqa: F401

    share_heap()  # as the command does
    how = How(method)
    return partial(repair_in_place, Path(path), Marks(set(sections)), how, str, device="cpu")


def large(folder: Path, side: int, method: str) -> dict[str, float | None]:
    """How far memory rises for a large section of real texture, in MiB, and how long it takes."""
    path = sparse_volume(folder / "large.ome.zarr", (3, side, side), range(3))
    begin = time.monotonic()
    risen = resident_bytes(some_sections, str(path), [1], method)
    return {
        f"MiB for a section of {side} x {side}": None if risen is None else risen / 2**20,
        "seconds for it, with imports": time.monotonic() - begin,
    }


def rates(folder: Path, slabs: int, side: int) -> dict[str, float | None]:
    """Sections per second of no, one and two workers."""
    marks = Marks(set(range(1, 2 * slabs, 2)))
    alone, one, two = (
        rate(make(folder / f"{workers}.ome.zarr", 2 * slabs + 1, side), marks, workers, 4)
        for workers in (0, 1, 2)
    )
    return {
        "sections per second, alone": alone[0],
        "sections per second, one worker": one[0],
        "sections per second, two workers": two[0],
        "two workers over one (goal 1.7)": two[0] / one[0],
        "one worker over none (goal 0.9)": one[0] / alone[0],
        "CPU seconds per section, alone": alone[1],
        "CPU seconds per section, one worker": one[1],
        "CPU seconds per section, two workers": two[1],
    }


def memory(folder: Path, side: int, method: str) -> dict[str, float | None]:
    """How far memory rises above the imports for a section or a slab, in MiB."""
    facts = {}
    shards = (64, 512, 512)
    for what, sections, cut, marked in (
        ("a section of 100", 100, None, [50]),
        ("a section of 2000", 2000, None, [50]),
        ("a section of 130, in shards of 64", 130, shards, [90]),
        ("every second section of such a slab", 130, shards, range(64, 128, 2)),
    ):
        path = make(folder / f"{what}.ome.zarr", sections, side, cut)
        risen = resident_bytes(some_sections, str(path), marked, method)
        facts[f"MiB for {what}"] = None if risen is None else risen / 2**20
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--folder", type=Path, help="on which disk; default is the system's own")
    parser.add_argument("--only", choices=("rates", "planning", "opening", "memory", "large"))
    parser.add_argument("--slabs", type=int, default=24, help="sections to repair for a rate")
    parser.add_argument("--side", type=int, default=512, help="height and width of a section")
    parser.add_argument("--method", default="average", help="of which memory is measured, or ssan")
    parser.add_argument("--large", type=int, help="side of a large section, such as 20000")
    options = parser.parse_args()
    facts: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        if options.only in (None, "rates"):
            facts |= rates(folder, options.slabs, options.side)
        if options.only in (None, "planning"):
            facts["seconds to plan 10000 slabs"] = planning(folder)
        if options.only in (None, "opening"):
            facts |= opening(folder)
        if options.only in (None, "memory"):
            facts |= memory(folder, 2 * options.side, options.method)
        if options.large:
            facts |= large(folder, options.large, options.method)
        facts |= {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        for what, value in facts.items():
            print(f"{what}: {'unknown' if value is None else f'{value:.3g}'}")


if __name__ == "__main__":
    main()
