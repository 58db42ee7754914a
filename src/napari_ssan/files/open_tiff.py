"""Open a TIFF: OME, ImageJ or plain; a section is read when it is asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
import zarr

from napari_ssan.errors import BadInput
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.lazy import LazyArray
from napari_ssan.files.tiff_calibration import read_calibration
from napari_ssan.files.tiff_integrity import check_pages, check_pixels, truncated
from napari_ssan.stack.sections import ArrayLike

#: Photometric interpretations of one grey value a pixel: white is zero, black is zero, palette.
GREY = (0, 1, 3)


def open_tiff(path: Path) -> tuple[LazyArray, Calibration]:
    """Open a TIFF.

    Parameters
    ----------
    path : Path
        If there are several images (series) in it, the first counts.

    Returns
    -------
    data : LazyArray
        In the axes that tifffile gives the image.
    calibration : Calibration

    Raises
    ------
    BadInput
        If it is no TIFF, truncated, or in colour.
    """
    check_pages(path)
    with _quiet():
        try:
            tif = tifffile.TiffFile(path)
            series = tif.series[0]
        except (tifffile.TiffFileError, IndexError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path.name} is a damaged TIFF: it holds no readable image.") from error
        try:
            _check_grey(path, series)
            if tif.is_imagej and series.kind not in ("imagej", "ome"):
                # tifffile falls back to what it finds when ImageJ's count of images fails
                raise truncated(path)
            check_pixels(path, series)
            calibration = read_calibration(tif, series)
            source = _source(path, tif, series)
        except BaseException:
            tif.close()
            raise
    name = calibration.name or path.name.split(".")[0]
    return LazyArray(source, path.name, tif.close), replace(calibration, name=name)


def _check_grey(path: Path, series: tifffile.TiffPageSeries) -> None:
    page = series.keyframe
    if int(page.photometric) not in GREY or page.samplesperpixel > 1:
        raise BadInput(f"{path.name} is in colour (RGB); convert it to grey first.")
    if page.dtype is None:
        raise BadInput(
            f"{path.name} has pixels of {page.bitspersample} bits in an unusual form; "
            "convert them to 8 or 16 bit, or to 32-bit float."
        )


def _source(path: Path, tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> ArrayLike:
    """Map pixels that lie in a row into memory; read others strip by strip or tile by tile.

    Mapping reads a window of a section without the rest of its strip, which
    may be the whole section.
    """
    if series.dataoffset is not None:
        dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
        mapped: ArrayLike = np.memmap(
            path, dtype=dtype, mode="r", offset=series.dataoffset, shape=series.shape
        )
        return mapped
    array: ArrayLike = zarr.open_array(series.aszarr(level=0), mode="r")
    return array


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep tifffile's log to itself: what it says of a damaged file we say in one sentence."""
    logger = logging.getLogger("tifffile")

    def drop(_: logging.LogRecord) -> bool:
        return False

    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)
