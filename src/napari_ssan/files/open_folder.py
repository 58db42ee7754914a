"""Opens a folder of images, TIFF or PNG, one section each.

The order is that of the names as people count: s2 before s10. All headers are read at once, to
find images that differ before work begins; pixels are read when they are asked for.
"""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.files.border import check_piece, check_within
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.lazy import LazyArray, reader, reading
from napari_ssan.files.open_tiff import open_tiff
from napari_ssan.stack.lazy import LazyVolume
from napari_ssan.stack.sections import Array, Window

TIFFS = (".tif", ".tiff")
_PNG_HEADER = struct.Struct(">8s4x4sIIBB")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sorting key that counts: s2 stands before s10.

    >>> sorted(["s10", "s2"], key=natural_key)
    ['s2', 's10']
    """
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


@reader
def open_folder(path: Path, home: Path | None) -> tuple[LazyArray, Calibration]:
    """Open a folder of sections, in the natural order of their names.

    Parameters
    ----------
    path : Path
        Holds TIFFs or PNGs of the same size and pixel type. Other files, and
        those whose names begin with a dot, are ignored.
    home : Path or None
        Where all images must lie; see :mod:`~napari_ssan.files.border`.

    Returns
    -------
    data : LazyArray, (z, y, x)
    calibration : Calibration
        With the pixel size of the first TIFF.

    Raises
    ------
    BadInput
        If there are no images, or they differ in size or type.
    """
    files = sorted(
        (
            file
            for file in path.iterdir()
            if file.suffix.lower() in (*TIFFS, ".png")
            and not file.name.startswith(".")
            and file.is_file()
        ),
        key=lambda file: natural_key(file.name),
    )
    if not files:
        raise BadInput(
            f"The folder {path.name} holds no TIFF or PNG images and is not a zarr store; "
            "give a folder with one image per slice."
        )
    for file in files:
        check_within(home, path.name, file)
    first = look(files[0], home)
    for file in files[1:]:
        shape, dtype = look(file, home)
        if (shape, dtype) != first:
            raise BadInput(
                f"The images in {path.name} differ: {files[0].name} is {_words(*first)}, "
                f"{file.name} is {_words(shape, dtype)}; all slices must be alike."
            )
    calibration = Calibration.of("zyx", flavour="folder", name=path.name)
    if files[0].suffix.lower() in TIFFS:
        calibration = _like(files[0], home, calibration)
    return LazyArray(_Files(files, home, *first), path.name), calibration


@reader
def look(file: Path, home: Path | None) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Height, width and type of the pixels of a single-section image, without reading them."""
    if file.suffix.lower() == ".png":
        return _look_png(file)
    data = open_tiff(file, home).data
    data.close()
    if any(n != 1 for n in data.shape[:-2]):
        raise BadInput(f"{file.name} holds several images; a folder needs one image per slice.")
    return (data.shape[-2], data.shape[-1]), data.dtype


def read_image(file: Path, home: Path | None) -> Array:
    """Pixels of a single-section image, (height, width)."""
    with reading(file.name):
        if file.suffix.lower() == ".png":
            return np.asarray(imagecodecs.png_decode(file.read_bytes()))
        data = open_tiff(file, home).data
        pixels = data[(0,) * (data.ndim - 2)]
        data.close()
        return pixels


class _Files(LazyVolume):
    """Files as one volume, (z, y, x); the last sections that were read are kept."""

    def __init__(
        self, files: list[Path], home: Path | None, shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        super().__init__((len(files), *shape), dtype)
        # Windows of a section and of two neighbours are asked for in turn: each is decoded once.
        self._image = lru_cache(maxsize=3)(lambda z: read_image(files[z], home))

    def _read(self, sections: range, window: Window) -> Array:
        return np.stack([self._image(z)[window] for z in sections])


def _look_png(file: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    with file.open("rb") as stream:
        header = stream.read(_PNG_HEADER.size)
        stream.seek(max(file.stat().st_size - 12, 0))
        end = stream.read()
    if len(header) < _PNG_HEADER.size or not header.startswith(_PNG_MAGIC):
        raise BadInput(f"{file.name} is not a PNG image, despite its name; convert it.")
    if b"IEND" not in end:
        raise BadInput(f"{file.name} is truncated: its end is missing; copy it again.")
    _, _, width, height, bits, colour = _PNG_HEADER.unpack(header)
    if colour != 0:
        raise BadInput(f"{file.name} is in colour (RGB); convert it to grey first.")
    check_piece(file.name, height * width * -(-bits // 8), file.stat().st_size)
    return (height, width), np.dtype(np.uint16 if bits == 16 else np.uint8)


def _like(file: Path, home: Path | None, calibration: Calibration) -> Calibration:
    """With the pixel size of a single TIFF, which does not tell the distance of sections."""
    data, single, *_ = open_tiff(file, home)
    data.close()
    (y, y_unit), (x, x_unit) = single.along("y"), single.along("x")
    tiff = single.tiff
    if tiff is not None:
        tiff = replace(tiff, metadata={}, ome={}, description="", bigtiff=False)
    return replace(calibration, scale=(1.0, y, x), units=(None, y_unit, x_unit), tiff=tiff)


def _words(shape: tuple[int, int], dtype: np.dtype[Any]) -> str:
    return f"{shape[0]} by {shape[1]} {dtype.name}"
