"""Saves a repaired stack section by section, with its provenance, mask and expected errors.

All outputs appear at the end, together, or none. How a format is written is up to `write_tiff`,
`write_zarr` and `write_mrc`; where it may be written, to `output`.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from napari_ssan.engine.provenance import Provenance, recorded_marks
from napari_ssan.engine.repaired import ExpectedError, RepairedStack, SyntheticPixels
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.files import remote
from napari_ssan.files.calibration import Calibration, TiffTraits
from napari_ssan.files.open import StackFile
from napari_ssan.files.output import (
    check_distinct,
    check_output,
    error_path,
    kind,
    mask_path,
    replacing_all,
    tidy,
)
from napari_ssan.files.provenance_io import merged
from napari_ssan.files.remote_image import RemoteImage, free_prefix
from napari_ssan.files.section_numbers import check_table, table_path, table_text
from napari_ssan.files.write_mrc import check_mrc, write_mrc
from napari_ssan.files.write_tiff import check_ome, choose_flavour, write_tiff
from napari_ssan.files.write_zarr import Pieces, check_zarr, fill, note_provenance, write_zarr
from napari_ssan.paths import address
from napari_ssan.stack.lazy import LazyPixels
from napari_ssan.stack.sections import DTYPES, Array, ArrayLike

Progress = Callable[[int, int], None]


def check_axes(path: Path, file: StackFile) -> None:
    """Check, before any work is done, whether an output can hold the axes of the input.

    Parameters
    ----------
    path : Path
        The output; see :func:`save_stack`.
    file : StackFile
        The input.

    Raises
    ------
    BadInput
        If it cannot.
    """
    if kind(path) == "zarr":
        check_zarr(file.calibration)
    elif kind(path) == "mrc":
        check_mrc(path, file.calibration, tuple(file.data.shape), file.data.dtype)
    elif choose_flavour(path, file.flavour, np.dtype(file.data.dtype)) == "ome-tiff":
        check_ome(tuple(file.data.shape), file.calibration)


def save_stack(
    path: str | Path,
    stack: RepairedStack | ArrayLike,
    source: StackFile | Calibration,
    *,
    overwrite: bool = False,
    mask: bool | str | Path = False,
    error: bool | str | Path = False,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    bigtiff: bool | None = None,
    pieces: Pieces | None = None,
    ready: Path | RemoteImage | None = None,
    labels: bool = False,
) -> list[Path]:
    """Save a stack, section by section.

    If sections were inserted, a table of old and new section numbers is written beside it.

    Plain TIFF and OME-Zarr keep the position of the first pixel
    (`Calibration.translate`); OME-TIFF and ImageJ do not.

    Parameters
    ----------
    path : str or Path
        The output. `.ome.tif` and `.ome.tiff` are OME-TIFF, `.tif` and `.tiff`
        have the flavour of the input, `.ome.zarr` and `.zarr` are OME-Zarr 0.5, `.mrc` is MRC.
    stack : RepairedStack or array-like
        Axes and dtype are written as they are.
    source : StackFile or Calibration
        The input, which is never overwritten, or its calibration; with the axes of `stack`.
    overwrite : bool
        Whether an output that exists is replaced, at the very end.
    mask : bool or path
        Whether to write the mask of synthetic pixels too: 255 where synthetic, 128 where
        corrected, else 0.
        True puts it beside the output, as `NAME.synthetic.tif` or `.ome.zarr`; a path
        puts it there.
    error : bool or path
        Whether to write the expected absolute error of every pixel too: float32, in
        grey values, 0 where a pixel is real, NaN where it is synthetic and its error
        is unknown. True puts it beside the output, as `NAME.expected-error.tif` or `.ome.zarr`.
    progress : callable, optional
        Called with the number of sections that are written, and that of all sections.
    cancel : threading.Event, optional
        Set it to stop after the current band of a section.
    bigtiff : bool, optional
        Whether to write BigTIFF. By default, if the size needs it or the input was one.
    pieces : Pieces, optional
        Size of the chunks and shards of an OME-Zarr.
    ready : Path or RemoteImage, optional
        Where the output is already, as OME-Zarr in a part or behind an address, but for its
        provenance.
    labels : bool
        Whether pixels are labels: whole numbers of any size, never averaged.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    BadInput
        If it may not or cannot be written, or the input cannot be read.
    Cancelled
        If it was cancelled.
    """
    path = Path(path)
    dtype = np.dtype(stack.dtype)
    if dtype.name not in DTYPES and not (labels and dtype.kind in "biu"):
        raise BadInput(
            f"Pixels of type {np.dtype(stack.dtype).name} cannot be written; "
            f"convert them to one of {', '.join(DTYPES)}."
        )
    calibration = source.calibration if isinstance(source, StackFile) else source
    origins = source.files if isinstance(source, StackFile) else ()
    given = [Path(other) for other in (mask, error) if not isinstance(other, bool)]
    for note in tidy(*(each.parent for each in (path, *given) if not address(each))):
        warnings.warn(note, stacklevel=2)
    if not isinstance(ready, RemoteImage):  # that is where it is written already
        check_output(path, origins, overwrite, dtype=stack.dtype)
    provenance = calibration.provenance
    if isinstance(stack, RepairedStack):
        provenance = merged(stack, provenance)
    outputs: list[tuple[Path, ArrayLike, Calibration, Provenance | None]] = [
        (path, _Source(stack), calibration, provenance)
    ]
    if isinstance(stack, RepairedStack):
        earlier, corrected = (
            recorded_marks(calibration.provenance, stack.stack.shape, which)
            for which in (False, True)
        )
        companions: list[tuple[bool | str | Path, Path, ArrayLike, str]] = [
            (mask, mask_path(path), SyntheticMask(stack, earlier, corrected), "synthetic"),
            (error, error_path(path), ExpectedError(stack, earlier, corrected), "expected error"),
        ]
        for wanted, usual, pixels, title in companions:
            if wanted:
                target = usual if wanted is True else Path(wanted)
                if not isinstance(ready, RemoteImage):
                    check_output(target, origins, overwrite)
                outputs.append((target, pixels, _companion_calibration(calibration, title), None))
    check_distinct(target for target, *_ in outputs)
    for target, pixels, its, _ in outputs:
        if kind(target) == "mrc":
            check_mrc(target, its, tuple(pixels.shape), pixels.dtype)
    left = outputs if ready is None else outputs[1:]
    counter = _Counter(sum(prod(data.shape[:-2]) for _, data, *_ in left), progress, cancel)
    table = stack.provenance.old_sections if isinstance(stack, RepairedStack) else None
    written = [target for target, *_ in outputs]
    if table is not None:
        check_table(path, overwrite)
        written.append(table_path(path))
    distant = [each for each in outputs if address(each[0])]
    made: dict[Path, RemoteImage] = {}
    if isinstance(ready, RemoteImage):
        made[path], prefix = ready, ready.prefix
    else:
        prefix = free_prefix(target for target, *_ in distant)
    local = [target for target in written if not address(target)]
    part = ready if isinstance(ready, Path) else None
    witness = source.witness if isinstance(source, StackFile) else None
    if witness is not None and ready is None:  # else most of it is written already
        witness.watch()
    with replacing_all(local, overwrite, part) as temporaries:
        places = dict(zip(local, temporaries, strict=True))
        for target, data, its, said in outputs:
            counter.check()
            if target in made or (part and places.get(target) == part):
                continue
            if address(target):
                form = tuple(data.shape), data.dtype, its, pieces
                made[target] = RemoteImage(target, prefix, *form, labels=labels)
                made[target].discard()
                fill(made[target].make(), data, its, counter, pieces, labels=labels)
            elif kind(target) == "zarr":
                write_zarr(places[target], data, its, said, counter, pieces, labels=labels)
            elif kind(target) == "mrc":
                write_mrc(places[target], data, its, said, counter)
            else:
                names = _labels(stack, its) if isinstance(stack, RepairedStack) else None
                flavour = choose_flavour(target, its.flavour, np.dtype(data.dtype))
                write_tiff(
                    places[target], data, its, flavour, said, counter, labels=names, bigtiff=bigtiff
                )
        if part is not None:
            note_provenance(part, provenance or Provenance())
        if table is not None and not address(path):
            places[table_path(path)].write_text(table_text(table), encoding="utf-8", newline="")
        if witness is not None:
            witness.check()
    if table is not None and address(path):
        remote.write(table_path(path), table_text(table).encode())
    for target, _, _, said in reversed(distant):  # the output itself appears last
        made[target].appear(said, overwrite=overwrite)
    return written


class SyntheticMask(SyntheticPixels):
    """Which pixels are not as they were: 255 where synthetic, 128 where corrected, else 0."""

    value, corrected = 255, 128


class _Source(LazyPixels):
    """The stack to write; when it cannot be read, that is said of it and not of the output."""

    def __init__(self, data: ArrayLike) -> None:
        super().__init__(tuple(data.shape), np.dtype(data.dtype))
        self._data = data

    def part(self, spans: tuple[slice, ...]) -> Array:
        """See :meth:`~napari_ssan.stack.lazy.LazyPixels.part`."""
        try:
            return np.asarray(self._data[spans])
        except OSError as error:
            raise BadInput(f"The input cannot be read: {error.strerror or error}.") from error


class _Counter:
    """Counts sections, tells of them, and stops the work when asked to."""

    def __init__(
        self, total: int, progress: Progress | None, cancel: threading.Event | None
    ) -> None:
        self._done, self._total = 0, total
        self._progress, self._cancel = progress, cancel

    def check(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled("The export was cancelled; nothing was written.")

    def __call__(self, section_done: bool) -> None:
        self._done += section_done
        if section_done and self._progress is not None:
            self._progress(self._done, self._total)
        self.check()


def _companion_calibration(calibration: Calibration, what: str) -> Calibration:
    """Calibration of a mask or map: the same place in space, compressed, and nothing else."""
    return replace(
        calibration,
        flavour=None,
        name=f"{calibration.name} {what}".strip(),
        display_range=None,
        provenance=None,
        omero=None,
        tiff=TiffTraits(compression=8),
    )


def _labels(repaired: RepairedStack, calibration: Calibration) -> list[str] | None:
    """ImageJ's label of each section; inserted sections get one of their own."""
    traits = calibration.tiff
    labels = traits.metadata.get("Labels") if traits else None
    if not isinstance(labels, list | tuple) or len(labels) != len(repaired.stack):
        return None
    return ["inserted, synthetic" if inserted else str(labels[z]) for z, inserted in repaired.slots]
