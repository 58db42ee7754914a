"""Opens an HDF5 file: CREMI's, or any with one 3-D dataset.

It needs h5py, which is an extra. The file stays open as long as somebody holds the array; a
section is read when it is asked for.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.files.border import check_piece, check_within
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.completeness import Chunks, hdf5_chunks
from napari_ssan.files.lazy import LazyArray, reader

#: The first bytes of most HDF5 files; others are known by their names.
MAGIC = b"\x89HDF"
SUFFIXES = (".h5", ".hdf", ".hdf5")
#: Where CREMI keeps the sections, and their voxel size in nm (z, y, x) as an attribute.
RAW, RESOLUTION = "volumes/raw", "resolution"


def is_hdf5(path: Path, start: bytes) -> bool:
    """Whether a file is HDF5, by its first four bytes or by its name."""
    return start == MAGIC or path.suffix.lower() in SUFFIXES


@reader
def open_hdf5(path: Path) -> tuple[LazyArray, Calibration, Chunks | None]:
    """Open the volume in an HDF5 file.

    Parameters
    ----------
    path : Path
        With a dataset ``volumes/raw``, as in CREMI, or a single 3-D dataset.

    Returns
    -------
    data : LazyArray, (z, y, x)
    calibration : Calibration
    chunks : Chunks or None
        Which chunks there are; None if it is stored in one piece.

    Raises
    ------
    BadInput
        If h5py is not installed, the file is damaged, or there is not exactly one 3-D dataset.
    """
    try:
        import h5py
    except ImportError:
        raise BadInput(
            f"{path.name} is an HDF5 file, which needs h5py: pip install 'napari-ssan[cremi]'."
        ) from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadInput(
            f"{path.name} is a damaged HDF5 file, or not HDF5; copy it again."
        ) from error
    try:
        dataset = file[_choose(path, file)]
        _admit(path, dataset)
        chunks = hdf5_chunks(dataset)
        resolution = dataset.attrs.get(RESOLUTION)
    except BaseException:
        file.close()
        raise
    scale = _three_lengths(resolution)
    calibration = Calibration.of(
        "zyx", scale, "nm" if scale else None, name=path.name.split(".")[0]
    )
    return LazyArray(dataset, path.name, file.close), calibration, chunks


def _admit(path: Path, dataset: Any) -> None:
    """Refuse a dataset whose pixels are missing, lie elsewhere, or take too much memory."""
    names = [name for name, *_ in dataset.external or ()]
    if dataset.is_virtual:
        names += [source.file_name for source in dataset.virtual_sources()]
    for name in dict.fromkeys(names):
        if name == ".":
            continue
        check_within(path, path.parent / name)
        if not (path.parent / name).is_file():
            raise BadInput(
                f"{path.name} takes pixels from {name!r}, which is missing; put it beside it."
            )
    if dataset.chunks:
        size = math.prod(dataset.chunks) * dataset.dtype.itemsize
        check_piece(path.name, size, dataset.id.get_storage_size())


def _choose(path: Path, file: Any) -> str:
    """Name of the dataset with the sections."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, node: Any) -> None:
        if hasattr(node, "shape"):
            shapes[name] = node.shape or ()

    file.visititems(note)
    volumes = [name for name, shape in shapes.items() if len(shape) == 3]
    if RAW in volumes:
        return RAW
    if len(volumes) == 1:
        return volumes[0]
    there = ", ".join(volumes or shapes) or "nothing"
    what = "several 3-D datasets" if volumes else "no 3-D dataset"
    raise BadInput(
        f"{path.name} holds {what} and no {RAW}: it holds {there}; "
        "copy the dataset to repair to a TIFF or zarr."
    )


def _three_lengths(resolution: Any) -> list[float] | None:
    """Voxel size from an attribute; None if it makes no sense."""
    try:
        lengths = np.asarray(resolution, dtype=float)
    except (TypeError, ValueError):
        return None
    sane = lengths.shape == (3,) and np.isfinite(lengths).all() and (lengths > 0).all()
    return [float(length) for length in lengths] if sane else None
