"""``napari-ssan triplets``: a stack in, a folder of training triplets as PNG out.

Which triplets are good, and how they are aligned, is decided in :mod:`napari_ssan.stack`, as for
training. Easy to get wrong: the order of the files' names is a format that other programs read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import imagecodecs
import typer

from napari_ssan.cli.options import SYNTAX, Marked, Overwrite
from napari_ssan.cli.progress import bars, console
from napari_ssan.cli.sources import parse_source, source_path
from napari_ssan.errors import BadInput
from napari_ssan.files.output import replacing
from napari_ssan.stack.comparison import MARKED, flaw
from napari_ssan.stack.intensity import Float, to_dtype
from napari_ssan.stack.sections import Window
from napari_ssan.stack.selection import Selection, TripletSections, select
from napari_ssan.stack.source import Source
from napari_ssan.stack.split import split_source
from napari_ssan.stack.triplets import Match, cut, is_marked, overlap
from napari_ssan.version import __version__

#: Written beside the images. A folder without it is not one of triplets.
LIST = "triplets.json"
FORMAT = 1
#: Pixel types that PNG can store.
DTYPES = ("uint8", "uint16")


def triplets(
    stack: Annotated[
        str, typer.Argument(metavar="STACK", help=f"A stack, or a part of it. {SYNTAX}")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write to.")],
    size: Annotated[int, typer.Option(min=32, help="Height and width of a tile, in pixels.")] = 512,
    stride: Annotated[
        int, typer.Option(min=1, help="Distance from one tile to the next, in pixels.")
    ] = 512,
    val_share: Annotated[float, typer.Option(help="Share of the slices for validation.")] = 0.2,
    test_share: Annotated[float, typer.Option(help="Share of the slices for testing.")] = 0.2,
    defects: Marked = "",
    match: Annotated[
        Match,
        typer.Option(
            help="Match the outer slices to the middle one by their whole histogram (histogram) "
            "or by mean and contrast (mean)."
        ),
    ] = "histogram",
    overwrite: Overwrite = False,
) -> None:
    """Cut a stack into aligned triplets for training, as PNG.

    DIR gets the folders train, val and test, which share no slice. In them,
    00012_00000_00512_1.png, _2.png and _3.png show slice 11, 12 and 13 at row 0 and column 512.
    triplets.json lists what was aligned, and what was left out and why.
    """
    path = source_path(stack)
    _check_folder(folder, [path, *([Path(defects)] if defects else [])], overwrite)
    source = parse_source(stack, defects)
    if source.stack.dtype.name not in DTYPES:
        raise BadInput(
            f"The pixels are {source.stack.dtype.name}, which PNG cannot store; "
            "convert the stack to 8 or 16 bit."
        )
    if min(source.stack.shape[1:]) < size:
        height, width = source.stack.shape[1:]
        raise BadInput(
            f"A slice of {height} x {width} pixels holds no tile of {size}; lower --size."
        )
    tiles = Tiles(size, stride, match)
    parts = split_parts(source, val_share, test_share)
    with bars() as show:
        selection = select(source, lambda n, all_: show.show("looking", n, all_), size=size)
        with replacing(folder, overwrite) as temporary:
            facts = write(
                source, selection, parts, tiles, temporary,
                lambda n, all_: show.show("writing", n, all_),
            )  # fmt: skip
            facts |= {"format": FORMAT, "version": __version__, "stack": path.name}
            (temporary / LIST).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    console.print(f"{selection}".capitalize(), markup=False)
    for part, said in facts["parts"].items():
        console.print(f"{part}: {said['triplets']} triplets, {said['tiles']} tiles", markup=False)
    console.print(f"Wrote {folder}", markup=False)


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
        raise BadInput("--val-share and --test-share must be 0 or more, and together below 1.")
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
            if why := flaw(crops, selection.level):
                left_out[why] += 1
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


def _check_folder(folder: Path, inputs: list[Path], overwrite: bool) -> None:
    """Refuse a folder that must not be written, before any work is done."""
    if not folder.absolute().parent.is_dir():
        raise BadInput(f"The folder for {folder} does not exist; make it first.")
    for path in inputs:
        target, origin = folder.resolve(), path.resolve()
        if origin.is_relative_to(target) or target.is_relative_to(origin):
            raise BadInput(f"{folder} must lie apart from {path}, which is an input.")
    if folder.exists() and not (overwrite and (folder / LIST).is_file()):
        raise BadInput(
            f"{folder} exists already; choose another name"
            + ("." if overwrite else ", or add --overwrite if it holds triplets.")
        )
