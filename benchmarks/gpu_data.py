"""The stacks of a training on a machine to which little can be carried, packed into one file.

``pack`` takes parts of the stacks in a folder, whose roles are below, and VGG16's weights;
``unpack`` makes sources of them. The file is a zip of arrays of bytes, compressed without loss.
Easy to get wrong: an isotropic stack is cut along all its axes, so its held-out part must be no
row or column of what is trained on.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from napari_ssan.errors import BadInput
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import Array, SliceStack
from napari_ssan.stack.source import Source

#: Largest file, in bytes.
LIMIT = 40 * 10**6
VGG = "weights/vgg16_ssd300_features_to_conv3_3_fp32.safetensors"
PLAN, WEIGHTS = "plan.json", "vgg.safetensors"


@dataclass(frozen=True)
class Part:
    """A part of a stack that is packed.

    Attributes
    ----------
    file : str
        Name of the TIFF.
    sections : (int, int)
        First, and the one after the last.
    rows, columns : (int, int)
        Likewise; all if the second is 0.
    broken : tuple of int
        Sections with real defects; they are not trained on.
    held : bool
        Whether the part is for validation.
    spacings : tuple of int
        Sections of a serial stack are 1 apart. Of an isotropic one, the distances of sections
        that count as adjacent, along each axis.
    times : int
        How often it counts.
    """

    file: str
    sections: tuple[int, int]
    rows: tuple[int, int] = (0, 0)
    columns: tuple[int, int] = (0, 0)
    broken: tuple[int, ...] = ()
    held: bool = False
    spacings: tuple[int, ...] = (1,)
    times: int = 1


SQUARE = (0, 336), (0, 336)
#: What is packed. Held-out sections lie at least two from what is trained on.
PARTS = (
    Part("vnc_stack2_raw.tif", (0, 20), (200, 648), (200, 648), times=2),
    Part("isbi2012_test_volume.tif", (0, 30), *SQUARE, times=2),
    Part(
        "kasthuri_z000-097.tif", (0, 68), (60, 348), (120, 408),
        broken=(14, 17, 26, 41, 51, 55, 60), times=3,
    ),
    Part("snemi3d_ac4.tif", (0, 66), (0, 288), (0, 288), broken=(21,), times=3),
    Part("cytoseg_sbfsem.tif", (0, 20), *SQUARE),
    Part("cdeep3m2_sbem_a.tif", (0, 10), *SQUARE),
    Part("cdeep3m2_sbem_b.tif", (0, 11), *SQUARE),
    Part("celegans_vem.tif", (0, 21)),
    Part("lucchi_hippocampus.tif", (0, 128), (0, 192), (0, 192), spacings=(6, 7, 8)),
    Part("fib_medulla_2.tif", (0, 150), (0, 192), (0, 192), spacings=(4, 5, 5)),
    Part("neuroproof_fib_sample1.tif", (0, 136), (0, 136), (0, 136), spacings=(4, 5, 3)),
    Part("isbi2012_train_volume.tif", (10, 17), *SQUARE, held=True),
    Part("kasthuri_z000-097.tif", (84, 92), *SQUARE, held=True),
    Part("snemi3d_ac4.tif", (74, 82), *SQUARE, held=True),
    Part("lucchi_hippocampus.tif", (132, 150), (0, 192), (0, 192), held=True, spacings=(6,)),
    Part("fib_medulla_2.tif", (160, 180), (0, 192), (0, 192), held=True, spacings=(5,)),
)  # fmt: skip


def pack(folder: Path, output: Path, parts: tuple[Part, ...] = PARTS, limit: int = LIMIT) -> int:
    """Pack parts of the stacks in `folder`, which has subfolders ``data`` and ``weights``.

    Returns
    -------
    int
        Size of the file, in bytes.

    Raises
    ------
    BadInput
        If a stack is not there, or the file would be larger than `limit`.
    """
    plan = []
    with zipfile.ZipFile(output, "w", zipfile.ZIP_BZIP2) as file:
        for number, part in enumerate(parts):
            name = f"{number}.npy"
            content = io.BytesIO()
            np.save(content, _read(folder / "data" / part.file, part))
            file.writestr(name, content.getvalue())
            broken = [z - part.sections[0] for z in part.broken]
            plan.append({
                "array": name, "stack": part.file, "broken": broken, "held": part.held,
                "spacings": part.spacings, "times": part.times,
            })  # fmt: skip
        if (folder / VGG).exists():
            file.write(folder / VGG, WEIGHTS)
        file.writestr(PLAN, json.dumps(plan, indent=1))
    size = output.stat().st_size
    if size > limit:
        output.unlink()
        raise BadInput(f"The file would have {size / 1e6:.1f} MB, more than {limit / 1e6:.0f}.")
    return size


def unpack(path: Path, folder: Path) -> tuple[list[Source], list[Source], list[str], Path | None]:
    """Make sources of a packed file: to train on, held out, their stacks, and VGG16's weights.

    The weights are written to `folder`; None if there are none.
    """
    train: list[Source] = []
    held: list[Source] = []
    with zipfile.ZipFile(path) as file:
        plan = json.loads(file.read(PLAN))
        for part in plan:
            volume = np.load(io.BytesIO(file.read(part["array"])), allow_pickle=False)
            into = held if part["held"] else train
            for axis, spacing in enumerate(part["spacings"]):
                marks = Marks(set(part["broken"])) if part["broken"] and axis == 0 else None
                source = Source(SliceStack(volume, axis), spacing=spacing, marks=marks)
                into.extend([source] * part["times"])
        vgg = folder / WEIGHTS if WEIGHTS in file.namelist() else None
        if vgg is not None:
            vgg.write_bytes(file.read(WEIGHTS))
    return train, held, sorted({part["stack"] for part in plan if not part["held"]}), vgg


def _read(path: Path, part: Part) -> Array:
    try:
        volume = tifffile.memmap(path, mode="r")
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror or error}).") from None
    except ValueError:  # compressed
        volume = tifffile.imread(path)
    box = tuple(
        slice(first, end or length)
        for (first, end), length in zip(
            (part.sections, part.rows, part.columns), volume.shape, strict=True
        )
    )
    pixels = np.ascontiguousarray(volume[box])
    if pixels.dtype != np.uint8:
        raise BadInput(f"{path.name} holds {pixels.dtype}; only stacks of bytes are packed.")
    return pixels
