"""The repaired stack: the original, untouched, with repaired pixels laid over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.provenance import Provenance, SyntheticSection
from napari_ssan.engine.stored import StoredArray
from napari_ssan.stack.lazy import LazyVolume, extent
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import Array, SliceStack, Window

#: Place of a section: (z, 0) is section z of the source, (z, k) the k-th inserted after it.
Slot = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Patch:
    """Synthetic or corrected pixels of a section.

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

    def lay(self, onto: Array, window: Window, what: Array | StoredArray) -> None:
        """Lay `what`, of the patch's shape, over the part of a section in `window`."""
        _lay(onto, window, (self.top, self.left), what, self.mask)


def _lay(
    onto: Array,
    window: Window,
    place: tuple[int, int],
    what: Array | StoredArray,
    mask: npt.NDArray[np.bool_] | None,
) -> None:
    """Lay `what`, whose first pixel has a place in the section, over the part in `window`."""
    target: list[slice] = []
    source: list[slice] = []
    for part, start, length in zip(window, place, what.shape, strict=True):
        low, high = max(part.start, start), min(part.stop, start + length)
        low = part.start + -(-(low - part.start) // part.step) * part.step
        if low >= high:
            return
        target.append(slice((low - part.start) // part.step, None))
        source.append(slice(low - start, high - start, part.step))
    values = what[tuple(source)]
    view = onto[tuple(target)][: values.shape[0], : values.shape[1]]
    if mask is None:
        view[...] = values
    else:
        np.copyto(view, values, where=mask[tuple(source)])


def slot_text(slot: Slot, count: int) -> str:
    """Name a section; `count` is how many are inserted where it lies."""
    z, number = slot
    return f"between {z} and {z + 1}, {number} of {count}" if number else f"slice {z}"


class RepairedStack(LazyVolume):
    """A volume in the axes and dtype of its source, repaired where there are patches.

    Reads like an array: any basic index on all axes, of which only what is
    asked for is read. Sections that were inserted make the z axis longer.

    Parameters
    ----------
    stack : SliceStack
        The source.
    inserted : iterable of (int, int), optional
        Sections that are inserted, though their patches are not there, and are not read here.
    """

    what = "The repaired stack"

    def __init__(self, stack: SliceStack, inserted: Iterable[Slot] = ()) -> None:
        super().__init__(stack.source_shape, stack.dtype)
        self.stack = stack
        self.zyx = stack.z_axis, stack.y_axis, stack.x_axis
        self._patches: dict[Slot, list[Patch]] = {}
        self._inserted = frozenset(inserted)

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

    def has_patches(self, slot: Slot) -> bool:
        """Whether anything of a section is repaired."""
        return slot in self._patches

    @cached_property
    def slots(self) -> list[Slot]:
        """What each section of the repaired stack is."""
        inserted = self._inserted.union(slot for slot in self._patches if slot[1])
        return sorted([*((z, 0) for z in range(len(self.stack))), *inserted])

    @property
    def shape(self) -> tuple[int, ...]:
        """In the source's axes."""
        shape = list(self.stack.source_shape)
        shape[self.stack.z_axis] = len(self.slots)
        return tuple(shape)

    def synthetic(self, index: Any) -> npt.NDArray[np.bool_]:
        """Which pixels are synthetic; indexed as the stack itself."""
        found: npt.NDArray[np.bool_] = SyntheticPixels(self)[index] == SyntheticPixels.value
        return found

    def corrected(self, index: Any) -> npt.NDArray[np.bool_]:
        """Which pixels are the section's own, corrected; indexed as the stack itself."""
        found: npt.NDArray[np.bool_] = SyntheticPixels(self)[index] == SyntheticPixels.corrected
        return found

    @property
    def expected_error(self) -> ExpectedError:
        """How wrong each pixel is likely to be, read like an array of float32."""
        return ExpectedError(self)

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
        old = tuple(None if inserted else z for z, inserted in self.slots)
        changed = len(old) > len(self.stack)
        return Provenance(sections=tuple(sections), old_sections=old if changed else None)

    def _read(self, sections: range, window: Window) -> Array:
        out = np.empty(extent(sections, window), self.dtype)
        for span, start in self._runs(sections):
            block = self.stack.read_block(span, window)
            out[start : start + len(block)] = block
        self.lay(sections, window, out, lambda patch: patch.pixels)
        return out

    def lay(
        self,
        sections: range,
        window: Window,
        onto: Array,
        what: Callable[[Patch], Array | StoredArray],
    ) -> None:
        """Lay something of every patch over sections of the repaired stack, within a window."""
        for number, z in enumerate(sections):
            for patch in self._patches.get(self.slots[z], []):
                patch.lay(onto[number], window, what(patch))

    def _runs(self, sections: range) -> Iterator[tuple[slice, int]]:
        """Evenly spaced source sections that can be read at once, and where they go."""
        slots, step = [self.slots[at] for at in sections], sections.step
        start = 0
        while start < len(slots):
            z, stop = slots[start][0], start + 1
            if self.is_replaced(slots[start]):
                start = stop
                continue
            while (
                stop < len(slots)
                and slots[stop] == (z + (stop - start) * step, 0)
                and not self.is_replaced(slots[stop])
            ):
                stop += 1
            yield slice(z, z + (stop - start - 1) * step + 1, step), start
            start = stop

    def is_replaced(self, slot: Slot) -> bool:
        """Whether nothing of a section is the source's, which perhaps cannot even be read."""
        return slot[1] > 0 or any(
            patch.mask is None and patch.pixels.shape == self.stack.shape[1:]
            for patch in self._patches.get(slot, [])
        )


class PixelFacts(LazyVolume):
    """What there is to know of every pixel of a repaired stack; 0 where it is real.

    Indexed as the repaired stack itself.

    Parameters
    ----------
    repaired : RepairedStack
        What is laid over it later is seen, too.
    earlier, corrected_earlier : Marks, optional
        What of the source was synthetic or corrected before; nothing else is known of it.
    """

    #: Dtype, and the value of a synthetic and of a corrected pixel of which nothing else is known.
    kind: npt.DTypeLike
    value: float
    corrected: float

    def __init__(
        self,
        repaired: RepairedStack,
        earlier: Marks | None = None,
        corrected_earlier: Marks | None = None,
    ) -> None:
        super().__init__((), np.dtype(self.kind))
        self.repaired, self.zyx = repaired, repaired.zyx
        self._earlier, self._corrected_earlier = earlier or Marks(), corrected_earlier or Marks()

    @property
    def shape(self) -> tuple[int, ...]:
        """The repaired stack's."""
        return self.repaired.shape

    def _read(self, sections: range, window: Window) -> Array:
        out = np.zeros(extent(sections, window), self.dtype)
        self._lay(self._corrected_earlier, self.corrected, sections, window, out)
        self._lay(self._earlier, self.value, sections, window, out)
        self.repaired.lay(sections, window, out, self._of)
        return out

    def _lay(self, marks: Marks, value: float, sections: range, window: Window, out: Array) -> None:
        """Give marked pixels of the source a value."""
        for pixels, at in zip(out, sections, strict=True):
            z, inserted = self.repaired.slots[at]
            if z in marks.whole and not inserted:
                pixels[...] = value
            for region in () if inserted else marks.regions.get(z, ()):
                values = np.broadcast_to(np.asarray(value, self.dtype), region.mask.shape)
                _lay(pixels, window, (region.top, region.left), values, region.mask)

    def _of(self, patch: Patch) -> Array | StoredArray:
        """What a patch has to say, in its shape."""
        value = self.corrected if patch.record.corrected else self.value
        return np.broadcast_to(np.asarray(value, self.dtype), patch.pixels.shape)


#: How a viewer shows them, as options of an image layer: in colours that no micrograph has, one for
#: synthetic and one for corrected pixels.
TINT: dict[str, Any] = {
    "colormap": [[0, 0, 0, 0], [1, 0, 0.8, 1], [0, 0.75, 1, 1]],
    "contrast_limits": (0, 2),
    "multiscale": False,
    "blending": "translucent_no_depth",
    "interpolation2d": "nearest",
    "opacity": 0.35,
}


class SyntheticPixels(PixelFacts):
    """Which pixels are not as they were: 1 where one is synthetic, 2 where corrected, as uint8."""

    kind, value, corrected, what = np.uint8, 1, 2, "The mask of synthetic pixels"

    def _read(self, sections: range, window: Window) -> Array:
        """What was synthetic before, and is corrected now, is still synthetic."""
        out = super()._read(sections, window)
        self._lay(self._earlier, self.value, sections, window, out)
        return out


class ExpectedError(PixelFacts):
    """Expected absolute error, float32, in grey values; NaN where nothing is known of it."""

    kind, value, corrected, what = np.float32, np.nan, np.nan, "The expected error"

    def _of(self, patch: Patch) -> Array | StoredArray:
        return super()._of(patch) if patch.error is None else patch.error
