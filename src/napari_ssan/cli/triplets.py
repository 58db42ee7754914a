"""``napari-ssan triplets``: a stack in, a folder of training triplets as PNG out.

:mod:`napari_ssan.training.triplet_images` writes the images. Easy to get wrong: DIR is replaced
only if it holds ``triplets.json`` and nothing but triplets, so that no other folder is deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from napari_ssan.cli.options import SYNTAX, FollowLinks, Marked, Overwrite
from napari_ssan.cli.progress import bars, console, tidy_beside
from napari_ssan.cli.sources import parse_source, source_path
from napari_ssan.errors import BadInput
from napari_ssan.files.belongings import check_folder
from napari_ssan.files.output import replacing
from napari_ssan.inspection.leave_out import leave_out
from napari_ssan.json_text import dump_json
from napari_ssan.paths import real
from napari_ssan.stack.selection import select
from napari_ssan.stack.triplets import Match
from napari_ssan.training.triplet_images import Tiles, split_parts, write
from napari_ssan.version import __version__

#: Written beside the images. A folder without it is not one of triplets.
LIST = "triplets.json"
FORMAT = 1
#: All that is in a folder of triplets.
OURS = r"triplets\.json|(?:train|val|test)/\d+_\d+_\d+_[123]\.png"
#: Pixel types that PNG can store.
DTYPES = ("uint8", "uint16")


def triplets(
    stack: Annotated[str, Argument(metavar="STACK", help=f"A stack, or a part of it. {SYNTAX}")],
    folder: Annotated[Path, Argument(metavar="DIR", help="Folder to write to.")],
    size: Annotated[int, Option(min=32, help="Height and width of a tile, in pixels.")] = 512,
    stride: Annotated[
        int, Option(min=1, help="Distance from one tile to the next, in pixels.")
    ] = 512,
    val_share: Annotated[float, Option(help="Share of the slices for validation.")] = 0.2,
    test_share: Annotated[float, Option(help="Share of the slices for testing.")] = 0.2,
    defects: Marked = "",
    match: Annotated[
        Match,
        Option(
            help="Match the outer slices to the middle one by their whole histogram (histogram) "
            "or by mean and contrast (mean)."
        ),
    ] = "histogram",
    follow_links: FollowLinks = False,
    overwrite: Overwrite = False,
) -> None:
    """Cut a stack into aligned triplets for training, as PNG.

    DIR gets the folders train, val and test, which share no slice. In them,
    00012_00000_00512_1.png, _2.png and _3.png show slice 11, 12 and 13 at row 0 and column 512.
    triplets.json lists what was aligned, and what was left out and why.
    """
    tidy_beside(folder)
    path = source_path(stack)
    _check_folder(folder, [path, *([Path(defects)] if defects else [])], overwrite)
    source = parse_source(stack, defects, follow_links=follow_links)
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
        source, said = leave_out(source, lambda n, all_: show.show("inspecting", n, all_))
        if said:
            show.say(f"Note: {said}.")
        selection = select(source, lambda n, all_: show.show("looking", n, all_), size=size)
        with replacing(folder, overwrite) as temporary:
            facts = write(
                source, selection, parts, tiles, temporary,
                lambda n, all_: show.show("writing", n, all_),
            )  # fmt: skip
            facts |= {"format": FORMAT, "version": __version__, "stack": path.name}
            (temporary / LIST).write_text(dump_json(facts, indent=1), encoding="utf-8")
    console.print(f"{selection}".capitalize(), markup=False)
    for part, said in facts["parts"].items():
        console.print(f"{part}: {said['triplets']} triplets, {said['tiles']} tiles", markup=False)
    console.print(f"Wrote {folder}", markup=False)


def _check_folder(folder: Path, inputs: list[Path], overwrite: bool) -> None:
    """Refuse a folder that must not be written, before any work is done."""
    if not folder.absolute().parent.is_dir():
        raise BadInput(f"The folder for {folder} does not exist; make it first.")
    for path in inputs:
        target, origin = real(folder), real(path)
        if origin.is_relative_to(target) or target.is_relative_to(origin):
            raise BadInput(f"{folder} must lie apart from {path}, which is an input.")
    if folder.exists() and not (overwrite and (folder / LIST).is_file()):
        raise BadInput(
            f"{folder} exists already; choose another name"
            + ("." if overwrite else ", or add --overwrite if it holds triplets.")
        )
    if folder.exists():
        check_folder(folder, "its triplets", OURS)
