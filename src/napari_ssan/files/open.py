"""Opens a stack, whatever it is stored in.

It picks the reader by the file's first bytes or its name, and finds the z axis. Each format has
a module of its own (``open_*.py``); a new one is added in `_open`. Nothing is read here but
metadata: pixels come when `StackFile.data` is indexed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput, NotAStack
from napari_ssan.files.border import home_of
from napari_ssan.files.calibration import Calibration, Flavour
from napari_ssan.files.completeness import Chunks, ManyChunks, Witness, check_some
from napari_ssan.files.lazy import LazyArray
from napari_ssan.files.open_folder import look, open_folder, read_image
from napari_ssan.files.open_hdf5 import is_hdf5, open_hdf5, split_dataset
from napari_ssan.files.open_mrc import is_mrc, open_mrc
from napari_ssan.files.open_tensorstore import is_n5, is_precomputed, open_n5, open_precomputed
from napari_ssan.files.open_tiff import open_tiff
from napari_ssan.files.open_zarr import is_zarr, open_zarr
from napari_ssan.files.tiff_integrity import MAGIC
from napari_ssan.paths import address, check_input, located, real, spelled
from napari_ssan.stack.sections import ArrayLike, SliceStack
from napari_ssan.swap import interrupted

#: What can be opened, in words.
FORMATS = (
    "a TIFF, a zarr array, an OME-Zarr image, an HDF5 or MRC file, an N5 or precomputed volume, or "
    "a folder of TIFFs or PNGs"
)


@dataclass(frozen=True, eq=False)
class StackFile:
    """A stack in a file, opened but not read.

    Attributes
    ----------
    path : Path
        The file or folder; `reference` opens the stack again.
    data : array-like
        In the file's axes; indexing reads only what is asked for.
    calibration : Calibration
        Axes, voxel size, units, and what else an output of the same flavour keeps.
    levels : tuple of array-like
        The pyramid, full resolution first; `data` alone if there is none.
    companions : tuple of Path
        Other files that the pixels are read from: those of a set, of links or of sources.
    notes : tuple of str
        What the file holds that is not used, or lacks, one sentence each.
    chunks : Chunks, ManyChunks or None
        Which of its chunks are there, where it is stored in chunks.
    witness : Witness
        How much there was of its files.
    dataset : str
        Which one was asked for of an HDF5 file; empty for the usual one.
    """

    path: Path
    data: ArrayLike
    calibration: Calibration
    levels: tuple[ArrayLike, ...]
    companions: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    chunks: Chunks | ManyChunks | None = None
    witness: Witness | None = None
    dataset: str = ""

    def __post_init__(self) -> None:
        if self.witness is None:
            few = not isinstance(self.chunks, ManyChunks)
            object.__setattr__(self, "witness", Witness(self.files, count=few))

    @property
    def files(self) -> tuple[Path, ...]:
        """All files or folders that the stack is read from, `path` first."""
        return (self.path, *self.companions)

    @property
    def reference(self) -> Path:
        """What opens the stack again from anywhere: its real path, with the dataset if need be."""
        path = real(self.path)
        return Path(f"{path}:/{self.dataset.strip('/')}") if self.dataset else path

    @property
    def flavour(self) -> Flavour | None:
        """How it is stored."""
        return self.calibration.flavour

    @property
    def axes(self) -> str:
        """One letter per axis, such as "zyx"."""
        return self.calibration.axes

    @property
    def provenance(self) -> Provenance | None:
        """What is already synthetic in it."""
        return self.calibration.provenance

    def stack(self) -> SliceStack:
        """Its sections.

        Raises
        ------
        BadInput
            If there are several channels or time points, or the pixels are not grey values.
        """
        return SliceStack(self.data, self.calibration.z_axis)


def open_stack(path: str | Path, *, follow_links: bool = False) -> StackFile:
    """Open a stack of sections without reading it.

    Parameters
    ----------
    path : str or Path
        TIFF (OME, ImageJ, plain, BigTIFF), zarr array (v2, v3), OME-Zarr
        (0.4, 0.5), HDF5 (``stack.h5``, ``stack.h5:/volumes/raw``), MRC, N5, neuroglancer
        precomputed, or a folder of single-section TIFFs or PNGs. Zarr, N5 and precomputed may
        lie behind an address: ``https://``, ``s3://`` or ``gs://``.
    follow_links : bool
        Whether it may take pixels from outside its folder. `path` itself may always be a link.

    Returns
    -------
    StackFile
        If a TIFF has no z axis, its time axis or its only unnamed axis counts as z.

    Raises
    ------
    NotAStack
        If it is an image, but not a stack of grey sections.
    BadInput
        If it cannot be read at all.
    """
    file = _open(located(path), follow_links)
    z_axis = _find_z(file)
    file = replace(file, calibration=replace(file.calibration, z_axis=z_axis))
    stack = file.stack()  # raises if it is none
    if isinstance(file.chunks, Chunks) and file.chunks.missing:
        check_some(file.path.name, file.chunks)
        lacking = sorted(stack.incomplete)
        note = (
            f"{file.path.name} lacks {file.chunks.missing} of its {file.chunks.expected} chunks; "
            "they read as empty."
        )
        if lacking:
            named = ", ".join(map(str, lacking[:5])) + ", ..." * (len(lacking) > 5)
            note += f" Slices that lack a chunk which one beside them has: {named}."
        file = replace(file, notes=(*file.notes, note))
    return file


def open_image(path: str | Path, *, follow_links: bool = False) -> StackFile:
    """Open an image that may be a single section, such as a mask, without reading it.

    Parameters
    ----------
    path : str or Path
        What `open_stack` opens, or a single section as TIFF or PNG.
    follow_links : bool
        As for `open_stack`.

    Returns
    -------
    StackFile
        Its calibration has no z axis.

    Raises
    ------
    BadInput
        If it is not a grey image.
    """
    path = located(path)
    check_input(path)
    if path.suffix.lower() == ".png" and path.is_file():
        look(path, None)
        data = LazyArray(read_image(path, None), path.name)
        return StackFile(path, data, Calibration.of("yx", name=path.stem), (data,))
    return _open(path, follow_links)


def read_provenance(path: str | Path) -> Provenance | None:
    """Read what is synthetic in a file; None if the file does not say.

    Raises
    ------
    BadInput
        If it cannot be opened.
    """
    return _open(located(path)).provenance


def _open(path: Path, follow_links: bool = False) -> StackFile:
    if address(path):
        return _open_remote(path)
    path, dataset = split_dataset(path)
    check_input(path)
    if not path.exists():
        if part := interrupted(path):
            raise BadInput(
                f"{path} was being replaced when a run was killed, and lies in {part}: run "
                f"napari-ssan status {path}, which puts it in its place."
            )
        raise BadInput(f"{path} does not exist; check the path.")
    home = None if follow_links else home_of(path)
    try:
        if path.is_dir():
            if is_zarr(path) or path.suffix.lower() == ".zarr":
                levels, calibration, chunks = open_zarr(path, home)
                data = LazyArray(levels[0], path.name, chunks=chunks)
                return StackFile(path, data, calibration, (data, *levels[1:]), chunks=chunks)
            if found := _open_chunked(path, home):
                return found
            data, calibration = open_folder(path, home)
            return StackFile(path, data, calibration, (data,))
        with path.open("rb") as file:
            start = file.read(4)
        if is_hdf5(path, start):
            data, calibration, stored, others = open_hdf5(path, home, dataset)
            return StackFile(
                path, data, calibration, (data,), others, chunks=stored, dataset=dataset
            )
        if is_mrc(path):
            data, calibration = open_mrc(path)
            return StackFile(path, data, calibration, (data,))
        if start not in MAGIC and path.suffix.lower() not in (".tif", ".tiff"):
            raise BadInput(f"{path.name} cannot be opened; give {FORMATS}.")
        image = open_tiff(path, home)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error
    return StackFile(
        path, image.data, image.calibration, (image.data,), image.companions, image.notes
    )


def _open_remote(path: Path) -> StackFile:
    """What an address stands for."""
    if not is_zarr(path):
        if found := _open_chunked(path, None):
            return found
        raise BadInput(
            f"There is no zarr store at {spelled(path)}; behind an address, only zarr arrays, "
            "OME-Zarr images, N5 and precomputed volumes are read."
        )
    levels, calibration, chunks = open_zarr(path, None)
    data = LazyArray(levels[0], path.name, chunks=chunks)
    notes = () if chunks else (_not_checked(path),)
    return StackFile(path, data, calibration, (data, *levels[1:]), notes=notes, chunks=chunks)


def _open_chunked(path: Path, home: Path | None) -> StackFile | None:
    """A precomputed or N5 volume; None if it is something else."""
    if is_precomputed(path):
        levels, calibration = open_precomputed(path, home)
    elif is_n5(path) or path.suffix.lower() == ".n5":
        levels, calibration = open_n5(path, home)
    else:
        return None
    return StackFile(path, levels[0], calibration, (*levels,), notes=(_not_checked(path),))


def _not_checked(path: Path) -> str:
    return f"It was not checked whether {path.name} has all of its chunks."


def _find_z(file: StackFile) -> int:
    """Find the axis along which the sections lie."""
    axes, shape, name = file.axes, file.data.shape, file.path.name
    z = axes.find("z")
    if z >= 0 and shape[z] > 1:
        return z
    others = [at for at, axis in enumerate(axes) if axis not in "zcsyx" and shape[at] > 1]
    if file.flavour in ("tiff", "imagej", "ome-tiff") and len(others) == 1:
        return others[0]
    channels = axes.find("c")
    if channels >= 0 and shape[channels] > 1:
        raise NotAStack(
            f"{name} has {shape[channels]} channels and no z axis; pick one channel, "
            "or store them along z if they are slices."
        )
    if others:
        raise NotAStack(f"{name} has axes {axes!r} of lengths {shape}; name the one of slices z.")
    raise NotAStack(f"{name} holds a single slice; a repair needs its neighbours, so give a stack.")
