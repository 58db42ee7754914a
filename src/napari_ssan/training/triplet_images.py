"""Training triplets as PNG images, for other programs to train on.

Divides a stack into parts that share no section, and writes the tiles of each part's triplets.
Which triplets are good, and how they are aligned, is decided in :mod:`napari_ssan.stack`. Easy to
get wrong: the order of the files' names is a format that readers of the paper's data rely on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs

from napari_ssan.errors import BadInput
from napari_ssan.stack.comparison import DAMAGED, MARKED, is_blank
from napari_ssan.stack.intensity import Float, to_dtype
from napari_ssan.stack.sections import Window
from napari_ssan.stack.selection import Selection, TripletSections
from napari_ssan.stack.source import Source
from napari_ssan.stack.split import split_source
from napari_ssan.stack.triplets import Match, cut, is_marked, overlap


@dataclass(frozen=True)
class Tiles:
    """How sections are cut: size and distance of tiles in pixels, matching of grey values."""

    size: int
    stride: int
    match: Match

    def windows(self, source: Source, triplet: TripletSections) -> list[Window]:
        """Places of the tiles of a triplet.

        They form a grid on the source's area. A tile that is not within all three shifted
        sections is moved until it is.
        """
        common = overlap(source, triplet, self.size)
        rows, columns = (
            [
                slice(at, at + self.size)
                for first in range(part.start, part.stop - self.size + 1, self.stride)
                for at in [min(max(first, shared.start), shared.stop - self.size)]
            ]
            for part, shared in zip(source.area, common, strict=True)
        )
        return [(row, column) for row in rows for column in columns]


def split_parts(source: Source, val_share: float, test_share: float) -> dict[str, list[Source]]:
    """Divide a source into train, val and test, which share no section.

    Raises
    ------
    BadInput
        If the shares are impossible, or there are too few sections.
    """
    if min(val_share, test_share) < 0 or val_share + test_share >= 1:
        raise BadInput("The shares for validation and testing must be 0 or more, together below 1.")
    rest, test = split_source(source, test_share)
    both = [split_source(part, val_share / (1 - test_share)) for part in rest]
    return {
        "train": [part for train, _ in both for part in train],
        "val": [part for _, val in both for part in val],
        "test": test,
    }


def write(
    source: Source,
    selection: Selection,
    parts: dict[str, list[Source]],
    tiles: Tiles,
    folder: Path,
    progress: Callable[[int, int], object],
) -> dict[str, Any]:
    """Write the tiles of all triplets that lie within a part.

    Parameters
    ----------
    source : Source
        The stack to read.
    selection : Selection
        Its good triplets.
    parts : dict of str to list of Source
        Its parts, by name.
    tiles : Tiles
        How to cut.
    folder : Path
        Where to write; a folder is made for each part.
    progress : callable
        Called with the number of triplets that are done, and of all.

    Returns
    -------
    dict
        What was written and what was left out, JSON-serializable.

    Raises
    ------
    BadInput
        If no tile is left to train on.
    """
    entries: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for name in parts:
        (folder / name).mkdir(parents=True)
    for done, triplet in enumerate(selection.triplets):
        progress(done, len(selection.triplets))
        part = _part_of(triplet, parts)
        if part is None:
            continue
        corners = []
        for window in tiles.windows(source, triplet):
            if is_marked(source, triplet, window):
                left_out[MARKED] += 1
                continue
            crops = cut(source, selection, triplet, window, tiles.match)
            if is_blank(crops):
                left_out[DAMAGED] += 1
                continue
            corners.append([window[0].start, window[1].start])
            _write_tile(folder / part, source, selection, triplet, window, crops)
        entries.append(
            {
                "part": part,
                "sections": [z for z, _ in triplet.shifted],
                "shifts": [shift for _, shift in triplet.shifted],
                "tiles": corners,
            }
        )
    progress(len(selection.triplets), len(selection.triplets))
    counts = {
        name: {
            "sections": [[its.start, its.stop] for its in sources],
            "triplets": sum(entry["part"] == name for entry in entries),
            "tiles": sum(len(entry["tiles"]) for entry in entries if entry["part"] == name),
        }
        for name, sources in parts.items()
    }
    if not counts["train"]["tiles"]:
        raise BadInput(f"Nothing is left to train on: {selection}.")
    return {
        "size": tiles.size,
        "stride": tiles.stride,
        "match": tiles.match,
        "spacing": source.spacing,
        "parts": counts,
        "left_out": selection.counts,
        "tiles_left_out": dict(left_out),
        "across_parts": len(selection.triplets) - len(entries),
        "triplets": entries,
        "reasons": [[*sections, why] for sections, why in selection.reasons.items()],
    }


def _write_tile(
    folder: Path,
    source: Source,
    selection: Selection,
    triplet: TripletSections,
    window: Window,
    crops: list[Float],
) -> None:
    """Write the three images of a tile.

    Readers of the paper's data sort the files of a folder by the last four parts of their names,
    and take three in a row for a triplet.
    """
    grey = selection.intensities[triplet.target]
    name = f"{triplet.target:05d}_{window[0].start:05d}_{window[1].start:05d}"
    for number, crop in enumerate(crops, start=1):
        pixels = to_dtype(grey.denormalize(crop), source.stack.dtype)
        (folder / f"{name}_{number}.png").write_bytes(imagecodecs.png_encode(pixels))


def _part_of(triplet: TripletSections, parts: dict[str, list[Source]]) -> str | None:
    for part, sources in parts.items():
        if any({triplet.first, triplet.last} <= set(its.sections) for its in sources):
            return part
    return None
