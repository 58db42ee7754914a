"""Writes a volume as MRC, band by band, for IMOD and its relatives.

mrcfile knows the header; it is an extra. Pixels are written, not mapped, since a full disk would
kill a process that writes to a map. Easy to get wrong: MRC has no unsigned bytes, so they are
written as IMOD writes them, with its own words in the header; :mod:`~napari_ssan.files.open_mrc`
reads both these and the provenance, which lies in the extended header.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.open_mrc import EXTENDED, IMOD, STAMP
from napari_ssan.files.provenance_io import to_text
from napari_ssan.files.units import LENGTHS, in_unit
from napari_ssan.stack.sections import BAND_PIXELS, Array, ArrayLike

#: Mode of each type of pixels.
MODES = {"uint8": 0, "int16": 1, "float32": 2, "uint16": 6, "float16": 12}
#: Version of the standard, and what says that numbers are little-endian.
VERSION, LITTLE = 20141, (0x44, 0x44, 0, 0)
LABEL = 80


def check_mrc(path: Path, calibration: Calibration, shape: tuple[int, ...], dtype: Any) -> None:
    """Refuse, before any work is done, what MRC cannot hold.

    Raises
    ------
    BadInput
        If mrcfile is not installed, or the pixels or the axes do not fit.
    """
    try:
        import mrcfile  # noqa: F401
    except ImportError:
        raise BadInput(
            f"{path.name} is MRC, which needs mrcfile: pip install 'napari-ssan[mrc]'."
        ) from None
    if np.dtype(dtype).name not in MODES:
        raise BadInput(
            f"MRC has no pixels of type {np.dtype(dtype).name}; write {path.name} as .ome.zarr or "
            ".tif."
        )
    axes, _ = _long(calibration.with_z(), shape)
    if axes != "zyx":
        raise BadInput(
            f"MRC holds slices, rows and columns in this order, and here the axes are {axes!r}; "
            f"write {path.name} as .ome.zarr or .tif."
        )


def write_mrc(
    path: Path,
    data: ArrayLike,
    calibration: Calibration,
    provenance: Provenance | None,
    step: Callable[[bool], None],
) -> None:
    """Write a volume as MRC 2014, rows in the order in which they are.

    Parameters
    ----------
    path : Path
        File to write.
    data : array-like
        Indexed band by band, in order; never as a whole. :func:`check_mrc` has let it pass.
    calibration : Calibration
        Of `data`; the voxel size is kept where its unit is a length.
    provenance : Provenance or None
    step : callable
        Called after each band, with True when it was the last of a section; it may raise.
    """
    from mrcfile.dtypes import HEADER_DTYPE

    shape, dtype = tuple(data.shape), np.dtype(data.dtype)
    calibration = calibration.with_z()
    _, (depth, height, width) = _long(calibration, shape)
    text = to_text(provenance).encode() if provenance is not None else b""
    text += b" " * (-len(text) % 8)
    header = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    for axis, length in zip("xyz", (width, height, depth), strict=True):
        header[f"n{axis}"] = header[f"m{axis}"] = length
        size, unit = calibration.along(axis)
        if unit in LENGTHS and size > 0:
            header["cella"][axis] = in_unit(size, unit, "angstrom") * length
    header["mode"] = MODES[dtype.name]
    header["cellb"] = (90, 90, 90)
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["ispg"], header["nversion"] = 1, VERSION
    header["map"], header["machst"], header["rms"] = b"MAP ", LITTLE, -1
    header["nsymbt"], header["exttyp"] = len(text), EXTENDED if text else b""
    note = "; extended header lists synthetic and corrected sections" if text else ""
    header["nlabl"] = 1
    header["label"][0] = f"Written by napari-ssan{note}"[:LABEL].ljust(LABEL).encode()
    seen = _Seen()
    rows = max(1, BAND_PIXELS // width)
    with path.open("w+b") as file:
        file.write(header.tobytes() + text)
        for place in np.ndindex(*shape[:-2]):
            for top in range(0, height, rows):
                band = slice(top, min(top + rows, height))
                pixels = np.ascontiguousarray(data[(*place, band)], dtype.newbyteorder("<"))
                file.write(pixels.tobytes())
                seen.take(pixels)
                step(band.stop == height)
        header["dmin"], header["dmax"], header["dmean"] = seen.summary
        file.seek(0)
        file.write(header.tobytes())
        if dtype == np.uint8:
            file.seek(IMOD.start)
            file.write(np.array([STAMP, 0], "<i4").tobytes())


class _Seen:
    """Lowest, highest and mean grey value of bands, by which viewers choose what is black."""

    def __init__(self) -> None:
        self._low, self._high, self._sum, self._count = np.inf, -np.inf, 0.0, 0

    def take(self, pixels: Array) -> None:
        finite = pixels[np.isfinite(pixels)]
        if finite.size:
            self._low = min(self._low, float(finite.min()))
            self._high = max(self._high, float(finite.max()))
            self._sum += float(finite.sum(dtype=np.float64))
            self._count += finite.size

    @property
    def summary(self) -> tuple[float, float, float]:
        """As the standard has it where nothing is known: the highest is below the lowest."""
        if not self._count:
            return 0.0, -1.0, -2.0
        return self._low, self._high, self._sum / self._count


def _long(calibration: Calibration, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Axes and shape without those of length 1, except for z, y and x."""
    axes = calibration.named_axes
    kept = [at for at, axis in enumerate(axes) if axis in "zyx" or shape[at] > 1]
    return "".join(axes[at] for at in kept), tuple(shape[at] for at in kept)
