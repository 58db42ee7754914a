"""Volumes that are read like arrays, and of which only what is asked for is made or read.

The index is resolved here once for all of them. A volume implements :meth:`LazyVolume._read`
and never sees an integer, an ellipsis or a negative step.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import Array, Window

#: Largest volume that is turned into an array at once, in bytes.
LARGEST_ARRAY = 2**30
#: Largest part of what is shown of a pyramid that is read at once, in bytes.
LARGEST_PEEL = 2**24


class LazyPixels(ABC):
    """Something with axes that is indexed like a numpy array, by whole numbers and slices.

    A class whose shape changes overrides the property.
    """

    #: What it is, in a user's words.
    what = "This volume"
    #: Whether a large part is read only when one indexes it again, or makes an array of it. napari
    #: takes what it shows of all sections of a pyramid first, and then the section.
    peels = False

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape, self.dtype = shape, dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""
        return self._shape

    @abstractmethod
    def part(self, spans: tuple[slice, ...]) -> Array:
        """Pixels of a box: a slice per axis, with start, stop and a positive step; none empty."""

    def lacking(self, axis: int) -> AbstractSet[int]:
        """Sections along an axis whose pixels are not all there."""
        return frozenset()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """What it would take in memory."""
        return self.size * int(self.dtype.itemsize)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        spans, then = _resolve(index, self.shape)
        if self.peels and all(each == slice(None) for each in then):
            found = Part(self, spans)
            if found.nbytes > LARGEST_PEEL:
                return cast(Array, found)
        lengths = [len(range(n)[span]) for n, span in zip(self.shape, spans, strict=True)]
        pixels = self.part(spans) if all(lengths) else np.empty(lengths, self.dtype)
        asked: Array = pixels[then]
        return asked

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if self.nbytes > LARGEST_ARRAY:
            raise BadInput(
                f"{self.what} takes {self.nbytes / 2**30:.1f} GiB as an array, more than 1 GiB: "
                "index a part of it, or write it to a file."
            )
        array = self[...]
        return array if dtype is None else array.astype(dtype, copy=False)


class Part(LazyPixels):
    """A box of something lazy, which is lazy, too.

    Parameters
    ----------
    whole : LazyPixels
    spans : tuple of slice
        With start, stop and a positive step, one for each axis.
    """

    def __init__(self, whole: LazyPixels, spans: tuple[slice, ...]) -> None:
        self._ranges = [range(n)[span] for n, span in zip(whole.shape, spans, strict=True)]
        super().__init__(tuple(map(len, self._ranges)), whole.dtype)
        self._whole, self.what = whole, whole.what

    def part(self, spans: tuple[slice, ...]) -> Array:
        """See :meth:`LazyPixels.part`."""
        asked = [own[span] for own, span in zip(self._ranges, spans, strict=True)]
        return self._whole.part(tuple(slice(each.start, each.stop, each.step) for each in asked))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self[...], dtype)  # of any size: who has indexed it knows it


class LazyVolume(LazyPixels):
    """A stack of sections that are made or read when they are asked for."""

    #: Axes of the sections, their rows and their columns; all others have length 1.
    zyx: tuple[int, int, int] = (0, 1, 2)

    @abstractmethod
    def _read(self, sections: range, window: Window) -> Array:
        """Pixels of some sections, ascending, (sections, rows, columns) in the volume's dtype.

        Both slices of the window have start, stop and a positive step; nothing is empty.
        """

    def part(self, spans: tuple[slice, ...]) -> Array:
        """See :meth:`LazyPixels.part`."""
        z, y, x = self.zyx
        pixels = self._read(range(self.shape[z])[spans[z]], (spans[y], spans[x]))
        others = [axis for axis in range(self.ndim) if axis not in self.zyx]
        return np.expand_dims(pixels.transpose(np.argsort(self.zyx)), others)


class LazySections(LazyVolume):
    """Sections that a function makes, as a volume of (sections, height, width).

    Parameters
    ----------
    shape : (int, int, int)
        Sections, height and width.
    dtype : dtype
        Of the pixels.
    read : callable
        From a section and a window without steps to its pixels.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        read: Callable[[int, Window], Array],
    ) -> None:
        super().__init__(shape, dtype)
        self._make = read

    def _read(self, sections: range, window: Window) -> Array:
        bounds, steps = contiguous(window)
        return np.stack([self._make(z, bounds)[steps] for z in sections])


