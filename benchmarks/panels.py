"""Side by side pictures of held-out places, as in the paper's Figs. 5 to 8.

``python benchmarks/panels.py STACK FIGURE.png --at 14:200:310 22`` hides section
14 and then section 22 and shows, around row 200 and column 310 of the one and in
the middle of the other, what is really there and what each method makes of it.
A method is a classical one, a model by its name or path, or a system that
``table1.py`` ... ``table5.py`` have kept with ``--models`` (Fig. 7). With
``--membranes`` those found stand below each picture (Fig. 8).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from systems.judging import SystemMethod
from systems.segmenting import membranes
from systems.store import load_system, read_card

from napari_ssan.cli.sources import parse_source
from napari_ssan.engine.methods import METHODS, Method, make_method
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch
from napari_ssan.errors import BadInput
from napari_ssan.network.device import choose_device
from napari_ssan.network.writing import new_file
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import Array, SliceStack, Window
from napari_ssan.stack.source import Source

SHOWN = ("average", "tvl1", "ssan-fidelity", "ssan-realistic")
#: Pixels between two pictures, and for the names above them.
GAP, HEAD = 6, 22
#: Shares of the real picture's pixels that come out black, and white.
BLACK, WHITE = 0.003, 0.997

Place = tuple[int, int | None, int | None]
Picture = npt.NDArray[np.uint8]


def place(text: str) -> Place:
    """Section, row and column from ``Z:Y:X``; the middle from ``Z``."""
    match = re.fullmatch(r"(\d+)(?::(\d+):(\d+))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no place; write Z:Y:X, or Z for the middle")
    row, column = (None if part is None else int(part) for part in match.groups()[1:])
    return int(match[1]), row, column


def window(shape: tuple[int, int], centre: tuple[int | None, int | None], size: int) -> Window:
    """A square of `size` pixels around a place, moved inside the section."""
    spans = []
    for length, at in zip(shape, centre, strict=True):
        extent = min(size, length)
        start = (length // 2 if at is None else at) - extent // 2
        start = min(max(start, 0), length - extent)
        spans.append(slice(start, start + extent))
    return spans[0], spans[1]


def method(name: str, device: str) -> Method:
    """A method by its name, a model by its name or path, or a system by its path."""
    if name in METHODS[1:]:
        return make_method(name, "", "auto")
    path = Path(name)
    if path.is_file() and read_card(path) is not None:
        network, card = load_system(path)
        return SystemMethod.of(network, card, choose_device(device))
    return make_method("ssan", name, device)


def synthesize(stack: SliceStack, z: int, how: Method) -> Array:
    """The whole section, as if it had been lost."""
    *_, patch = patches(stack, Marks({z}), how)
    assert isinstance(patch, Patch)
    return patch.pixels[:]


def scaled(crop: Array, low: float, high: float, zoom: int) -> Picture:
    """Grey values between black and white; each pixel becomes a square of `zoom` pixels."""
    unit = (crop.astype(np.float64) - low) / max(high - low, 1e-9)
    grey = np.rint(255 * unit.clip(0, 1)).astype(np.uint8)
    return grey.repeat(zoom, axis=0).repeat(zoom, axis=1)


def arrange(rows: Sequence[Sequence[Picture]], names: Sequence[str], zoom: int) -> Image.Image:
    """Pictures in a table, each column under its name; a scale says how far they are zoomed."""
    heights = [max(len(picture) for picture in row) for row in rows]
    widths = [max(row[n].shape[1] for row in rows) for n in range(len(names))]
    size = (sum(widths) + GAP * (len(widths) - 1), HEAD + sum(heights) + GAP * (len(rows) - 1))
    sheet = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, name in enumerate(names):
        left = sum(widths[:number]) + GAP * number
        draw.text((left + 2, 2), f"{name} x{zoom}" if number == 0 else name, 0, font)
        for line, row in enumerate(rows):
            top = HEAD + sum(heights[:line]) + GAP * line
            sheet.paste(Image.fromarray(row[number]), (left, top))
    return sheet


def panels(source: Source, options: argparse.Namespace) -> Image.Image:
    """The whole figure: a row for each place, with membranes one more."""
    stack = source.stack
    methods = {Path(name).stem: method(name, options.device) for name in options.methods}
    finds = membranes(source, stack, options.labels) if options.membranes else None
    sections: dict[int, dict[str, Array]] = {}
    rows: list[list[Picture]] = []
    for z, row, column in options.at:
        if not 1 <= z < len(stack) - 1:
            raise BadInput(f"Section {z} has no neighbour on both sides.")
        if z not in sections:
            made = {name: synthesize(stack, z, how) for name, how in methods.items()}
            sections[z] = {"real": stack.read(z)} | made
        part = window(stack.shape[1:], (row, column), options.size)
        low, high = np.quantile(sections[z]["real"][part], [BLACK, WHITE])
        zoom = options.zoom
        rows.append([scaled(each[part], low, high, zoom) for each in sections[z].values()])
        if finds is not None:
            masks = (finds.find(z, each)[part] for each in sections[z].values())
            rows.append([scaled(~mask, 0, 1, zoom) for mask in masks])
    return arrange(rows, ["real", *methods], options.zoom)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("stack", help="as napari-ssan train takes it")
    parser.add_argument("figure", type=Path, help="a .png to write")
    parser.add_argument("--at", type=place, nargs="+", required=True, metavar="Z:Y:X")
    parser.add_argument("--methods", nargs="+", default=list(SHOWN))
    parser.add_argument(
        "--size", type=int, default=128, help="of a picture, in the section's pixels"
    )
    parser.add_argument("--zoom", type=int, default=2, help="whole number")
    parser.add_argument("--membranes", action="store_true", help="show what a segmenter finds")
    parser.add_argument("--labels", help="of the stack: membranes by a segmenter of its own")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.size < 1 or options.zoom < 1:
        parser.error("--size and --zoom must be at least 1")
    torch.set_num_threads(options.threads)
    try:
        sheet = panels(parse_source(options.stack), options)
        with new_file(options.figure, ".png", overwrite=True) as temporary:
            sheet.save(temporary, format="PNG")
    except BadInput as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
