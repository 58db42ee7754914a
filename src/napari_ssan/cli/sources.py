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
from napari_ssan.files.open import StackFile, open_stack
from napari_ssan.paths import located, printable, real
from napari_ssan.stack.binned import Binned
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import parse_slices
from napari_ssan.stack.sections import SliceStack, Window
from napari_ssan.stack.source import Source

_SOURCE = re.compile(
    r"(?P<path>.*?)"
    r"(?:\[(?P<start>\d*):(?P<stop>\d*)(?::(?P<spacing>\d+))?"
    r"(?:,(?P<rows>\d*:\d*))?(?:,(?P<columns>\d*:\d*))?\])?"
    r"(?:@(?P<axis>\d))?(?:~(?P<bin>\d+))?"
)


def parse_source(
    text: str,
    defects: str = "",
    *,
    follow_links: bool = False,
    opened: dict[str, StackFile] | None = None,
) -> Source:
    """Open the part of a stack that text such as ``stack.tif[0:80]`` names.

    Parameters
    ----------
    text : str
        As :data:`~napari_ssan.cli.options.SYNTAX` describes it.
    defects : str
        Marks, for :func:`parse_marks`.
    follow_links : bool
        As for :func:`~napari_ssan.files.open.open_stack`.
    opened : dict of str to StackFile, optional
        Files that are open, by their path: sources of the same stack then share one.

    Raises
    ------
    BadInput
        If the file cannot be read, or does not hold the sections or the marks.
    """
    match = _parts(text)
    opened = {} if opened is None else opened
    file = opened.get(match["path"])
    if file is None:
        file = opened[match["path"]] = open_stack(match["path"], follow_links=follow_links)
        for note in file.notes:
            console.print(f"Note: {printable(note)}", markup=False)
    axis = match["axis"]
    stack = SliceStack(file.data, int(axis)) if axis else file.stack()
    if match["bin"]:
        stack = SliceStack(Binned(stack, int(match["bin"])))
    start, stop = int(match["start"] or 0), int(match["stop"] or len(stack))
    spacing = int(match["spacing"] or 1)
    if not 0 <= start < stop <= len(stack) or spacing < 1:
        raise BadInput(f"{text} names slices that are not there: the stack has {len(stack)}.")
    window = _window(text, match["rows"], match["columns"], stack)
    record = None if axis else file.provenance
    marks = parse_marks(defects, stack, record)
    return Source(stack, start, stop, spacing, marks or None, window)


def _window(text: str, rows: str, columns: str, stack: SliceStack) -> Window | None:
    """Rows and columns such as ``0:100``; None if neither is named."""
    if not rows and not columns:
        return None
    spans = []
    for span, length in zip((rows, columns), stack.shape[1:], strict=True):
        start, _, stop = (span or ":").partition(":")
        part = slice(int(start or 0), int(stop or length))
        if not part.start < part.stop <= length:
            height, width = stack.shape[1:]
            raise BadInput(
                f"{text} names rows or columns that are not there: slices are {height} x {width} "
                "pixels."
            )
        spans.append(part)
    return spans[0], spans[1]


def source_path(text: str) -> Path:
    """The file or folder that :func:`parse_source` opens."""
    return located(_parts(text)["path"])


def is_same_cut(one: str, other: str) -> bool:
    """Whether two texts name slices of the same stack along the same axis, and their numbers."""
    first, second = (_parts(text)["axis"] for text in (one, other))
    return first == second and real(source_path(one)) == real(source_path(other))


def _parts(text: str) -> dict[str, str]:
    """What text names: a path, and how its stack is cut; empty where nothing is said of that."""
    match = _SOURCE.fullmatch(text)
    assert match is not None  # every part is optional
    found = match.groupdict("")
    if found["path"] != text and located(text).exists():  # a name that looks like a cut
        return {**dict.fromkeys(found, ""), "path": text}
    return found


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
