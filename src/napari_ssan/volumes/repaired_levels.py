"""The coarse levels of a repaired stack, for a viewer: a pyramid like that of its source.

Real pixels come from the levels of the source. Synthetic ones are means, as a pyramid that is
written has them; those of a large patch take a while, so they are made in a worker, and until
then every n-th pixel stands for them. Easy to get wrong: a worker makes them from a copy of the
repaired stack, since the other one changes; both share what is made.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_ssan.engine.repaired import Patch, RepairedStack, Slot
from napari_ssan.engine.stored import buffer
from napari_ssan.stack.lazy import LazyVolume, extent
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import BAND_PIXELS, Array, SliceStack, Window
from napari_ssan.volumes.given import marks_of
from napari_ssan.volumes.layout import Box, coarser, factor_of, mean

#: Means of so many pixels are made at once, and arrays of so many bytes are kept in memory.
SMALL, IN_MEMORY = 2**21, 2**22
#: By the sections that a coarse one is made of: their patches, and what these are there.
Made = dict[tuple[int, tuple[Slot, ...]], tuple[tuple[Patch, ...], list[Patch]]]


class RepairedLevel(LazyVolume):
    """A level of a repaired stack.

    Parameters
    ----------
    number : int
        Of the level.
    repaired : RepairedStack
        Full resolution; what is laid over it later is seen, too.
    fine : RepairedStack or RepairedLevel
        The level before.
    source : SliceStack
        This level of the source.
    factors : (int, int)
        How many sections, and rows and columns, of the level before make one of this.
    made : dict
        Means that are made already; shared by all levels.
    """

    what = "The repaired stack"

    def __init__(
        self,
        number: int,
        repaired: RepairedStack,
        fine: RepairedStack | RepairedLevel,
        source: SliceStack,
        factors: tuple[int, int],
        made: Made,
    ) -> None:
        super().__init__(source.source_shape, source.dtype)
        self.zyx = source.z_axis, source.y_axis, source.x_axis
        self.repaired, self.fine, self.source, self.factors = repaired, fine, source, factors
        self._number, self._made = number, made
        span, scale = (fine.span, fine.scale) if isinstance(fine, RepairedLevel) else (1, 1)
        #: How many sections, and rows and columns, of full resolution make one.
        self.span: int = span * factors[0]
        self.scale: int = scale * factors[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sections that were inserted make the z axis longer."""
        shape = list(self.source.source_shape)
        shape[self.zyx[0]] = -(-len(self.repaired.slots) // self.span)
        return tuple(shape)

    def wanted(self) -> list[int]:
        """Sections with means that are still to be made, and take a while."""
        found = {at // self.span for at, slot in enumerate(self.repaired.slots)
                 if self.repaired.has_patches(slot)}  # fmt: skip
        return [z for z in sorted(found) if self._known(z) is None and not self._is_small(z)]

    def make(self, z: int) -> list[Patch]:
        """Make the means of a section, or find them."""
        known = self._known(z)
        if known is None:
            known = list(self._means(z))
            self._made[self._number, self._slots(z)] = self._patches(z), known
        return known

    def marks(self, z: int) -> Marks:
        """Pixels of a section that patches reach."""
        found, (along, _) = Marks(), self.factors
        for at in range(z * along, (z + 1) * along):
            if isinstance(self.fine, RepairedLevel):
                found.update(self.fine.marks(at))
            elif at < len(self.repaired.slots):
                patches = self.repaired.patches(self.repaired.slots[at])
                moved = [replace(patch, slot=(at, 0)) for patch in patches]
                found.update(marks_of(moved, self.repaired.stack.shape[1:]))
        return coarser(found, self.factors, (z + 1, *self.source.shape[1:]))

    def _read(self, sections: range, window: Window) -> Array:
        out = np.empty(extent(sections, window), self.dtype)
        replaced = [self._is_replaced(z) for z in sections]
        longer = len(self.repaired.slots) != len(self.repaired.stack)
        last = len(self.source) - 1
        at_once = not (longer or any(replaced) or sections[-1] > last)
        if at_once:
            span = slice(sections.start, sections.stop, sections.step)
            out[:] = self.source.read_block(span, window)
        for pixels, z, whole in zip(out, sections, replaced, strict=True):
            if not at_once and not whole:
                first, _ = self._slots(z)[0]
                pixels[:] = self.source.read(min(first // self.span, last), window)
            self._lay(z, window, pixels)
        return out

    def _lay(self, z: int, window: Window, pixels: Array) -> None:
        known = self.make(z) if self._is_small(z) else self._known(z)
        if known is not None:
            for patch in known:
                patch.lay(pixels, window, patch.pixels)
            return
        rows, columns = (
            slice(part.start * self.scale, part.stop * self.scale, part.step * self.scale)
            for part in window
        )
        for patch in self._patches(z):
            patch.lay(pixels, (rows, columns), patch.pixels)

    def _slots(self, z: int) -> tuple[Slot, ...]:
        """The sections that a section is made of."""
        return tuple(self.repaired.slots[z * self.span : (z + 1) * self.span])

    def _patches(self, z: int) -> tuple[Patch, ...]:
        return tuple(patch for slot in self._slots(z) for patch in self.repaired.patches(slot))

    def _known(self, z: int) -> list[Patch] | None:
        patches = self._patches(z)
        if not patches:
            return []
        of, made = self._made.get((self._number, self._slots(z)), ((), []))
        return made if of == patches else None

    def _is_small(self, z: int) -> bool:
        return sum(int(np.prod(patch.pixels.shape)) for patch in self._patches(z)) <= SMALL

    def _is_replaced(self, z: int) -> bool:
        """Whether nothing of a section is the source's, which perhaps cannot even be read."""
        return all(self.repaired.is_replaced(slot) for slot in self._slots(z))

    def _means(self, z: int) -> Iterator[Patch]:
        patches = self._patches(z)
        marks = self.marks(z)
        parts: list[tuple[Window, Any]] = [(r.window, r.mask) for r in marks.regions.get(z, [])]
        if z in marks.whole:
            parts = [((slice(0, self.source.shape[1]), slice(0, self.source.shape[2])), None)]
        for (rows, columns), mask in parts:
            height, width = rows.stop - rows.start, columns.stop - columns.start
            pixels = buffer((height, width), self.dtype, None, IN_MEMORY)
            step = max(1, BAND_PIXELS // (width * self.factors[1] ** 2))
            for top in range(rows.start, rows.stop, step):
                band = slice(top, min(top + step, rows.stop))
                made = mean(_Sections(self.fine), self.factors, z, (band, columns))
                pixels[band.start - rows.start : band.stop - rows.start] = made
            yield Patch((z, 0), rows.start, columns.start, pixels, mask, patches[0].record)


class _Sections:
    """A volume as (sections, rows, columns)."""

    def __init__(self, volume: LazyVolume) -> None:
        self._volume = volume
        self.shape = tuple(volume.shape[axis] for axis in volume.zyx)

    def read(self, box: Box) -> Array:
        """Pixels of a box."""
        return SliceStack(self._volume, self._volume.zyx[0]).read_block(box[0], box[1:])


def repaired_levels(
    repaired: RepairedStack, sources: Sequence[SliceStack], made: Made
) -> list[RepairedLevel]:
    """The levels below full resolution, as far as each is a halving of the one before.

    Parameters
    ----------
    repaired : RepairedStack
    sources : sequence of SliceStack
        The levels of its source, full resolution first.
    made : dict
        Means that are made already.
    """
    levels: list[RepairedLevel] = []
    for number, (before, after) in enumerate(itertools.pairwise(sources), 1):
        along, *across = map(factor_of, before.shape, after.shape)
        if not along or not all(across) or len(set(across)) > 1:
            break
        fine = levels[-1] if levels else repaired
        levels.append(RepairedLevel(number, repaired, fine, after, (along, across[0]), made))
    return levels
