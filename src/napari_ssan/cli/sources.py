"""Stacks, parts of stacks and marks, as text on the command line names them.

Easy to get wrong: what a stack's own record calls synthetic counts as marked, unless the stack is
cut along another axis than the one the record is about.
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_ssan.cli.progress import console
from napari_ssan.engine.provenance import Provenance
from napari_ssan.errors import BadInput
from napari_ssan.files import open_stack
from napari_ssan.paths import located, printable
from napari_ssan.stack.binned import Binned
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source

_SOURCE = re.compile(r"(.*?)(?:\[(\d*):(\d*)(?::(\d+))?\])?(?:@(\d))?(?:~(\d+))?")


def parse_source(text: str, defects: str = "", *, follow_links: bool = False) -> Source:
    """Open the part of a stack that text such as ``stack.tif[0:80]`` names.

    Parameters
    ----------
    text : str
        As :data:`~napari_ssan.cli.options.SYNTAX` describes it.
    defects : str
        Marks, for :func:`parse_marks`.
    follow_links : bool
        As for :func:`~napari_ssan.files.open.open_stack`.

    Raises
    ------
    BadInput
        If the file cannot be read, or does not hold the sections or the marks.
    """
    match = _SOURCE.fullmatch(text)
    assert match is not None  # every part is optional
    file = open_stack(match[1], follow_links=follow_links)
    for note in file.notes:
        console.print(f"Note: {printable(note)}", markup=False)
    stack = file.stack() if match[5] is None else SliceStack(file.data, int(match[5]))
    if match[6]:
        stack = SliceStack(Binned(stack, int(match[6])))
    start, stop = int(match[2] or 0), int(match[3] or len(stack))
    spacing = int(match[4] or 1)
    if not 0 <= start < stop <= len(stack) or spacing < 1:
        raise BadInput(f"{text} names slices that are not there: the stack has {len(stack)}.")
    record = file.provenance if match[5] is None else None
    marks = parse_marks(defects, stack, record)
    return Source(stack, start, stop, spacing, marks or None)


def source_path(text: str) -> Path:
    """The file or folder that :func:`parse_source` opens."""
    match = _SOURCE.fullmatch(text)
    assert match is not None
    return located(match[1])


def parse_marks(text: str, stack: SliceStack, record: Provenance | None) -> Marks:
    """Read marks from a file, or from a list of slices such as ``12,47-48``.

    Parameters
    ----------
    text : str
        Path of a .json or .csv file, or slices counted from 0; empty for no marks.
    stack : SliceStack
        The stack that the marks must fit.
    record : Provenance or None
        The stack's own record: the sections that it calls synthetic are marked, too.

    Raises
    ------
    BadInput
        If the file or the list cannot be read, or a mark lies outside the stack.
    """
    marks = Marks()
    if text:
        if marks_file(text):
            marks = Marks.read(text, stack.shape[1:])
        else:
            marks = Marks(set(parse_slices(text)))
        marks.check(stack.shape)
    if record is not None:
        marks.whole |= record.numbers
    return marks


def marks_file(text: str) -> Path | None:
    """The file that the text for :func:`parse_marks` names; None if it names slices."""
    return Path(text) if Path(text).suffix.lower() in (".json", ".csv") else None
