"""What an inspection says of damage that is made otherwise than what it is calibrated with.

``python benchmarks/other_damage.py 'STACK[::4]' ...`` puts each kind into a slice of its own, five
apart, and lists what is found there with a probability of .2 or more. Thresholds are not chosen
by it. A stack is named as in ``napari-ssan train``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import typer
from inspection import JsonPath, Stacks, read
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from napari_ssan.inspection.find import Find, Inspection
from napari_ssan.inspection.inspect import inspect
from napari_ssan.inspection.pictures import Float
from napari_ssan.inspection.view import View
from napari_ssan.stack.intensity import to_dtype
from napari_ssan.stack.sections import Array, SliceStack

#: Slices from one that is damaged to the next, and before the first.
APART, FIRST = 5, 3
#: The least probability that is listed, and how many finds of a slice are.
LEAST, MOST = 0.2, 2

app = typer.Typer(add_completion=False)
out = Console()
Damage = Callable[[Float, np.random.Generator], Array]
KINDS: dict[str, Damage] = {}


def kind(damage: Damage) -> Damage:
    """List a kind of damage by the name of its function."""
    KINDS[damage.__name__.replace("_", " ")] = damage
    return damage


def places(pixels: Float) -> tuple[Float, Float]:
    """Rows and columns of a section, as shares of its height and width."""
    height, width = pixels.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return rows / height, columns / width


def moved(pixels: Float, down: Array | float, right: Array | float) -> Array:
    """A section whose pixels come from elsewhere: so many pixels down and to the right."""
    rows, columns = np.indices(pixels.shape, np.float32)
    return map_coordinates(pixels, [rows + down, columns + right], order=1, mode="reflect")


@kind
def chatter_of_the_knife(pixels: Float, random: np.random.Generator) -> Array:
    """Bands, 14 pixels from one to the next."""
    del random
    return pixels + 0.45 * pixels.std() * np.sin(np.arange(len(pixels)) / 14 * 2 * np.pi)[:, None]


@kind
def noise_of_lines(pixels: Float, random: np.random.Generator) -> Array:
    """Every second line is too dark or too light."""
    noisy = pixels.copy()
    noisy[::2] += 0.6 * pixels.std() * random.standard_normal((len(noisy[::2]), 1))
    return noisy


@kind
def precipitate(pixels: Float, random: np.random.Generator) -> Array:
    """Black specks of a few pixels, all over."""
    specks = gaussian_filter((random.random(pixels.shape) < 0.0006).astype(float), 1.2)
    cover = np.minimum(2 * specks / specks.max(), 1)
    return pixels * (1 - cover) + cover * pixels.min()


@kind
def scratch(pixels: Float, random: np.random.Generator) -> Array:
    """A thin light line, straight across."""
    del random
    rows, columns = np.indices(pixels.shape)
    height, width = pixels.shape
    line = np.abs(rows - 0.4 * height - 0.3 * (columns - width / 2)) < 1.3
    return np.where(line, np.quantile(pixels, 0.99), pixels)


@kind
def hair(pixels: Float, random: np.random.Generator) -> Array:
    """A dark line that bends through most of a section."""
    del random
    y, x = places(pixels)
    line = (np.abs(x - 0.3 - 0.2 * np.sin(5 * y)) < 0.004) & (y > 0.15) & (y < 0.85)
    return np.where(line, np.quantile(pixels, 0.005), pixels)


@kind
def fold_that_moves_tissue(pixels: Float, random: np.random.Generator) -> Array:
    """A dark band from edge to edge, towards which the tissue beside it is moved."""
    del random
    y, x = places(pixels)
    away = x - 0.45 - 0.036 * np.sin(7 * y)
    width = pixels.shape[1]
    pulled = moved(pixels, 0, 0.02 * width * np.sign(away) * np.exp(-np.abs(away) / 0.25))
    cover = 0.85 * np.exp(-np.square(away / 0.008))
    return pulled * (1 - cover) + cover * np.quantile(pixels, 0.03)


@kind
def crack_that_moves_tissue(pixels: Float, random: np.random.Generator) -> Array:
    """A light gap, from which the tissue beside it is moved away."""
    del random
    y, x = places(pixels)
    away, along = x - 0.55 - 0.048 * np.sin(8 * y), (y > 0.2) & (y < 0.8)
    pushed = -0.015 * pixels.shape[1] * np.sign(away) * np.exp(-np.abs(away) / 0.1)
    opened = moved(pixels, 0, np.where(along, pushed, 0))
    return np.where((np.abs(away) < 0.015) & along, np.quantile(pixels, 0.995), opened)


@kind
def half_is_missing(pixels: Float, random: np.random.Generator) -> Array:
    """Black from the middle on."""
    del random
    return np.where(places(pixels)[1] >= 0.5, 0, pixels)


@kind
def corner_is_missing(pixels: Float, random: np.random.Generator) -> Array:
    """White beyond an oblique edge."""
    del random
    return np.where(sum(places(pixels)) > 1.5, pixels.max(), pixels)


@kind
def lines_are_missing(pixels: Float, random: np.random.Generator) -> Array:
    """Six black lines."""
    del random
    lost = pixels.copy()
    lost[int(0.6 * len(lost)) :][:6] = 0
    return lost


@kind
def seam_of_tiles(pixels: Float, random: np.random.Generator) -> Array:
    """One half is lighter."""
    del random
    return pixels + 0.7 * pixels.std() * (places(pixels)[1] >= 0.5)


@kind
def cloud_of_stain(pixels: Float, random: np.random.Generator) -> Array:
    """A broad dark cloud."""
    del random
    y, x = places(pixels)
    cloud = np.exp(-(np.square(y - 0.5) + np.square(x - 0.6)) / 0.15**2)
    return pixels - 1.2 * pixels.std() * cloud


@kind
def band_of_charging(pixels: Float, random: np.random.Generator) -> Array:
    """A band that is too light."""
    del random
    y, _ = places(pixels)
    return pixels + 1.2 * pixels.std() * ((y > 0.3) & (y < 0.34))


@kind
def overexposed(pixels: Float, random: np.random.Generator) -> Array:
    """So light that much of it is clipped."""
    del random
    return 1.3 * (pixels - np.median(pixels)) + np.quantile(pixels, 0.97)


@kind
def inverted(pixels: Float, random: np.random.Generator) -> Array:
    """Black is white."""
    del random
    return pixels.max() + pixels.min() - pixels


@kind
def dust(pixels: Float, random: np.random.Generator) -> Array:
    """Four black disks."""
    dirty, (y, x) = pixels.copy(), places(pixels)
    for _ in range(4):
        (row, column), radius = random.uniform(0.1, 0.9, 2), random.uniform(0.01, 0.025)
        dirty[np.hypot(y - row, x - column) < radius] = pixels.min()
    return dirty


@kind
def bubble(pixels: Float, random: np.random.Generator) -> Array:
    """A light disk with a dark rim."""
    del random
    y, x = places(pixels)
    away = np.hypot(y - 0.6, x - 0.3)
    dark, light = np.quantile(pixels, (0.01, 0.99))
    return np.where(np.abs(away - 0.05) < 0.005, dark, np.where(away < 0.05, light, pixels))


@kind
def corner_out_of_focus(pixels: Float, random: np.random.Generator) -> Array:
    """Blurred more and more towards a corner."""
    del random
    cover = (1 - np.hypot(*places(pixels)) / 0.7).clip(0, 1)
    return pixels * (1 - cover) + cover * gaussian_filter(pixels, 3)


@kind
def smear(pixels: Float, random: np.random.Generator) -> Array:
    """A part is blurred along its rows."""
    del random
    y, x = places(pixels)
    part = (np.abs(y - 0.375) < 0.125) & (np.abs(x - 0.5) < 0.25)
    return np.where(part, gaussian_filter1d(pixels, 4, axis=1), pixels)


@kind
def blocks_of_compression(pixels: Float, random: np.random.Generator) -> Array:
    """Squares of 8 x 8 pixels of which little but the mean is left."""
    del random
    height, width = (n // 8 * 8 for n in pixels.shape)
    squares = pixels[:height, :width].reshape(height // 8, 8, width // 8, 8).mean((1, 3))
    coarse = pixels.copy()
    coarse[:height, :width] = 0.25 * coarse[:height, :width] + 0.75 * np.kron(
        squares, np.ones((8, 8), np.float32)
    )
    return coarse


@kind
def scanned_twice(pixels: Float, random: np.random.Generator) -> Array:
    """Two images of it, nine pixels apart."""
    del random
    return (pixels + np.roll(pixels, 9, axis=1)) / 2


@kind
def thin_section(pixels: Float, random: np.random.Generator) -> Array:
    """Pale, and a little blurred."""
    del random
    return 0.6 * gaussian_filter(pixels, 0.6) + 0.4 * np.median(pixels)


@kind
def turned_around(pixels: Float, random: np.random.Generator) -> Array:
    """By 180 degrees."""
    del random
    return pixels[::-1, ::-1]


@kind
def mirrored(pixels: Float, random: np.random.Generator) -> Array:
    """Left is right."""
    del random
    return pixels[:, ::-1]


@kind
def wrinkled(pixels: Float, random: np.random.Generator) -> Array:
    """Moved by up to 12 pixels, here and there."""
    fields = [
        gaussian_filter(random.standard_normal(pixels.shape), len(pixels) / 14) for _ in (0, 1)
    ]
    return moved(pixels, *(12 * each / np.abs(each).max() for each in fields))


@kind
def stretched(pixels: Float, random: np.random.Generator) -> Array:
    """By 6 per cent in height."""
    del random
    height = len(pixels)
    return moved(pixels, 0.06 * (np.arange(height, dtype=np.float32)[:, None] - height / 2), 0)


def told(find: Find, section: int) -> str:
    """A find in a few words, in a section of so many pixels."""
    share = "" if find.region is None else f" {100 * find.region.pixels / section:.2g} %"
    return f"{find.kind}{share}, p {find.p:.2f}, {find.suggest}"


@app.command()
def main(stacks: Stacks, json_path: JsonPath = None, seed: int = 3) -> None:
    """Put damage into stacks, and list what is found of it."""
    table = Table("damage", *(Path(text).name for text in stacks))
    rows: dict[str, list[str]] = {name: [] for name in KINDS}
    for text in stacks:
        clean, random = np.stack(read(text)), np.random.default_rng(seed)
        todo = list(KINDS)
        while todo:
            stack, at = clean.copy(), {}
            for z in range(FIRST, len(clean) - 2, APART):
                if todo:
                    at[todo[0]] = z
                    damaged = KINDS[todo.pop(0)](clean[z].astype(np.float32), random)
                    stack[z] = to_dtype(damaged.astype(np.float64), clean.dtype)
            *_, found = inspect(View(SliceStack(stack)))
            assert isinstance(found, Inspection)
            for name, z in at.items():
                seen = [told(f, clean[z].size) for f in found.at_least(LEAST).finds if f.z == z]
                rows[name].append("; ".join(seen[:MOST]) or "nothing")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    out.print(table)
    if json_path is not None:
        json_path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    app()
