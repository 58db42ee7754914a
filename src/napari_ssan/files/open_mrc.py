"""Opens an MRC file, as IMOD and other programs of electron tomography write them.

It needs mrcfile, which is an extra; pixels are read when they are asked for. Easy to get wrong:
bytes are signed in the standard, and unsigned in most files of IMOD, which says so in words of the
header that others leave empty.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.in_a_row import InARow
from napari_ssan.files.lazy import LazyArray, reader
from napari_ssan.files.provenance_io import from_plain

#: Where the header says that this is MRC, and how; and IMOD's own words, by bytes.
MAP, IMOD, FLAGS = slice(208, 212), slice(152, 156), slice(156, 160)
STAMP, SIGNED = 1146047817, 1
#: Type of an extended header that holds provenance.
EXTENDED = b"SSAN"


def is_mrc(path: Path) -> bool:
    """Whether a file is MRC, by its header."""
    with path.open("rb") as file:
        return file.read(MAP.stop)[MAP] == b"MAP "


@reader
def open_mrc(path: Path) -> tuple[LazyArray, Calibration]:
    """Open the volume in an MRC file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    data : LazyArray, (z, y, x)
        Rows as they are stored; IMOD shows the first one at the bottom.
    calibration : Calibration

    Raises
    ------
    BadInput
        If mrcfile is not installed, the file is damaged, or it holds signed bytes.
    """
    try:
        import mrcfile
    except ImportError:
        raise BadInput(
            f"{path.name} is an MRC file, which needs mrcfile: pip install 'napari-ssan[mrc]'."
        ) from None
    with mrcfile.mmap(path, mode="r") as file:
        start, shape, dtype = file.data.offset, file.data.shape, file.data.dtype
        size, order = file.voxel_size, file.header.mode.dtype
        provenance = _provenance(file)
    if dtype == np.int8:
        with path.open("rb") as header:
            words = header.read(FLAGS.stop)
        stamp, flags = (np.frombuffer(words[part], order)[0] for part in (IMOD, FLAGS))
        if stamp != STAMP or flags & SIGNED:
            raise BadInput(
                f"{path.name} has signed bytes, which are not read; convert it, as with IMOD's "
                "newstack -mode 1."
            )
        dtype = np.dtype(np.uint8)
    scale = [float(getattr(size, axis)) for axis in "zyx"]
    known = all(np.isfinite(scale)) and min(scale) > 0
    calibration = Calibration.of(
        "zyx"[-len(shape) :],
        scale[-len(shape) :] if known else None,
        "angstrom" if known else None,
        flavour="mrc",
        name=path.name.split(".")[0],
        provenance=provenance,
    )
    with ExitStack() as files:
        pixels = InARow(files.enter_context(path.open("rb")), start, shape, dtype)
        return LazyArray(pixels, path.name, files.pop_all().close), calibration


def _provenance(file: Any) -> Provenance | None:
    if bytes(file.header.exttyp) != EXTENDED:
        return None
    return from_plain(file.extended_header.tobytes().decode("ascii", "replace"))
