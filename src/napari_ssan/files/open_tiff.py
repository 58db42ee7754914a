"""Opens a TIFF: OME, ImageJ or plain.

A damaged or truncated file is refused here, before work begins: see `tiff_integrity`. What the
file says about its pixels is read by `tiff_calibration`. tifffile passes over much damage with a
line in its log, so do not take its silence for a whole file.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
import zarr

from napari_ssan.errors import BadInput, NotAStack
from napari_ssan.files.border import check_piece, check_within
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.in_a_row import InARow
from napari_ssan.files.lazy import LazyArray, reader
from napari_ssan.files.tiff_calibration import UNITS, read_calibration
from napari_ssan.files.tiff_integrity import check_pages, check_pixels, truncated
from napari_ssan.paths import check_input
from napari_ssan.stack.sections import ArrayLike

#: Names of the files of a set in OME-XML.
FILE_NAME = re.compile(r"""FileName\s*=\s*["']([^"']*)""")
#: Photometric interpretations of one grey value a pixel: white is zero, black is zero, palette.
GREY = (0, 1, 3)


class TiffImage(NamedTuple):
    """An image in a TIFF; its pixels are not read yet.

    Attributes
    ----------
    data : LazyArray
        In the axes that tifffile gives the image.
    calibration : Calibration
    companions : tuple of Path
        Other files of the set of an OME-TIFF that the pixels are read from.
    notes : tuple of str
        What is not read, one sentence each.
    """

    data: LazyArray
    calibration: Calibration
    companions: tuple[Path, ...]
    notes: tuple[str, ...]


@reader
def open_tiff(path: Path, home: Path | None) -> TiffImage:
    """Open a TIFF.

    Parameters
    ----------
    path : Path
        If it holds several images (series), the first is opened.
    home : Path or None
        Where other files of its set must lie; see :mod:`~napari_ssan.files.border`.

    Returns
    -------
    TiffImage

    Raises
    ------
    BadInput
        If it is not a TIFF, or truncated, or in colour.
    """
    check_pages(path)
    with _quiet():
        with _readable(path):
            tif = tifffile.TiffFile(path)
        try:
            for name in FILE_NAME.findall(tif.ome_metadata or ""):
                check_input(path.parent / unescape(name))  # before tifffile opens it
            with _readable(path):
                series = tif.series[0]
            _check_grey(path, series)
            page = series.keyframe
            stored = max(page.databytecounts, default=0)
            check_piece(path.name, math.prod(page.chunks) * np.dtype(series.dtype).itemsize, stored)
            if tif.is_imagej and series.kind not in ("imagej", "ome"):
                # tifffile falls back to what it finds when ImageJ's count of images fails
                raise truncated(path)
            check_pixels(path, series)
            calibration = read_calibration(tif, series)
            companions = _companions(path, home, series)
            source = _source(tif, series, alone=not companions)
            images = len(tif.series)
        except BaseException:
            tif.close()
            raise
    name = calibration.name or path.name.split(".")[0]
    notes = [f"{path.name} holds {images} images; the first is used."] if images > 1 else []
    if page.resolutionunit not in UNITS:
        notes.append(f"The resolution of {path.name} has an unknown unit, which is left out.")
    data = LazyArray(source, path.name, tif.close)
    return TiffImage(data, replace(calibration, name=name), companions, tuple(notes))


def _check_grey(path: Path, series: tifffile.TiffPageSeries) -> None:
    page = series.keyframe
    if int(page.photometric) not in GREY or page.samplesperpixel > 1:
        raise NotAStack(f"{path.name} is in colour (RGB); convert it to grey first.")
    if page.dtype is None:
        raise BadInput(
            f"{path.name} has pixels of {page.bitspersample} bits, which cannot be read; "
            "convert them to 8 or 16 bit, or to 32-bit float."
        )


def _companions(path: Path, home: Path | None, series: tifffile.TiffPageSeries) -> tuple[Path, ...]:
    """The files other than `path` that hold pages of the image."""
    if series.kind != "ome":
        return ()
    files = dict.fromkeys(page.parent.filehandle.path for page in series if page is not None)
    others = tuple(Path(file) for file in files if not path.samefile(file))
    for other in others:
        check_within(home, path.name, other)
    return others


def _source(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, *, alone: bool) -> ArrayLike:
    """Pixels of an image: in a row, or strip by strip or tile by tile."""
    if alone and series.dataoffset is not None:
        dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
        return InARow(tif.filehandle, series.dataoffset, series.shape, dtype)
    return zarr.open_array(series.aszarr(level=0), mode="r")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what tifffile raises where there is no image into a sentence."""
    try:
        yield
    except (tifffile.TiffFileError, IndexError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path.name} is a damaged TIFF: it holds no readable image.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence tifffile's log: about a damaged file we say one sentence of our own."""
    logger = logging.getLogger("tifffile")

    def drop(_: logging.LogRecord) -> bool:
        return False

    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)
