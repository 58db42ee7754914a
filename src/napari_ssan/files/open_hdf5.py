"""Opens an HDF5 file: CREMI's, or any with one 3-D dataset.

It needs h5py, which is an extra. The file stays open as long as somebody holds the array; a
section is read when it is asked for. Easy to get wrong: pixels may lie in other files, and where
one of these is missing HDF5 reads zeros without a word, so all are looked at here.
"""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.files.border import check_piece, check_within
from napari_ssan.files.calibration import Calibration
from napari_ssan.files.completeness import Chunks, hdf5_chunks
from napari_ssan.files.lazy import LazyArray, reader
from napari_ssan.paths import check_input

#: The first bytes of most HDF5 files; others are known by their names.
MAGIC = b"\x89HDF"
SUFFIXES = (".h5", ".hdf", ".hdf5")
#: Where CREMI keeps the sections, and their voxel size in nm (z, y, x) as an attribute.
RAW, RESOLUTION = "volumes/raw", "resolution"
#: Most names that a message lists.
LISTED = 20


def is_hdf5(path: Path, start: bytes) -> bool:
    """Whether a file is HDF5, by its first four bytes or by its name."""
    return start == MAGIC or path.suffix.lower() in SUFFIXES


@reader
def open_hdf5(
    path: Path, home: Path | None, name: str = ""
) -> tuple[LazyArray, Calibration, Chunks | None, tuple[Path, ...]]:
    """Open the volume in an HDF5 file.

    Parameters
    ----------
    path : Path
        With a dataset ``volumes/raw``, as in CREMI, or a single 3-D dataset.
    home : Path or None
        Where all other files must lie; see :mod:`~napari_ssan.files.border`.
    name : str
        The dataset to open, such as ``/volumes/raw``; empty for the usual one.

    Returns
    -------
    data : LazyArray, (z, y, x)
    calibration : Calibration
    chunks : Chunks or None
        Which chunks there are; None if it is stored in one piece.
    others : tuple of Path
        Other files that the pixels are read from.

    Raises
    ------
    BadInput
        If h5py is not installed, a file is damaged or missing, or there is not exactly one 3-D
        dataset.
    """
    with contextlib.ExitStack() as files:
        opened = _Files(home, files)
        file = opened.open(path)
        where, dataset = _choose(path, file, opened, name)
        chunks = opened.admit(where, dataset)
        resolution = dataset.attrs.get(RESOLUTION)
        close = files.pop_all().close
    scale = _three_lengths(resolution)
    calibration = Calibration.of(
        "zyx", scale, "nm" if scale else None, name=path.name.split(".")[0]
    )
    others = tuple(other for other in opened.paths if other != path)
    return LazyArray(dataset, path.name, close, chunks), calibration, chunks, others


