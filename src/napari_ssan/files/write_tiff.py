"""Writes a volume as TIFF, band by band: OME, ImageJ or plain.

tifffile lays out the file; what stands in its metadata is decided here. The input's own
metadata are kept only if the output has the same flavour. `save` makes the file appear whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput
from napari_ssan.files.calibration import Calibration, TiffTraits
from napari_ssan.files.provenance_io import KEY, to_text
from napari_ssan.files.tiff_calibration import NAMESPACE, OME_SIZES, plain_metadata
from napari_ssan.files.units import in_unit, unit_symbol
from napari_ssan.stack.sections import BAND_PIXELS, ArrayLike

#: Kinds of pixels that each predictor is for, as tifffile has it; files may combine them freely.
PREDICTED = {2: "iu", 3: "f"}

TiffFlavour = Literal["tiff", "imagej", "ome-tiff"]

#: Larger volumes need BigTIFF, in bytes: offsets in a classic TIFF have 32 bits.
LARGEST_CLASSIC = 2**32 - 2**25

#: Pixel types that OME does not have.
NOT_OME = ("float16", "int64", "uint64")

#: Pixel types that ImageJ can read.
IMAGEJ_DTYPES = ("uint8", "uint16", "int16", "float32")


def choose_flavour(path: Path, flavour: str | None, dtype: np.dtype[Any]) -> TiffFlavour:
    """Flavour of a TIFF: by its name, else that of the input if it can hold the pixels."""
    if ".ome." in path.name.lower():
        return "ome-tiff"
    if flavour == "imagej" and dtype.name in IMAGEJ_DTYPES:
        return "imagej"
    if flavour in ("imagej", "ome-tiff") and dtype.name not in NOT_OME:
        return "ome-tiff"
    return "tiff"


def write_tiff(
    path: Path,
    data: ArrayLike,
    calibration: Calibration,
    flavour: TiffFlavour,
    provenance: Provenance | None,
    step: Callable[[bool], None],
    *,
    labels: Sequence[str] | None = None,
    bigtiff: bool | None = None,
) -> None:
    """Write a volume as TIFF: one page for each position on all axes but the last two.

    Parameters
    ----------
    path : Path
        File to write.
    data : array-like
        Indexed band by band, in order; never as a whole.
    calibration : Calibration
        Of `data`. The input's own metadata are kept if `flavour` is the same.
    flavour : {"tiff", "imagej", "ome-tiff"}
    provenance : Provenance or None
    step : callable
        Called after each band, with True when it was the last of a page; it may raise.
    labels : sequence of str, optional
        Label of each section, for ImageJ.
    bigtiff : bool, optional
        By default, if the input was one or the pixels need it.

    Raises
    ------
    BadInput
        If the flavour cannot hold the axes.
    """
    shape, dtype = tuple(data.shape), np.dtype(data.dtype)
    traits = calibration.tiff or TiffTraits()
    same = calibration.flavour == flavour and calibration.tiff is not None
    large = int(np.prod(shape, dtype=object)) * dtype.itemsize > LARGEST_CLASSIC
    big = bigtiff if bigtiff is not None else large or traits.bigtiff
    axes = calibration.axes.upper()
    options: dict[str, Any] = {
        "photometric": traits.photometric
        if traits.colormap is not None
        else traits.photometric % 3,
        "colormap": traits.colormap if dtype.kind == "u" else None,
        "compression": None if traits.compression == 1 else traits.compression,
        "predictor": traits.predictor
        if dtype.kind in PREDICTED.get(traits.predictor, "")
        else None,
        "software": "napari-ssan",
    }
    writer: dict[str, Any] = {"bigtiff": big, "ome": False}
    if flavour == "tiff":
        described = same and bool(traits.description)
        # bytes: of a str, tifffile takes ASCII only
        options["description"] = traits.description.encode() if described else None
        options["metadata"] = (
            None
            if described and not traits.metadata
            else {"axes": axes, **plain_metadata(calibration)}
        )
        if provenance is not None:
            options["software"] = f"napari-ssan {to_text(provenance)}"
        resolution, unit = (
            (traits.resolution, traits.resolution_unit) if calibration.tiff else (None, 1)
        )
        options |= (
            _plain_resolution(calibration)
            if resolution is None
            else {"resolution": resolution, "resolutionunit": unit}
        )
    else:
        if flavour == "ome-tiff":
            check_ome(shape, calibration)
            calibration = calibration if same else calibration.with_z()
        shape, axes = _squeezed(shape, calibration.named_axes)
        if flavour == "imagej":
            # ImageJ's own way beyond 4 GB: one page, and the pixels of all in a row after it
            writer = {"bigtiff": False, "imagej": True}
            options["truncate"] = large
            if large:
                options["compression"] = options["predictor"] = None
            options["metadata"], options["resolution"] = _imagej(
                calibration, same, provenance, labels
            )
        else:
            writer = {"bigtiff": big, "ome": True}
            options["metadata"] = _ome(calibration, same, provenance)
            if calibration.tiff:
                options |= {
                    "resolution": traits.resolution,
                    "resolutionunit": traits.resolution_unit,
                }
        options["metadata"]["axes"] = axes
    height, width = shape[-2:]
    rows = max(1, BAND_PIXELS // width)
    if options["compression"] is None and rows < height:
        options["rowsperstrip"] = rows
    pixels = _pages(data, rows, options["compression"] is None, step)
    # a handle of our own: tifffile's swallows what goes wrong when it is closed
    with path.open("w+b") as file:
        tiff = tifffile.TiffWriter(file, **writer)
        tiff.write(pixels, shape=shape, dtype=dtype, **options)
        tiff.close()


def _pages(data: ArrayLike, rows: int, plain: bool, step: Callable[[bool], None]) -> Iterator[Any]:
    """Pixels in the order of the file: plain bytes of bands, or pages for tifffile to compress."""
    dtype = np.dtype(data.dtype).newbyteorder("=")
    height = data.shape[-2]
    for place in np.ndindex(*data.shape[:-2]):
        for top in range(0, height, rows if plain else height):
            band = slice(top, min(top + rows, height) if plain else height)
            pixels = np.ascontiguousarray(data[(*place, band)], dtype)
            # before the band is handed over: tifffile doesn't come back after the last one
            step(band.stop == height)
            yield pixels.tobytes() if plain else pixels


def check_ome(shape: tuple[int, ...], calibration: Calibration) -> None:
    """Refuse axes that OME does not have; tifffile would do so only at the end.

    Raises
    ------
    BadInput
        If OME-TIFF cannot hold them.
    """
    shape, axes = _squeezed(shape, calibration.with_z().axes)
    stored = (int(np.prod(shape[:-2], dtype=int)), 1, 1, shape[-2], shape[-1], 1)
    try:
        tifffile.OmeXml().addimage("uint8", shape, stored, axes=axes)
    except tifffile.OmeXmlError as error:
        raise BadInput(
            f"OME-TIFF cannot hold the axes {axes.lower()!r}; write .ome.zarr or .tif."
        ) from error


def _squeezed(shape: tuple[int, ...], axes: str) -> tuple[tuple[int, ...], str]:
    """Shape and axes without those of length 1, which OME and ImageJ leave out."""
    kept = [at for at, axis in enumerate(axes) if axis in "yx" or shape[at] > 1]
    return tuple(shape[at] for at in kept), "".join(axes[at] for at in kept).upper()


def _plain_resolution(calibration: Calibration) -> dict[str, Any]:
    """Resolution in pixels per centimetre, as in a plain TIFF, if the unit is a length."""
    (x, x_unit), (y, y_unit) = calibration.along("x"), calibration.along("y")
    pair = [in_unit(value, unit, "centimeter") for value, unit in ((x, x_unit), (y, y_unit))]
    if unit_symbol(x_unit) is None or unit_symbol(y_unit) is None or min(pair) <= 0:
        return {}
    return {"resolution": tuple(1 / value for value in pair), "resolutionunit": "CENTIMETER"}


def _imagej(
    calibration: Calibration,
    same: bool,
    provenance: Provenance | None,
    labels: Sequence[str] | None,
) -> tuple[dict[str, Any], tuple[float, float]]:
    """ImageJ's metadata, and pixels per unit along x and y."""
    traits = calibration.tiff or TiffTraits()
    metadata: dict[str, Any] = {}
    if same:
        metadata = dict(traits.metadata)
        resolution = traits.resolution
    else:
        x, unit = calibration.along("x")
        y, z = (in_unit(*calibration.along(axis), unit) for axis in "yz")
        metadata["spacing"] = z
        if unit is not None:
            metadata["unit"] = (unit_symbol(unit) or unit).replace("µ", "u")
        resolution = (1 / x if x else 1.0, 1 / y if y else 1.0)
        if calibration.display_range is not None:
            metadata["min"], metadata["max"] = calibration.display_range
    metadata.pop("Labels", None)
    for key, value in metadata.items():
        # only "Info" and "Labels" may have other letters in ImageJ's TIFF
        if key != "Info" and isinstance(value, str) and not value.isascii():
            metadata[key] = value.replace("µ", "u").encode("ascii", "replace").decode()
    if labels is not None:
        metadata["Labels"] = list(labels)
    if provenance is not None:
        info = str(metadata.get("Info", ""))
        metadata["Info"] = f"{info}\n" * bool(info) + f"{KEY}={to_text(provenance)}\n"
    return metadata, resolution


def _ome(calibration: Calibration, same: bool, provenance: Provenance | None) -> dict[str, Any]:
    """What tifffile writes into the OME-XML."""
    traits = calibration.tiff or TiffTraits()
    metadata: dict[str, Any] = {}
    if same:
        metadata = dict(traits.ome)
    else:
        if calibration.name:
            metadata["Name"] = calibration.name
        for axis, name in OME_SIZES.items():
            scale, unit = calibration.along(axis)
            symbol = unit_symbol(unit)
            if axis not in calibration.named_axes or (symbol is None and scale == 1):
                continue
            if scale > 0:
                metadata[name] = scale
                metadata[f"{name}Unit"] = symbol or ("s" if axis == "t" else "pixel")
    if provenance is not None:
        ours = {
            "Namespace": NAMESPACE,
            "Description": "Which sections are synthetic or corrected, and where they come from",
            "Value": {"provenance": to_text(provenance)},
        }
        metadata["MapAnnotation"] = [*metadata.get("MapAnnotation", []), ours]
    return metadata
