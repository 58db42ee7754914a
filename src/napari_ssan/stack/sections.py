"""A stack of sections, read lazily: one section, or a window of one, at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_ssan.errors import BadInput, NotAStack

#: Pixels that are held at once when a section is passed through as a whole.
BAND_PIXELS = 16 * 2**20

#: Intensities that a stack may have.
DTYPES = ("uint8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")

Window = tuple[slice, slice]
Array = npt.NDArray[Any]


class ArrayLike(Protocol):
    """What a volume must offer: numpy, dask and zarr arrays do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""

    @property
    def dtype(self) -> Any:
        """What a pixel is, as numpy has it."""

    def __getitem__(self, index: Any, /) -> Any: ...


class SliceStack:
    """A volume as a stack of sections.

    Only what is asked for is read, and reading is all that happens to the data.

    Parameters
    ----------
    data : array-like or sequence of array-like
        A numpy, dask or zarr array, or a multiscale pyramid of them, of which
        level 0 is used. Three axes, or more if all others have length 1.
    z_axis : int, optional
        The axis along which the sections lie. Default is the third from last.

    Raises
    ------
    NotAStack
        If this is no stack of grey sections.
    """

    def __init__(self, data: ArrayLike | Sequence[ArrayLike], z_axis: int | None = None) -> None:
        # A pyramid is a sequence, also napari's, which has a dtype; an array is none.
        self.data: ArrayLike = data[0] if isinstance(data, Sequence) else data
        shape = tuple(int(n) for n in self.data.shape)
        _check(shape, np.dtype(self.data.dtype), z_axis)
        if z_axis is not None and not -len(shape) <= z_axis < len(shape):
            raise BadInput(f"There is no axis {z_axis}: the stack has {len(shape)} axes.")
        self.z_axis = (z_axis if z_axis is not None else -3) % len(shape)
        others = [axis for axis in range(len(shape)) if axis != self.z_axis]
        self.y_axis, self.x_axis = others[-2:]
        self._singletons = others[:-2]
        if any(shape[axis] != 1 for axis in self._singletons):
            raise NotAStack(
                f"The stack has {len(shape)} axes of lengths {shape}; "
                "pick one channel and time point, so that rows and columns come last."
            )
        lacking = getattr(self.data, "lacking", None)
        #: Sections whose pixels are not all in their file, as a lazy volume tells.
        self.incomplete: AbstractSet[int] = lacking(self.z_axis) if lacking else frozenset()
        self.source_shape = shape
        self.dtype = np.dtype(self.data.dtype)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sections, height and width."""
        s = self.source_shape
        return s[self.z_axis], s[self.y_axis], s[self.x_axis]

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, z: int, window: Window | None = None) -> Array:
        """Pixels of a section, (height, width) or those of `window`, in the stack's dtype."""
        if not 0 <= z < len(self):
            raise IndexError(f"section {z} of {len(self)}")
        rows, columns = window or (slice(None), slice(None))
        index: list[int | slice] = [0] * len(self.source_shape)
        index[self.z_axis], index[self.y_axis], index[self.x_axis] = z, rows, columns
        return np.asarray(self.data[tuple(index)])

    def read_block(self, sections: slice, window: Window) -> Array:
        """Adjacent sections at once, (sections, height, width) or the part in `window`.

        Slices have positive steps.
        """
        index: list[int | slice] = [0] * len(self.source_shape)
        index[self.z_axis] = sections
        index[self.y_axis], index[self.x_axis] = window
        order = np.argsort(np.argsort((self.z_axis, self.y_axis, self.x_axis)))
        return np.asarray(self.data[tuple(index)]).transpose(order)

    def bands(
        self, z: int, columns: slice = slice(None), lines: slice = slice(None)
    ) -> Iterator[tuple[slice, Array]]:
        """Pass through a section, or a part of it, from top to bottom: (rows, pixels) at a time."""
        _, height, width = self.shape
        first, end, _ = lines.indices(height)
        step = max(1, BAND_PIXELS // width)
        for top in range(first, end, step):
            rows = slice(top, min(top + step, end))
            yield rows, self.read(z, (rows, columns))


def middle(shape: tuple[int, ...], side: int) -> Window:
    """The middle of a section of (height, width), at most `side` high and wide."""
    rows, columns = (slice(max(n - side, 0) // 2, (n + min(n, side)) // 2) for n in shape)
    return rows, columns


def moved(window: Window, rows: int, columns: int) -> Window:
    """A window that lies `rows` further down and `columns` further to the right."""
    (top, bottom), (left, right) = ((part.start, part.stop) for part in window)
    return slice(top + rows, bottom + rows), slice(left + columns, right + columns)


def touch(a: Window, b: Window, margin: int = 0) -> bool:
    """Whether two windows have a pixel in common, or come as near as `margin` pixels."""
    return all(
        p.start < q.stop + margin and q.start < p.stop + margin for p, q in zip(a, b, strict=True)
    )


def _check(shape: tuple[int, ...], dtype: np.dtype[Any], z_axis: int | None) -> None:
    if len(shape) < 3:
        raise NotAStack(
            f"This is a {len(shape)}-D image; a repair needs a stack of sections (three axes)."
        )
    colour = shape[-1] in (3, 4) and min(shape[-3:-1]) > 4
    if colour and z_axis not in (-1, len(shape) - 1):
        raise NotAStack(
            f"The last axis has length {shape[-1]}, as in a colour (RGB) image; "
            "convert it to grey first."
        )
    if dtype.name not in DTYPES:
        raise NotAStack(
            f"The pixels are {dtype.name}; a grey stack of integers or floats is needed "
            f"({', '.join(DTYPES)})."
        )
    if min(shape) == 0:
        raise BadInput(f"The stack is empty: its shape is {shape}.")
