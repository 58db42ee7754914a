"""Stacks, or parts of them, as the command line names them."""

from __future__ import annotations

import re
from pathlib import Path

from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput
from napari_ssan.files import open_stack
from napari_ssan.stack.binned import Binned
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source

#: How sections of a stack are named.
SYNTAX = (
    "PATH[0:80] takes sections 0 to 79, PATH[::4] takes sections four apart for adjacent ones, "
    "PATH[::5]@1 cuts along axis 1, PATH~3 joins 3 x 3 pixels into one."
)


_SOURCE = re.compile(r"(.*?)(?:\[(\d*):(\d*)(?::(\d+))?\])?(?:@(\d))?(?:~(\d+))?")


def parse_source(text: str, defects: str = "") -> Source:
    """Sections of a stack from text such as ``stack.tif[0:80]``.

    Parameters
    ----------
    text : str
        :data:`SYNTAX` says more.
    defects : str
        What else is marked, for :func:`parse_marks`; what is synthetic by the
        stack's own record always is.

    Raises
    ------
    BadInput
        If the file cannot be read, the sections are not in it or the marks do not fit.
    """
    match = _SOURCE.fullmatch(text)
    assert match is not None  # every part is optional
    file = open_stack(match[1])
    stack = file.stack() if match[5] is None else SliceStack(file.data, int(match[5]))
    if match[6]:
        stack = SliceStack(Binned(stack, int(match[6])))
    start, stop = int(match[2] or 0), int(match[3] or len(stack))
    spacing = int(match[4] or 1)
    if not 0 <= start < stop <= len(stack) or spacing < 1:
        raise BadInput(f"{text} names sections that are not there: the stack has {len(stack)}.")
    # Cut along another axis, the record's sections are not the stack's.
    record = file.provenance if match[5] is None else None
    marks = parse_marks(defects, stack, record)
    return Source(stack, start, stop, spacing, marks or None)


def source_path(text: str) -> Path:
    """The file or folder that :func:`parse_source` opens."""
    match = _SOURCE.fullmatch(text)
    assert match is not None
    return Path(match[1])


def parse_marks(text: str, stack: SliceStack, record: Provenance | None) -> Marks:
    """Marks of a stack from a file of them, or from a list such as ``12,47-48``.

    Parameters
    ----------
    text : str
        Path of a .json or .csv, or slices counted from 0; none if empty.
    stack : SliceStack
        Which the marks must fit.
    record : Provenance or None
        The stack's own: what is synthetic already counts as marked.

    Raises
    ------
    BadInput
        If the file or the list cannot be read, or a mark lies outside the stack.
    """
    marks = Marks()
    if text:
        if Path(text).suffix.lower() in (".json", ".csv"):
            marks = Marks.read(text, stack.shape[1:])
        else:
            marks = Marks(set(parse_slices(text)))
        marks.check(stack.shape)
    if record is not None:
        marks.whole |= record.numbers
    return marks
