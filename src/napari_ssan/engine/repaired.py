"""The repaired stack: the original, untouched, with synthetic pixels laid over it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.provenance import Provenance, SyntheticSection
from napari_ssan.engine.stored import LARGEST_ARRAY, StoredArray
from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import Array, SliceStack, Window

#: Fills (sections, height, width) of sections of the repaired stack within a window.
Block = Callable[[range, Window, Array], None]

#: Place of a section: (z, 0) is section z of the source, (z, k) the k-th inserted after it.
Slot = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Patch:
    """Synthetic pixels of a section.

    Attributes
    ----------
    slot : (int, int)
        Where it belongs.
    top, left : int
        Place of its first pixel in the section.
    pixels : ndarray or StoredArray, (height, width)
        In the stack's dtype.
    mask : ndarray of bool, (height, width), or None
        Which of them are shown; None for all.
    record : SyntheticSection
        Where they come from; sections are those of the source.
    error : ndarray or StoredArray of float32, (height, width), or None
        Expected absolute error of each pixel, in grey values of the stack; None
        if nothing is known of it.
    """

    slot: Slot
    top: int
    left: int
    pixels: Array | StoredArray
    mask: npt.NDArray[np.bool_] | None
    record: SyntheticSection
    error: Array | StoredArray | None = None

    def __str__(self) -> str:
        if self.slot[1]:
            origin = " and ".join(str(z) for z in self.record.neighbours)
            return f"inserted a section after slice {self.record.section}, from {origin}"
        return f"repaired {self.record}"

    def lay(self, onto: Array, window: Window, what: Array | StoredArray | None = None) -> None:
        """Lay the patch, or `what` in its stead, over the part of a section in `window`."""
        rows, columns = window
        target: list[slice] = []
        source: list[slice] = []
        for part, start, length in zip(
            (rows, columns), (self.top, self.left), self.pixels.shape, strict=True
        ):
            low, high = max(part.start, start), min(part.stop, start + length)
            low = part.start + -(-(low - part.start) // part.step) * part.step
            if low >= high:
                return
            target.append(slice((low - part.start) // part.step, None))
            source.append(slice(low - start, high - start, part.step))
        values = (self.pixels if what is None else what)[tuple(source)]
        view = onto[tuple(target)][: values.shape[0], : values.shape[1]]
        if self.mask is None:
            view[...] = values
        else:
            np.copyto(view, values, where=self.mask[tuple(source)])


class RepairedStack:
    """A volume in the axes and dtype of its source, repaired where there are patches.

    Reads like an array: any basic index on all axes, of which only what is
    asked for is read. Sections that were inserted make the z axis longer.

    Parameters
    ----------
    stack : SliceStack
        The source.
    """

    def __init__(self, stack: SliceStack) -> None:
        self.stack = stack
        self._patches: dict[Slot, list[Patch]] = {}

    def add(self, patch: Patch) -> None:
        """Lay a patch over the section, over those that are there already."""
        self._patches.setdefault(patch.slot, []).append(patch)
        self.__dict__.pop("slots", None)

    def revert(self, slot: Slot) -> list[Patch]:
        """Take a section's patches away again; an inserted section goes as a whole."""
        self.__dict__.pop("slots", None)
        return self._patches.pop(slot, [])

    def patches(self, slot: Slot) -> list[Patch]:
        """Patches of a section, the undermost first."""
        return list(self._patches.get(slot, []))

    @cached_property
    def slots(self) -> list[Slot]:
        """What each section of the repaired stack is."""
        inserted = [slot for slot in self._patches if slot[1]]
        return sorted([(z, 0) for z in range(len(self.stack))] + inserted)

    @property
    def shape(self) -> tuple[int, ...]:
        """In the source's axes."""
        shape = list(self.stack.source_shape)
        shape[self.stack.z_axis] = len(self.slots)
        return tuple(shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The source's."""
        dtype: np.dtype[Any] = self.stack.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def nbytes(self) -> int:
        """What it would take in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        return self.assemble(index, self._block, self.dtype)

    def synthetic(self, index: Any) -> npt.NDArray[np.bool_]:
        """Which pixels are synthetic; indexed as the stack itself."""
        return self.assemble(index, self._synthetic_block, np.dtype(bool))

    @property
    def expected_error(self) -> ExpectedError:
        """How wrong each pixel is likely to be, read like an array of float32."""
        return ExpectedError(self)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if self.nbytes > LARGEST_ARRAY:
            raise BadInput(
                f"The repaired stack takes {self.nbytes / 2**30:.1f} GiB as an array, more than "
                "1 GiB: index a part of it, or export it to OME-Zarr or TIFF."
            )
        array = self[()]
        return array if dtype is None else array.astype(dtype, copy=False)

    @property
    def provenance(self) -> Provenance:
        """What is synthetic, by sections of the repaired stack."""
        place = {slot: z for z, slot in enumerate(self.slots)}
        sections = [
            patch.record.model_copy(
                update={
                    "section": place[slot],
                    "neighbours": tuple(place[n, 0] for n in patch.record.neighbours),
                }
            )
            for slot in sorted(self._patches)
            for patch in self._patches[slot]
        ]
        return Provenance(sections=tuple(sections))

    def assemble(self, index: Any, block: Block, dtype: np.dtype[Any]) -> Array:
        """Resolve a basic index, have the block that it spans filled, and bring it in order."""
        spans, flips, drops = _resolve(index, self.shape)
        stack = self.stack
        window = spans[stack.y_axis], spans[stack.x_axis]
        sections = range(len(self.slots))[spans[stack.z_axis]]
        lengths = [len(range(n)[span]) for n, span in zip(self.shape, spans, strict=True)]
        zyx = stack.z_axis, stack.y_axis, stack.x_axis
        out = np.empty(lengths, dtype)
        view = np.moveaxis(out, zyx, (-3, -2, -1)) if out.size else out
        if out.size:
            view = view.reshape(view.shape[-3:]) if out.ndim == 3 else view[(0,) * (out.ndim - 3)]
            block(sections, window, view)
        ordered = out[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        return ordered[tuple(0 if drop else slice(None) for drop in drops)]

    def _block(self, sections: range, window: Window, out: Array) -> None:
        for span, start in self._runs(sections):
            out[start : start + len(range(len(self.stack))[span])] = self.stack.read_block(
                span, window
            )
        for number, z in enumerate(sections):
            for patch in self._patches.get(self.slots[z], []):
                patch.lay(out[number], window)

    def _synthetic_block(self, sections: range, window: Window, out: Array) -> None:
        out[...] = False
        for number, z in enumerate(sections):
            for patch in self._patches.get(self.slots[z], []):
                patch.lay(out[number], window, np.broadcast_to(True, patch.pixels.shape))

    def _runs(self, sections: range) -> Iterator[tuple[slice, int]]:
        """Evenly spaced source sections that can be read at once, and where they go."""
        slots, step = [self.slots[at] for at in sections], sections.step
        start = 0
        while start < len(slots):
            z, stop = slots[start][0], start + 1
            if self._replaced(slots[start]):
                start = stop
                continue
            while (
                stop < len(slots)
                and slots[stop] == (z + (stop - start) * step, 0)
                and not self._replaced(slots[stop])
            ):
                stop += 1
            yield slice(z, z + (stop - start - 1) * step + 1, step), start
            start = stop

    def _replaced(self, slot: Slot) -> bool:
        """Whether nothing of a section is the source's, which perhaps cannot even be read."""
        return slot[1] > 0 or any(
            patch.mask is None and patch.pixels.shape == self.stack.shape[1:]
            for patch in self._patches.get(slot, [])
        )


class ExpectedError:
    """Expected absolute error of every pixel of a repaired stack.

    In grey values of the stack, float32: 0 where a pixel is real, NaN where it
    is synthetic and nothing is known. Indexed as the repaired stack itself.

    Parameters
    ----------
    repaired : RepairedStack
        What is laid over it later is seen, too.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, repaired: RepairedStack) -> None:
        self.repaired = repaired

    @property
    def shape(self) -> tuple[int, ...]:
        """The repaired stack's."""
        return self.repaired.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.repaired.ndim

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.repaired.size

    @property
    def nbytes(self) -> int:
        """What it would take in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.repaired)

    def __getitem__(self, index: Any) -> npt.NDArray[np.float32]:
        return self.repaired.assemble(index, self._block, self.dtype)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if self.nbytes > LARGEST_ARRAY:
            raise BadInput(
                f"The expected error takes {self.nbytes / 2**30:.1f} GiB as an array, more than "
                "1 GiB: index a part of it, or write it to a file."
            )
        array = self[()]
        return array if dtype is None else array.astype(dtype, copy=False)

    def _block(self, sections: range, window: Window, out: Array) -> None:
        out[...] = 0
        for number, z in enumerate(sections):
            for patch in self.repaired.patches(self.repaired.slots[z]):
                unknown = np.broadcast_to(np.float32(np.nan), patch.pixels.shape)
                patch.lay(out[number], window, unknown if patch.error is None else patch.error)


def _resolve(index: Any, shape: tuple[int, ...]) -> tuple[list[slice], list[bool], list[bool]]:
    """A basic index as forward slices, axes to flip, and axes to drop."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in [part if part is Ellipsis else None for part in parts]:
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    if len(parts) > len(shape):
        raise IndexError(f"{len(parts)} indices for {len(shape)} axes")
    spans, flips, drops = [], [], []
    for part, length in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            positions = range(length)[part]
            flip = positions.step < 0
            forward = positions[::-1] if flip else positions
            spans.append(slice(forward.start, max(forward.stop, forward.start), forward.step))
        else:
            try:
                position = range(length)[operator.index(part)]
            except TypeError:
                raise IndexError(
                    f"only whole numbers and slices index a repaired stack, not {part!r}"
                ) from None
            flip = False
            spans.append(slice(position, position + 1, 1))
        flips.append(flip)
        drops.append(not isinstance(part, slice))
    return spans, flips, drops
