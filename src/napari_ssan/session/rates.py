"""How long repairs take here: seconds per megapixel of tiles, and the megapixels of marks.

Rates are known by model and device, and kept across restarts. They include what the expected
error takes. Easy to get wrong: a section with a good neighbour on one side only is copied, which
takes no time and must not count as a repair.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from platformdirs import user_data_path

from napari_ssan.atomic import write_atomically
from napari_ssan.engine.methods import MemoryFull, Method
from napari_ssan.engine.plan import Job, tasks
from napari_ssan.engine.tiles import Tiling
from napari_ssan.json_text import dump_json
from napari_ssan.session.marks import slots_of
from napari_ssan.stack.marks import Mark, Marks
from napari_ssan.stack.marks_io import MALFORMED
from napari_ssan.stack.region import Region

#: A rate is written again if it has changed by more than this share.
NOTEWORTHY = 0.2
#: Side of the tile that a method is tried with, in pixels.
TRIAL = 128


class Rates:
    """Seconds per megapixel of tiles in one view."""

    def __init__(self) -> None:
        self._path = user_data_path("napari-ssan") / "rates.json"
        self._rates = _read(self._path)
        self._written = dict(self._rates)

    def of(self, model: str, device: str) -> float | None:
        """Return the rate of a model on a device; None if it was never measured."""
        return self._rates.get(_key(model, device))

    def learn(self, model: str, device: str, rate: float) -> bool:
        """Take note of a rate; whether it is worth saving."""
        key = _key(model, device)
        self._rates[key] = rate
        before = self._written.get(key)
        return before is None or abs(rate - before) > NOTEWORTHY * before

    def save(self) -> None:
        """Write all rates.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        rates = dict(self._rates)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, dump_json(rates, indent=1))
        self._written = rates


def tried(method: Method) -> float | None:
    """Measure a rate with a small tile; None if that does not fit into the GPU's memory."""
    tile = np.random.default_rng(0).standard_normal((1, TRIAL, TRIAL)).astype(np.float32)
    try:
        method.with_error(tile, tile, 0.5)  # warms up
        begin = time.monotonic()
        method.with_error(tile, tile, 0.5)
    except MemoryFull:
        return None
    return 1e6 * (time.monotonic() - begin) / (method.views * tile.size)


def tile_pixels(
    marks: Marks, some: Iterable[Mark], stack: tuple[int, int, int], tiling: Tiling
) -> int:
    """Pixels of the tiles that some marks of a stack take, in one view.

    Parameters
    ----------
    marks : Marks
        All marks.
    some : iterable of Mark
        Those that are to be repaired.
    stack : (int, int, int)
        Sections, height and width.
    tiling : Tiling
        The method's.
    """
    count, *rest = stack
    shape = rest[0], rest[1]
    good = set(range(count)) - marks.whole
    first, last = min(good, default=count), max(good, default=-1)
    pixels = 0
    for mark in some:
        z, missing = mark
        if not (first <= z < last if missing else first < z < last):
            continue  # a copy
        regions: list[Region | None] = [None]
        if not missing:
            regions = [region for region, _ in tasks(marks, z)]
        for region in regions:
            job = Job(mark, "region" if region else "whole", (), 0.5, (), region)
            pixels += job.grid(tiling, shape).pixels * len(slots_of(marks, mark))
    return pixels


def _read(path: Path) -> dict[str, float]:
    """Read rates; without those that are damaged, which are measured anew."""
    try:
        rates = json.loads(path.read_bytes())
        return {key: float(rate) for key, rate in rates.items() if 0 < float(rate) < 1e6}
    except (OSError, *MALFORMED):
        return {}


def _key(model: str, device: str) -> str:
    return f"{Path(model).stem} on {device}"
