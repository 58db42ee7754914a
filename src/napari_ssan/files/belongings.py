"""What in a folder belongs to an image or to triplets of ours, and what would be lost with it.

A folder is replaced as a whole, so everything in it must belong to what is replaced. It is told by
names alone. Easy to get wrong: labels or further images within an OME-Zarr do not belong to its
image; somebody has put work into them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_ssan.errors import BadInput
from napari_ssan.files.completeness import files_in
from napari_ssan.files.remote import read
from napari_ssan.paths import address, spelled

_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
#: What file managers leave in every folder.
_LITTER = r"(?:.*/)?(?:\.DS_Store|Thumbs\.db|desktop\.ini)"
#: How many of the files that would be lost are named.
_NAMED = 3


def check_store(path: Path) -> None:
    """Check that a zarr store holds nothing but a single image.

    Raises
    ------
    BadInput
        If it holds other files, which would be lost with it.
    """
    _check(path, "its image", _store(path))


def check_folder(path: Path, what: str, pattern: str) -> None:
    """Check that a folder holds nothing but files whose paths match a regular expression.

    Raises
    ------
    BadInput
        If it holds other files, which would be lost with it.
    """
    _check(path, what, [pattern])


def _check(path: Path, what: str, patterns: Iterator[str] | list[str]) -> None:
    ours = re.compile("|".join([*patterns, _LITTER]))
    others = sorted(name for name, _ in files_in(path) if not ours.fullmatch(name))
    if not others:
        return
    named = ", ".join(others[:_NAMED]) + ", ..." * (len(others) > _NAMED)
    files = "a file that does" if len(others) == 1 else f"{len(others)} files that do"
    raise BadInput(
        f"The output {spelled(path)} is not replaced, as it holds {files} not belong to {what} and "
        f"would be lost ({named}); move them away, or choose another name."
    )


def _store(path: Path) -> Iterator[str]:
    """Patterns of the metadata and chunks of a store: of a bare array, or those an image names."""
    metadata = "|".join(map(re.escape, _METADATA))
    attributes = _read(path / ".zattrs")
    root = _read(path / "zarr.json")
    attributes |= _dict(root.get("attributes"))
    multiscales = _dict(attributes.get("ome", attributes)).get("multiscales")
    arrays = {""}
    for image in multiscales if isinstance(multiscales, list) else []:
        datasets = _dict(image).get("datasets")
        if isinstance(datasets, list):
            arrays |= {str(_dict(dataset).get("path", "")) for dataset in datasets}
    if address(path):  # levels of an image that has not appeared, with names of their own
        yield r"[a-z]\d+/.*"
        if any(re.match(r"[a-z]\d", array) for array in arrays):
            yield r"\d+/.*"
    for array in arrays:
        parts = array.split("/") if array else []
        for depth in range(len(parts) + 1):
            yield "".join(f"{re.escape(part)}/" for part in parts[:depth]) + f"(?:{metadata})"
        facts = _read(path / array / "zarr.json") | _read(path / array / ".zarray")
        shape = facts.get("shape")
        if isinstance(shape, list):
            key = r"\d+" + r"[/.]\d+" * (len(shape) - 1) if shape else "c|0"
            yield "".join(f"{re.escape(part)}/" for part in parts) + rf"(?:c[/.])?(?:{key})"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read(path) if address(path) else path.read_bytes()
        return _dict(json.loads(content or b"{}"))
    except (OSError, ValueError, RecursionError):
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
