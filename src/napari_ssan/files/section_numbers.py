"""Which number a section had before others were inserted: a table, and volumes that follow it.

Labels and skeletons of the stack as it was must follow when an export is longer. The table lies
in the export's record and beside it as CSV. Easy to get wrong: the table goes from new to old,
since every new section has one origin or none.
"""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path
from typing import Literal

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.files import remote
from napari_ssan.files.open import StackFile, open_image
from napari_ssan.files.output import ending
from napari_ssan.paths import address, spelled
from napari_ssan.stack.lazy import LazyPixels
from napari_ssan.stack.sections import Array, ArrayLike

#: By new number, the old one; None for a section that was inserted.
Table = tuple[int | None, ...]
OLD, NEW = "old", "new"


def table_path(output: Path) -> Path:
    """Path of the table, `NAME.sections.csv` beside an output."""
    return output.with_name(f"{output.name[: -len(ending(output))]}.sections.csv")


def check_table(output: Path, overwrite: bool) -> None:
    """Check, before any work is done, whether the table of an output may be written.

    Raises
    ------
    BadInput
        If something is at its place, and may not be replaced.
    """
    path = table_path(output)
    if address(path):  # it goes with the output, which is not replaced unless that is allowed
        return
    if path.is_dir() or (not overwrite and (path.exists() or path.is_symlink())):
        raise BadInput(
            f"The table of section numbers {path} exists already; allow it to be replaced "
            "(--overwrite) or choose another name for the output."
        )


def table_text(table: Table) -> str:
    """A table as CSV: old and new number of each section, the old one empty if inserted."""
    rows = [(OLD, NEW), *(("" if old is None else old, new) for new, old in enumerate(table))]
    return "".join(f"{old},{new}\n" for old, new in rows)


def read_table(path: Path) -> Table:
    """Read a table from a CSV file, or from the record of an export.

    Raises
    ------
    BadInput
        If there is none, or it leaves sections out.
    """
    if path.suffix.lower() == ".csv":
        return _checked(path, _from_csv(path))
    file = open_image(path)
    record = file.provenance
    if record is not None and record.old_sections is not None:
        return _checked(path, record.old_sections)
    inserted = (
        {each.section for each in record.sections if each.kind == "inserted"} if record else ()
    )
    if not inserted:
        raise BadInput(f"No slices were inserted in {spelled(path)}, so no numbers have changed.")
    table: list[int | None] = []
    for new in range(file.data.shape[section_axis(file)]):
        table.append(None if new in inserted else new - sum(each < new for each in inserted))
    return tuple(table)


def _from_csv(path: Path) -> Table:
    try:
        content = remote.read(path) if address(path) else path.read_bytes()
        lines = (content or b"").decode("utf-8-sig").splitlines()
        rows = [(row[NEW], row[OLD]) for row in csv.DictReader(lines)]
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        found = {int(new): int(old) if old.strip() else None for new, old in rows}
    except OSError as error:
        raise BadInput(f"{spelled(path)} cannot be read: {error.strerror or error}.") from error
    except (KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise BadInput(
            f"{spelled(path)} is no table of section numbers: it needs the columns {OLD} and {NEW}."
        ) from error
    return tuple(found.get(new, -1) for new in range(len(rows)))


def _checked(path: Path, table: Table) -> Table:
    kept = [old for old in table if old is not None]
    if not kept or kept != list(range(len(kept))):
        raise BadInput(
            f"The table in {spelled(path)} leaves sections out, or changes their order; give the "
            "one that was written with the export."
        )
    return table


def section_axis(file: StackFile) -> int:
    """The axis of the sections of labels, whatever their type.

    Raises
    ------
    BadInput
        If it cannot be told.
    """
    shape = tuple(file.data.shape)
    if (z := file.axes.find("z")) >= 0 and shape[z] > 1:
        return z
    others = [at for at, axis in enumerate(file.axes) if axis not in "yx" and shape[at] > 1]
    if len(others) != 1:
        raise BadInput(f"{file.path.name} has axes {file.axes!r} of lengths {shape}; name one z.")
    return others[0]


class Renumbered(LazyPixels):
    """Labels with as many sections as the stack has now, read section by section.

    Parameters
    ----------
    labels : array-like
    axis : int
        That of the sections.
    table : Table
    inserted : {"nearest", "zero"}
        What an inserted section gets: the labels of the nearest section, of two the one before;
        or zeros.
    """

    what = "These labels"

    def __init__(
        self,
        labels: ArrayLike,
        axis: int,
        table: Table,
        inserted: Literal["nearest", "zero"] = "nearest",
    ) -> None:
        shape = list(labels.shape)
        shape[axis] = len(table)
        super().__init__(tuple(shape), np.dtype(labels.dtype))
        self._labels, self._axis = labels, axis
        self._origin = table if inserted == "zero" else _nearest(table)

    def part(self, spans: tuple[slice, ...]) -> Array:
        """See :meth:`~napari_ssan.stack.lazy.LazyPixels.part`."""
        found = []
        for new in range(self.shape[self._axis])[spans[self._axis]]:
            old = self._origin[new]
            one = list(spans)
            one[self._axis] = slice(old or 0, (old or 0) + 1)
            if old is None:
                lengths = [len(range(n)[s]) for n, s in zip(self._labels.shape, one, strict=True)]
                found.append(np.zeros(lengths, self.dtype))
            else:
                found.append(np.asarray(self._labels[tuple(one)]))
        return np.concatenate(found, axis=self._axis)


def _nearest(table: Table) -> Table:
    kept = [new for new, old in enumerate(table) if old is not None]
    return tuple(
        old if old is not None else table[min(kept, key=lambda at: (abs(at - new), at))]
        for new, old in enumerate(table)
    )