class Every(LazyVolume):
    """A coarse level of a volume that takes one pixel of several, for what has no means.

    Parameters
    ----------
    volume : LazyVolume
        Full resolution.
    span, scale : int
        One section of so many, and one row and column.
    size : (int, int)
        Height and width.
    """

    def __init__(self, volume: LazyVolume, span: int, scale: int, size: tuple[int, int]) -> None:
        super().__init__((), volume.dtype)
        self._volume, self._span, self._scale, self._size = volume, span, scale, size
        self.zyx, self.what = volume.zyx, volume.what

    @property
    def shape(self) -> tuple[int, ...]:
        """As many sections as the volume has then."""
        shape = list(self._volume.shape)
        z, y, x = self.zyx
        shape[z] = -(-shape[z] // self._span)
        shape[y], shape[x] = self._size
        return tuple(shape)

    def _read(self, sections: range, window: Window) -> Array:
        span, scale = self._span, self._scale
        rows, columns = (
            slice(part.start * scale, part.stop * scale, part.step * scale) for part in window
        )
        asked = range(sections.start * span, sections.stop * span, sections.step * span)
        return self._volume._read(asked, (rows, columns))


def sampling(
    shapes: Sequence[tuple[int, ...]], volume: LazyVolume
) -> list[tuple[int, int, tuple[int, int]]]:
    """How to sample a volume for the levels of a pyramid, as parameters of :class:`Every`."""
    z, y, x = volume.zyx
    return [
        (
            max(1, round(volume.shape[z] / shape[z])),
            max(1, math.ceil(volume.shape[y] / shape[y])),
            (shape[y], shape[x]),
        )
        for shape in shapes[1:]
    ]


class Guarded(LazyPixels):
    """A volume of which a 3-D view is shown nothing that is too large for memory.

    A plugin hears of a 3-D view only after napari has sliced its layers for it, so
    a layer cannot be hidden in time; instead it is given a single voxel.

    Parameters
    ----------
    volume : LazyPixels
        What is read.
    in_3d : callable
        Whether the view is in 3-D.
    peels : bool
        Whether it is a level of a pyramid in a viewer.
    """

    def __init__(self, volume: LazyPixels, in_3d: Callable[[], bool], peels: bool = False) -> None:
        super().__init__((), volume.dtype)
        self.peels = peels
        self.volume, self._in_3d, self.what = volume, in_3d, volume.what

    @property
    def shape(self) -> tuple[int, ...]:
        """The volume's."""
        return self.volume.shape

    def part(self, spans: tuple[slice, ...]) -> Array:
        """See :meth:`LazyPixels.part`."""
        pixels = math.prod(len(range(n)[span]) for n, span in zip(self.shape, spans, strict=True))
        if pixels * self.dtype.itemsize > LARGEST_ARRAY and self._in_3d():
            return np.zeros((1,) * self.ndim, self.dtype)
        return self.volume.part(spans)


def extent(sections: range, window: Window) -> tuple[int, int, int]:
    """Shape of what :meth:`LazyVolume._read` returns."""
    rows, columns = (len(range(part.start, part.stop, part.step)) for part in window)
    return len(sections), rows, columns


def contiguous(window: Window) -> tuple[Window, Window]:
    """A window without its steps, and the steps to be taken within it."""
    rows, columns = window
    return (
        (slice(rows.start, rows.stop), slice(columns.start, columns.stop)),
        (slice(None, None, rows.step), slice(None, None, columns.step)),
    )


def _resolve(
    index: Any, shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[int | slice, ...]]:
    """A basic index as a box of forward slices, and how to index what is read of it."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(part is Ellipsis for part in parts):
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    if len(parts) > len(shape):
        raise IndexError(f"{len(parts)} indices for {len(shape)} axes")
    spans: list[slice] = []
    then: list[int | slice] = []
    for part, length in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            places, end = range(length)[part], slice(None)
            if places.step < 0:
                places, end = places[::-1], slice(None, None, -1)
            then.append(end)
        else:
            try:
                at = range(length)[operator.index(part)]
            except TypeError:
                raise IndexError(
                    f"a volume is indexed by integers and slices, not {part!r}"
                ) from None
            places = range(at, at + 1)
            then.append(0)
        spans.append(slice(places.start, max(places.stop, places.start), places.step))
    return tuple(spans), tuple(then)
