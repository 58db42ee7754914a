"""Marks as other programs keep them: a label image, a folder of masks, a table.

JSON and tables are text, which :mod:`napari_ssan.stack.marks_io` reads. Here are the forms that
have pixels. Easy to get wrong: an image says nothing of sections that are missing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import zarr
from scipy.ndimage import find_objects, label

from napari_ssan.engine.plan import tasks
from napari_ssan.errors import BadInput
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.open import StackFile, open_image
from napari_ssan.files.open_folder import TIFFS, natural_key, read_image
from napari_ssan.files.open_zarr import is_zarr
from napari_ssan.files.output import check_output, replacing
from napari_ssan.files.write_zarr import write_zarr
from napari_ssan.stack.lazy import LazySections
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import to_csv
from napari_ssan.stack.region import TREATMENTS, Mask, Region, Treatment
from napari_ssan.stack.sections import Array, Window

#: Names of outputs; a name without an ending is a folder of masks.
ENDINGS = (".json", ".csv", ".zarr", "")
#: Pixels to repair in a mask, as FEABAS has those that it leaves out.
EXCLUDED = 255


def read_marks(path: Path, file: StackFile) -> Marks:
    """Read marks in any form.

    Parameters
    ----------
    path : Path
        A ``.json`` or ``.csv`` file; a label image as TIFF or OME-Zarr, of the stack's shape; or a
        folder of masks, PNG or TIFF, one for each section that has one, with the section's name
        or number. Non-zero pixels are marked; a section of which all are is marked as a whole.
        Images may be smaller than sections by a whole factor.
    file : StackFile
        The stack that is marked.

    Raises
    ------
    BadInput
        If it cannot be read, or does not fit the stack.
    """
    shape = file.stack().shape
    if path.is_dir() and not is_zarr(path):
        return _from_masks(path, file)
    if path.suffix.lower() not in (".zarr", *TIFFS):
        return Marks.read(path, shape[1:])
    image = open_image(path)
    size = tuple(n for n in image.data.shape if n > 1)
    if len(size) != 3 or size[0] != shape[0]:
        raise BadInput(
            f"The label image {path.name} has the shape {tuple(image.data.shape)}; it needs the "
            f"{shape[0]} slices of the stack."
        )
    corrected = _corrected(path) if path.is_dir() else set()
    marks = Marks()
    rest = (0,) * (len(image.data.shape) - 3)
    for z in range(shape[0]):
        labels = np.asarray(image.data[(*rest, z)])
        chosen = np.isin(labels, list(corrected))
        others = (labels != 0) & ~chosen
        if chosen.any() and labels.all():  # corrected, but for regions
            chosen = np.ones_like(chosen)
        for treatment, mask in zip(TREATMENTS, (others, chosen), strict=True):
            _mark(marks, z, mask, shape[1:], path.name, treatment)
    return _found(marks, path)


def check_marks(path: Path, file: StackFile, overwrite: bool) -> None:
    """Refuse a name under which marks cannot be written, before any work is done.

    Raises
    ------
    BadInput
        If they cannot.
    """
    if path.suffix.lower() not in ENDINGS:
        raise BadInput(
            f"Marks are not written as {path.name}: give a name that ends in .json, .csv or "
            ".ome.zarr, or the name of a new folder of masks, without an ending."
        )
    if not path.suffix and path.is_dir():
        raise BadInput(
            f"The folder {path} exists already, and a folder of masks is never replaced; choose "
            "another name."
        )
    if path.suffix.lower() == ".zarr":
        check_output(path, file.files, overwrite)


def write_marks(path: Path, marks: Marks, file: StackFile, overwrite: bool) -> None:
    """Write marks in the form that the name asks for; see :data:`ENDINGS`.

    A table has whole sections only. A folder has masks of what is to be synthesized: 255 there,
    else 0. A label image has 1 where pixels are to be synthesized, 2 where corrected; a section
    without a 0 that has both is corrected as a whole, but for its regions of 1.

    Raises
    ------
    BadInput
        If it cannot be written.
    """
    ending = path.suffix.lower()
    with replacing(path, overwrite) as temporary:
        if ending == ".json":
            temporary.write_text(marks.to_json(), encoding="utf-8")
        elif ending == ".csv":
            temporary.write_text(to_csv(marks.whole, marks.corrected), encoding="utf-8")
        elif ending == ".zarr":
            _write_labels(temporary, marks, file)
        else:
            temporary.mkdir()
            for z, name in enumerate(_names(file)):
                mask = _labels(marks, z, file.stack().shape[1:]) == 1
                if mask.any():
                    png = imagecodecs.png_encode(np.where(mask, EXCLUDED, 0).astype(np.uint8))
                    (temporary / f"{name}.png").write_bytes(png)


def _write_labels(path: Path, marks: Marks, file: StackFile) -> None:
    """Write a label image, with what each label means in its metadata."""
    shape = file.stack().shape

    def read(z: int, window: Window) -> Array:
        return _labels(marks, z, shape[1:])[window]

    scale, units = zip(*(file.calibration.along(axis) for axis in "zyx"), strict=True)
    calibration = Calibration.of("zyx", scale=scale, units=units, name="marks")
    volume = LazySections(shape, np.dtype(np.uint8), read)
    write_zarr(path, volume, calibration, None, lambda done: None)
    group = zarr.open_group(path, mode="r+")
    meaning = [{"label-value": n, "treatment": each} for n, each in enumerate(TREATMENTS, 1)]
    ome: Any = group.attrs["ome"]
    group.attrs["ome"] = {**ome, "image-label": {"version": "0.5", "properties": meaning}}


def _labels(marks: Marks, z: int, shape: tuple[int, int]) -> Array:
    """Labels of a section: 0 where nothing is marked, then the number of the treatment."""
    labels = np.full(shape, 0, np.uint8)
    for region, treatment in tasks(marks, z):
        label = 1 + TREATMENTS.index(treatment)
        if region is None:
            labels[:] = label
        else:
            labels[region.window][region.mask] = label
    return labels


def _corrected(path: Path) -> set[int]:
    """Labels of an OME-Zarr image that are to be corrected."""
    try:
        attributes: dict[str, Any] = dict(zarr.open(path, mode="r").attrs)
        known = attributes.get("ome", attributes).get("image-label", {}).get("properties", [])
        return {int(each["label-value"]) for each in known if each.get("treatment") == "correct"}
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadInput(
            f"The metadata of the labels in {path.name} ('image-label') make no sense; write the "
            "labels again."
        ) from error


def _from_masks(path: Path, file: StackFile) -> Marks:
    """Marks from a folder of masks."""
    shape, numbers = file.stack().shape, {name: z for z, name in enumerate(_names(file))}
    marks = Marks()
    images = _images(path)
    if not images:
        raise BadInput(f"The folder {path.name} marks nothing: it holds no PNG or TIFF images.")
    told = _numbers([image.stem for image in images if image.stem not in numbers])
    for image in sorted(images, key=lambda each: natural_key(each.name)):
        z = numbers.get(image.stem, told.get(image.stem, -1))
        if not 0 <= z < shape[0]:
            raise BadInput(
                f"The mask {image.name} names no slice of the stack; name it like the slice, or "
                f"by the slice's number, 0 to {shape[0] - 1}."
            )
        mask = np.asarray(read_image(image, None)) != 0
        if mask.ndim != 2:
            raise BadInput(f"The mask {image.name} is in colour; convert it to grey first.")
        _mark(marks, z, mask, shape[1:], image.name, "synthesize")
    return _found(marks, path)


def _numbers(names: list[str]) -> dict[str, int]:
    """The numbers in names, -1 where there is none: of several, the one that varies.

    Raises
    ------
    BadInput
        If there is any doubt.
    """
    found = {name: [*map(int, re.findall(r"\d+", name))] for name in names}
    several = [name for name, numbers in found.items() if len({*numbers}) > 1]
    if not several:
        return {name: numbers[0] if numbers else -1 for name, numbers in found.items()}
    columns = list(zip(*found.values(), strict=False))
    varying = [at for at, column in enumerate(columns) if len({*column}) > 1]
    if len(varying) != 1 or len({len(numbers) for numbers in found.values()}) > 1:
        raise BadInput(
            f"The mask {several[0]} names several numbers; name it like the slice, or by the "
            "slice's number alone."
        )
    return {name: numbers[varying[0]] for name, numbers in found.items()}


def _images(folder: Path) -> list[Path]:
    """Images in a folder, without those that are hidden: macOS leaves such beside others."""
    return [
        each
        for each in folder.iterdir()
        if each.suffix.lower() in (*TIFFS, ".png") and each.name[0] != "."
    ]


def _names(file: StackFile) -> list[str]:
    """Names of the sections: those of their images, or numbers."""
    count = len(file.stack())
    if file.flavour == "folder":
        names = sorted({each.stem for each in _images(file.path)}, key=natural_key)
        if len(names) == count:
            return names
    return [f"{z:0{max(4, len(str(count)))}}" for z in range(count)]


def _fitted(mask: Mask, shape: tuple[int, int], name: str) -> Mask:
    """A mask at the resolution of the sections."""
    factor = max(1, round(shape[0] / mask.shape[0]))
    if any(
        -(-n // factor) != m and n // factor != m for n, m in zip(shape, mask.shape, strict=True)
    ):
        raise BadInput(
            f"{name} has {mask.shape[0]} x {mask.shape[1]} pixels; it needs those of a slice, "
            f"{shape[0]} x {shape[1]}, or fewer by a whole factor."
        )
    if factor == 1:
        return mask
    full = np.zeros(shape, bool)
    large = np.repeat(np.repeat(mask, factor, axis=0), factor, axis=1)[: shape[0], : shape[1]]
    full[: large.shape[0], : large.shape[1]] = large
    return full


def _mark(
    marks: Marks, z: int, small: Mask, shape: tuple[int, int], name: str, treatment: Treatment
) -> None:
    """Mark a section of `shape` where a mask says so, which may be smaller than it.

    Each connected piece is a region.
    """
    mask = _fitted(small, shape, name)
    if small.all():
        marks.update(Marks({z}, corrected={z} if treatment == "correct" else set()))
        return
    pieces, _ = label(mask, np.ones((3, 3)))
    for number, part in enumerate(find_objects(pieces), 1):
        region = Region.from_mask(pieces[part] == number, part[0].start, part[1].start)
        marks.add_region(z, replace(region, treatment=treatment))


def _found(marks: Marks, path: Path) -> Marks:
    if not marks:
        raise BadInput(f"{path.name} marks nothing; pixels to repair must be non-zero.")
    return marks