class _Files:
    """The files that a volume is read from.

    Parameters
    ----------
    home : Path or None
        Where they must lie.
    stack : ExitStack
        Closes those from which pixels are read through h5py; HDF5 itself opens the others.

    Attributes
    ----------
    paths : dict of Path to None
        In the order in which they were found.
    """

    def __init__(self, home: Path | None, stack: contextlib.ExitStack) -> None:
        self.home, self.stack = home, stack
        self.paths: dict[Path, None] = {}

    def open(self, path: Path, stack: contextlib.ExitStack | None = None) -> Any:
        """Open an HDF5 file."""
        try:
            import h5py
        except ImportError:
            raise BadInput(
                f"{path.name} is an HDF5 file, which needs h5py: pip install 'napari-ssan[cremi]'."
            ) from None
        self.paths[path] = None
        try:
            return (stack or self.stack).enter_context(h5py.File(path, "r"))
        except OSError as error:
            raise BadInput(
                f"{path.name} is a damaged HDF5 file, or not HDF5; copy it again."
            ) from error

    def beside(self, path: Path, name: str) -> Path:
        """Find a file that an HDF5 file names."""
        other = path.parent / name
        check_within(self.home, path.name, other)
        check_input(other)
        if not other.is_file():
            raise BadInput(
                f"{path.name} takes pixels from {name!r}, which is missing; put it beside it."
            )
        self.paths[other] = None
        return other

    def find(self, path: Path, node: Any, name: str) -> tuple[Path, Any]:
        """Follow links to a group or dataset; returns it with the file that it lies in."""
        import h5py

        for part in filter(None, name.split("/")):
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
            if link is None:
                raise BadInput(
                    f"{path.name} holds no dataset {name!r}; {self.there(path, node.file)}."
                )
            if isinstance(link, h5py.ExternalLink):
                path = self.beside(path, link.filename)
                path, node = self.find(path, self.open(path), link.path)
            elif isinstance(link, h5py.SoftLink):
                start = node.file if link.path.startswith("/") else node
                path, node = self.find(path, start, link.path)
            elif node.get(part, getclass=True) is h5py.Dataset:
                # Always in this way: one that is open already cannot be opened in another.
                access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
                access.set_efile_prefix(b"${ORIGIN}")  # beside the file, not where the program runs
                node = h5py.Dataset(h5py.h5d.open(node.id, part.encode(), access))
            else:
                node = node[part]
        return path, node

    def there(self, path: Path, file: Any) -> str:
        """Say which 3-D datasets and which links a file holds."""
        import h5py

        names: list[str] = []

        def note(name: str, link: Any) -> None:
            hard = isinstance(link, h5py.HardLink)
            if not hard or len(getattr(self.find(path, file, name)[1], "shape", None) or ()) == 3:
                names.append(f"/{name}")

        file.visititems_links(note)
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        return f"the file holds {', '.join(names[:LISTED]) or 'no 3-D dataset'}{more}"

    def admit(self, path: Path, dataset: Any) -> Chunks | None:
        """Refuse a dataset whose pixels are missing, lie elsewhere or take too much memory.

        Returns
        -------
        Chunks or None
            Which of its chunks are there; None if it is stored in one piece.
        """
        stored = 0
        for name, offset, size in dataset.external or ():
            stored += min(size, max(self.beside(path, name).stat().st_size - offset, 0))
        if dataset.external and stored < dataset.nbytes:
            raise BadInput(f"{path.name} takes pixels from files that are too short; copy them.")
        if dataset.is_virtual:
            return self._virtual(path, dataset)
        if dataset.chunks:
            size = math.prod(dataset.chunks) * dataset.dtype.itemsize
            check_piece(path.name, size, dataset.id.get_storage_size())
        return hdf5_chunks(dataset)

    def _virtual(self, path: Path, dataset: Any) -> Chunks:
        """Sections of a virtual dataset as its chunks: those are there that its sources fill."""
        from h5py import h5s

        filled = np.zeros(dataset.shape[:1])
        known: dict[tuple[str, str], tuple[int, ...] | None] = {}
        for space, file, name, part in dataset.virtual_sources():
            if (file, name) not in known:
                known[file, name] = self._source(path, file, name)
            shape, pixels = known[file, name], space.get_select_npoints()
            if shape is None or math.prod(shape) < pixels:
                continue
            whole = part.get_select_type() == h5s.SEL_ALL
            if not whole and np.greater_equal(part.get_select_bounds()[1], shape).any():
                continue
            (first, *_), (last, *_) = space.get_select_bounds()
            filled[first : last + 1] += pixels / (last + 1 - first)
        there = np.flatnonzero(filled > math.prod(dataset.shape[1:]) - 0.5).tolist()
        places = frozenset((z, *[0] * (dataset.ndim - 1)) for z in there)
        return Chunks(dataset.shape, (1, *dataset.shape[1:]), places)

    def _source(self, path: Path, file: str, name: str) -> tuple[int, ...] | None:
        """Shape of a source of a virtual dataset; None if it lacks chunks."""
        with contextlib.ExitStack() as files:
            path = path if file == "." else self.beside(path, file)
            path, source = self.find(path, self.open(path, files), name)
            if source.external:
                raise BadInput(
                    f"{path.name} keeps the pixels of {name} in other files; copy them into it."
                )
            chunks = self.admit(path, source)
            return None if chunks and chunks.missing else source.shape


def split_dataset(path: Path) -> tuple[Path, str]:
    """A file and the dataset in it that a path such as ``stack.h5:/volumes/raw`` names."""
    found = re.fullmatch(r"(.+\.(?:h5|hdf|hdf5)):(.+)", str(path), re.IGNORECASE | re.DOTALL)
    if found is None or path.exists():
        return path, ""
    return Path(found[1]), found[2]


def _choose(path: Path, file: Any, opened: _Files, wanted: str) -> tuple[Path, Any]:
    """The dataset with the sections, and the file that it lies in."""
    where, dataset = opened.find(path, file, wanted or _usual(path, file, opened))
    if len(getattr(dataset, "shape", None) or ()) != 3:
        there = opened.there(path, file)
        raise BadInput(f"{wanted} in {path.name} is no 3-D dataset; {there}.")
    return where, dataset


def _usual(path: Path, file: Any, opened: _Files) -> str:
    """Name of the dataset with the sections, if there is no doubt."""
    import h5py

    shapes: dict[str, tuple[int, ...]] = {}
    outside: list[str] = []

    def note(name: str) -> None:
        node = opened.find(path, file, name)[1]
        if hasattr(node, "shape"):
            shapes[name] = node.shape or ()

    def note_link(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            outside.append(name)

    file.visit(note)
    file.visititems_links(note_link)
    if RAW in outside or all(len(shape) != 3 for shape in shapes.values()):
        for name in [RAW] if RAW in outside else outside:
            note(name)
    volumes = [name for name, shape in shapes.items() if len(shape) == 3]
    if RAW not in volumes and len(volumes) != 1:
        there = ", ".join(volumes or shapes) or "nothing"
        what = "several 3-D datasets" if volumes else "no 3-D dataset"
        advice = (
            f"name one, as in {path.name}:/{volumes[0]}"
            if volumes
            else ("copy the dataset to repair to a TIFF or zarr")
        )
        raise BadInput(f"{path.name} holds {what} and no {RAW}: it holds {there}; {advice}.")
    return RAW if RAW in volumes else volumes[0]


def _three_lengths(resolution: Any) -> list[float] | None:
    """Voxel size from an attribute; None if it makes no sense."""
    try:
        lengths = np.asarray(resolution, dtype=float)
    except (TypeError, ValueError):
        return None
    sane = lengths.shape == (3,) and np.isfinite(lengths).all() and (lengths > 0).all()
    return [float(length) for length in lengths] if sane else None
