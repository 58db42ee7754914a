"""Marked pixels of a section, and how they are written as JSON.

A region does not know its section; :mod:`~napari_ssan.stack.marks` does.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from skimage.draw import polygon as polygon_pixels

from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import Window, moved

Mask = npt.NDArray[np.bool_]
#: What becomes of marked pixels: they are made from the neighbours, or kept and brought to the
#: neighbours' brightness and contrast.
Treatment = Literal["synthesize", "correct"]
TREATMENTS: tuple[Treatment, ...] = get_args(Treatment)


@dataclass(frozen=True, eq=False)
class Region:
    """Marked pixels of a section: a mask within its bounding box.

    Attributes
    ----------
    top, left : int
        Row and column of the mask's first pixel.
    mask : ndarray of bool
        True on marked pixels; at least one is.
    outline : tuple of (float, float), optional
        Vertices (row, column), if the region was drawn as a polygon.
    treatment : {"synthesize", "correct"}
        What becomes of the pixels.
    """

    top: int
    left: int
    mask: Mask
    outline: tuple[tuple[float, float], ...] | None = None
    treatment: Treatment = "synthesize"

    @property
    def window(self) -> Window:
        """The bounding box."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @cached_property
    def pixels(self) -> int:
        """Number of marked pixels."""
        return int(self.mask.sum())

    def touches(self, window: Window) -> bool:
        """Whether one of its pixels lies in a window, or beside it."""
        rows, columns = (
            slice(max(part.start - 1 - first, 0), max(part.stop + 1 - first, 0))
            for part, first in zip(window, (self.top, self.left), strict=True)
        )
        return bool(self.mask[rows, columns].any())

    def key(self, z: int) -> str:
        """Name of the region if it is in section `z`, from its content."""
        return f"{z}:{self._digest}"

    @cached_property
    def _digest(self) -> str:
        if self.outline is not None:
            return _outline_digest(self.outline)
        content = f"{self.top} {self.left} {self.mask.shape}".encode() + self.mask.tobytes()
        return f"mask:{hashlib.sha256(content).hexdigest()[:16]}"

    @classmethod
    def from_mask(cls, mask: npt.NDArray[Any], top: int = 0, left: int = 0) -> Region:
        """Make a region of a mask's non-zero pixels; its first pixel is at (`top`, `left`).

        Raises
        ------
        BadInput
            If nothing is marked.
        """
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            raise BadInput("The mask is empty: mark at least one pixel.")
        inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] != 0
        return cls(top + int(rows[0]), left + int(columns[0]), inner)

    @classmethod
    def from_outline(cls, vertices: Iterable[Sequence[float]], shape: tuple[int, int]) -> Region:
        """Make a region of the pixels inside a polygon, clipped to a section of `shape`.

        Raises
        ------
        BadInput
            If the polygon holds no pixel of the section.
        """
        outline = tuple((float(y), float(x)) for y, x in vertices)
        if not np.isfinite(outline).all():
            raise BadInput("An outline has coordinates that are not numbers; draw it again.")
        low, high = np.floor(np.min(outline, axis=0)), np.ceil(np.max(outline, axis=0)) + 1
        top, left = (int(v) for v in np.clip(low, 0, shape))
        bottom, right = (int(v) for v in np.clip(high, 0, shape))
        mask = np.zeros((max(bottom - top, 0), max(right - left, 0)), bool)
        if mask.size:
            rows, columns = np.transpose(outline)
            mask[polygon_pixels(rows - top, columns - left, mask.shape)] = True
        if not mask.any():
            raise BadInput("The outline holds no pixel of the slice; draw it inside the slice.")
        region = cls.from_mask(mask, top, left)
        return cls(region.top, region.left, region.mask, outline)

    def union(self, other: Region) -> Region:
        """Join both regions; the treatment is that of this one."""
        top, left = min(self.top, other.top), min(self.left, other.left)
        ends = [np.add((r.top, r.left), r.mask.shape) for r in (self, other)]
        mask = np.zeros(np.max(ends, axis=0) - (top, left), bool)
        for region in (self, other):
            mask[moved(region.window, -top, -left)] |= region.mask
        return Region(top, left, mask, treatment=self.treatment)


def outline_key(z: int, outline: Iterable[Sequence[float]]) -> str:
    """The :meth:`Region.key` of what is drawn as a polygon of (row, column) in section `z`."""
    return f"{z}:{_outline_digest(outline)}"


def _outline_digest(outline: Iterable[Sequence[float]]) -> str:
    rounded = np.round(np.asarray(list(outline), float), 3) + 0.0  # no negative zero
    return hashlib.sha256(rounded.tobytes()).hexdigest()[:16]


def region_to_entry(z: int, region: Region) -> dict[str, Any]:
    """Write a region of section `z` as JSON: its outline if it was drawn, else its packed mask."""
    drawn = region.outline is not None
    entry = {"slice": z} | ({"outline": region.outline} if drawn else packed(region))
    return entry if region.treatment == "synthesize" else entry | {"treatment": region.treatment}


def packed(region: Region) -> dict[str, Any]:
    """Write the pixels of a region as JSON, without its section."""
    bits = zlib.compress(np.packbits(region.mask).tobytes())
    return {
        "top": region.top,
        "left": region.left,
        "shape": list(region.mask.shape),
        "bits": base64.b64encode(bits).decode("ascii"),
    }


def region_from_entry(entry: dict[str, Any], shape: tuple[int, int]) -> Region:
    """Read what :func:`region_to_entry` or :func:`packed` wrote.

    Outlines are clipped to a section of `shape`.

    Raises
    ------
    BadInput
        If the region holds no pixel of the section, or is larger than it.
    LookupError, TypeError, ValueError, zlib.error
        If the entry has another form.
    """
    treatment = treatment_of(entry)
    if "outline" in entry:
        return replace(Region.from_outline(entry["outline"], shape), treatment=treatment)
    height, width = (integer(n) for n in entry["shape"])
    if height > shape[0] or width > shape[1]:
        raise BadInput(
            "A marked region is larger than the slices of this stack; open the marks of this stack."
        )
    if min(height, width) < 1:
        raise BadInput("A marked region has no pixels.")
    # no more than the pixels need, however much a few bytes stand for
    length = -(-height * width // 8)
    unpacked = zlib.decompressobj().decompress(base64.b64decode(entry["bits"]), length)
    if len(unpacked) < length:
        raise ValueError("a region has fewer bits than pixels")
    bits = np.frombuffer(unpacked, np.uint8)
    mask = np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)
    region = Region.from_mask(mask, integer(entry["top"]), integer(entry["left"]))
    return replace(region, treatment=treatment)


def treatment_of(entry: Mapping[str, Any]) -> Treatment:
    """The treatment that an entry names; without one, pixels are synthesized.

    Raises
    ------
    BadInput
        If there is no such treatment.
    """
    return as_treatment(entry.get("treatment") or "synthesize")


def as_treatment(name: Any) -> Treatment:
    """A treatment by its name.

    Raises
    ------
    BadInput
        If there is no such treatment.
    """
    for known in TREATMENTS:
        if name == known:
            return known
    raise BadInput(f"There is no treatment {name!r}; choose one of {', '.join(TREATMENTS)}.")


def integer(value: Any) -> int:
    """Read a whole number from JSON, CSV or a list; all else raises ValueError."""
    try:
        if not isinstance(value, bool | np.bool_) and int(value) == float(value):
            return int(value)
    except (OverflowError, TypeError, ValueError):
        pass
    raise ValueError(f"{value!r:.40} is not a whole number")
