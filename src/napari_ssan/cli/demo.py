"""``napari-ssan demo``: repair a generated stack, and draw a picture of before and after.

It shows what the program does without data of your own; the repair is that of ``repair``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from typer import Argument

from napari_ssan.cli.options import Device, Model, Overwrite
from napari_ssan.cli.outputs import check_target
from napari_ssan.cli.progress import bars, console, tidy_beside
from napari_ssan.engine.repair import repair
from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.files import Calibration, save_stack
from napari_ssan.files.output import replacing
from napari_ssan.network.model_file import DEFAULT_MODEL, read_info
from napari_ssan.stack.phantom import BLANK, DIRTY, SMEARED, Phantom, phantom
from napari_ssan.stack.sections import SliceStack

#: What it writes.
WRITTEN = ("broken.ome.tif", "repaired.ome.tif", "before-after.png")
#: Height in pixels of the caption above each row of the picture.
CAPTION = 22


def demo(
    folder: Annotated[
        Path, Argument(metavar="DIR", help="Folder to write to; it is made if needed.")
    ] = Path("demo"),
    model: Model = DEFAULT_MODEL,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Repair a generated stack with a blank, a smeared and a dirty slice.

    DIR gets the broken and the repaired stack as OME-TIFF, and a picture of before and after.
    """
    from napari_ssan.network.device import choose_device

    read_info(model)
    choose_device(device)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"The folder {folder} cannot be made: {error.strerror}.") from None
    for name in WRITTEN:
        check_target(folder / name, (".tif", ".png"), (), overwrite)
    tidy_beside(folder / "broken.ome.tif")
    sample = phantom()
    calibration = Calibration.of("zyx", sample.scale, "nm")
    with bars() as show:
        repaired = repair(sample.broken, sample.marks, model, device, show.engine)
        untouched = RepairedStack(SliceStack(sample.broken))
        save_stack(folder / "broken.ome.tif", untouched, calibration, overwrite=overwrite)
        save_stack(folder / "repaired.ome.tif", repaired, calibration, overwrite=overwrite)
    with replacing(folder / "before-after.png", overwrite) as temporary:
        before_after(sample, repaired).save(temporary, "png", optimize=True)
    console.print(
        f"Wrote broken.ome.tif, repaired.ome.tif and before-after.png to {folder}", markup=False
    )


def before_after(sample: Phantom, repaired: RepairedStack) -> Image.Image:
    """Draw a row for each broken section: before it, broken, repaired, real, after it."""
    names = {BLANK: "blank", SMEARED: "smeared", DIRTY: "dirty"}
    heads = ["slice before", "broken", "repaired", "as it really was", "slice after"]
    height, width = sample.broken.shape[1:]
    rows: list[npt.NDArray[np.uint8]] = []
    for z in names:
        views = [sample.broken[z - 1], sample.broken[z], repaired[z], sample.clean[z],
                 sample.broken[z + 1]]  # fmt: skip
        caption = np.full((CAPTION, width * len(views)), 255, np.uint8)
        rows += [caption, np.hstack(views)]
    picture = Image.fromarray(np.vstack(rows))
    draw = ImageDraw.Draw(picture)
    for row, (z, name) in enumerate(names.items()):
        for column, head in enumerate(heads):
            text = f"slice {z}, {name}: {head}" if column == 1 else head
            draw.text((column * width + 6, row * (height + CAPTION) + 5), text, fill=0)
    return picture
