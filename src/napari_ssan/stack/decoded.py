"""Stacks that are decoded once and lie in memory while crops are drawn from them.

A crop from a compressed file costs twenty times what cutting it from memory does. Each volume is
decoded once, however many sources are parts of it, and processes share what is decoded. Easy to
get wrong: a volume too large for memory stays as it is, and then one process alone may read it,
because a file that several have open has one place to read from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

import numpy as np
import psutil

from napari_ssan.stack.lazy import LazyPixels
from napari_ssan.stack.sections import Array, ArrayLike, SliceStack
from napari_ssan.stack.source import Source

#: Share of the memory that is free now which decoded stacks may take.
SHARE = 0.5
#: Pixels around the area of a source in which crops of its shifted sections lie.
MARGIN = 256

#: Rows of a box: its first and its end along each axis of a volume.
Box = tuple[slice, ...]


class Decoded(LazyPixels):
    """A volume of which a box was decoded and lies in memory.

    Parameters
    ----------
    data : array-like
        The volume. What lies outside the box is still read from it.
    box : tuple of slice
        For each axis.

    Attributes
    ----------
    pixels : array
        Those of the box. Whoever hands it to other processes may put another array in its place,
        in memory that they share.
    """

    def __init__(self, data: ArrayLike, box: Box) -> None:
        super().__init__(tuple(data.shape), np.dtype(data.dtype))
        self._data, self._box = data, box
        # Of this processor's byte order, as all that shares memory wants it.
        self.pixels: Any = np.asarray(data[box], self.dtype.newbyteorder("="))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_data": None}  # another process has no file

    def lacking(self, axis: int) -> AbstractSet[int]:
        """See :meth:`LazyPixels.lacking`."""
        lacking = getattr(self._data, "lacking", None)
        return lacking(axis) if lacking else frozenset()

    def part(self, spans: tuple[slice, ...]) -> Array:
        """See :meth:`LazyPixels.part`."""
        if all(
            within.start <= span.start and span.stop <= within.stop
            for span, within in zip(spans, self._box, strict=True)
        ):
            own = tuple(
                slice(span.start - within.start, span.stop - within.start, span.step)
                for span, within in zip(spans, self._box, strict=True)
            )
            return np.asarray(self.pixels[own])
        return np.asarray(self._data[spans])


def decoded(sources: Sequence[Source]) -> list[Source]:
    """The same sources, in memory if there is room for what they use of their volumes."""
    boxes: dict[int, tuple[ArrayLike, Box]] = {}
    for source in sources:
        data = source.stack.data
        if not isinstance(data, np.ndarray):
            box = _box(source)
            boxes[id(data)] = data, _around(boxes[id(data)][1], box) if id(data) in boxes else box
    left = SHARE * psutil.virtual_memory().available
    volumes: dict[int, Decoded] = {}
    for data, box in boxes.values():
        size = math.prod(part.stop - part.start for part in box) * np.dtype(data.dtype).itemsize
        if size <= left:
            volumes[id(data)] = Decoded(data, box)
            left -= size
    return [_within(source, volumes) for source in sources]


def in_memory(sources: Sequence[Source]) -> bool:
    """Whether all sources lie in memory, so that other processes may draw from them."""
    return all(isinstance(source.stack.data, np.ndarray | Decoded) for source in sources)


def _box(source: Source) -> Box:
    """What triplets of a source are cut from, along the axes of its volume."""
    stack = source.stack
    box = [slice(0, 1)] * len(stack.source_shape)
    box[stack.z_axis] = slice(source.start, source.stop)
    for axis, part, length in zip(
        (stack.y_axis, stack.x_axis), source.area, stack.shape[1:], strict=True
    ):
        box[axis] = slice(max(part.start - MARGIN, 0), min(part.stop + MARGIN, length))
    return tuple(box)


def _around(one: Box, other: Box) -> Box:
    """The smallest box that holds both."""
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )


def _within(source: Source, volumes: dict[int, Decoded]) -> Source:
    stack = source.stack
    volume = volumes.get(id(stack.data))
    return source if volume is None else replace(source, stack=SliceStack(volume, stack.z_axis))
