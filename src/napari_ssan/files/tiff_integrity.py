"""Refuses a TIFF that is not whole, before any work is done.

tifffile ignores what is missing at the end of a TIFF: a truncated stack looks like a shorter
one, or like one that ends in black. So the pages are followed here by hand.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

import tifffile

from napari_ssan.errors import BadInput

#: The first four bytes: byte order, and classic TIFF or BigTIFF.
MAGIC = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}

#: Bytes of a value of each type that a tag may have.
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TYPE_SIZES |= {13: 4, 16: 8, 17: 8, 18: 8}


def truncated(path: Path) -> BadInput:
    """The error for a TIFF that breaks off."""
    return BadInput(f"{path.name} is truncated: its end is missing; copy or export it again.")


def check_pages(path: Path) -> None:
    """Check that all pages, and the values of their tags, lie within the file.

    Raises
    ------
    BadInput
        If it is not a TIFF, or something lies beyond its end.
    """
    with path.open("rb") as file:
        magic = file.read(4)
        if magic not in MAGIC:
            raise BadInput(f"{path.name} is not a TIFF file, despite its name; convert it.")
        size = os.fstat(file.fileno()).st_size
        try:
            _follow(file, MAGIC[magic], b"+" in magic, size)
        except (struct.error, EOFError) as error:
            raise truncated(path) from error


def _follow(file: BinaryIO, order: str, big: bool, size: int) -> None:
    number, word, first = ("Q", "Q", 8) if big else ("H", "I", 4)
    tag = struct.Struct(f"{order}HH{word}{word}")

    def read(what: str) -> int:
        data = file.read(struct.calcsize(order + what))
        return int(struct.unpack(order + what, data)[0])

    file.seek(first)
    offset = read(word)
    if not offset:
        raise EOFError("no page")
    seen = set()
    while offset:
        if offset in seen:
            raise BadInput(
                f"{Path(file.name).name} is damaged: its last page leads back to an earlier one; "
                "export it again."
            )
        seen.add(offset)
        file.seek(offset)
        for _, kind, count, place in tag.iter_unpack(_exactly(file, read(number) * tag.size)):
            length = count * _TYPE_SIZES.get(kind, 0)
            # a value that is short enough is in the tag itself
            if length > struct.calcsize(word) and place + length > size:
                raise EOFError("value of a tag")
        offset = read(word)


def _exactly(file: BinaryIO, length: int) -> bytes:
    data = file.read(length) if length < 2**20 else b""
    if len(data) < length:
        raise EOFError("tags of a page")
    return data


def check_pixels(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Check that the pixels of all pages lie within the file.

    Raises
    ------
    BadInput
        If some do not, or pages are missing.
    """
    if series.dataoffset is not None:
        if series.dataoffset + series.nbytes > series.keyframe.parent.filehandle.size:
            raise truncated(path)
        return
    pages = 0
    try:
        for page in series:
            if page is None:
                raise BadInput(
                    f"{path.name} lacks slices that its OME-XML lists; "
                    "put the other files of the set beside it, or export it again."
                )
            pages += 1
            size = page.parent.filehandle.size
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
                if offset + count > size:
                    raise truncated(path)
    except IndexError as error:
        raise truncated(path) from error
    if pages * series.keyframe.size < series.size:
        raise truncated(path)
