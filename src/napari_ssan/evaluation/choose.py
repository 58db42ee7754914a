"""Chooses the sections that methods are judged on: good sections between good neighbours.

Easy to get wrong: what looks broken is found by an inspection, and comes with the marks. Here only
sections are refused that cannot be judged on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise
from threading import Event as Flag

import numpy as np

from napari_ssan.engine.plan import SMALLEST
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.stack.alignment import field_of
from napari_ssan.stack.intensity import Intensity, measure
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import Array, SliceStack
from napari_ssan.stack.selection import Report

#: Number of sections that are judged on if none are named.
SECTIONS = 20
#: Numbers of adjacent sections that can be hidden together.
GAPS = (1, 2, 3)
#: Sections up to this distance count as near.
NEAR = 20

Block = tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """Sections to judge on.

    Attributes
    ----------
    blocks : tuple of tuple of int
        Adjacent sections that are hidden together, in order and without overlap.
    left_out : dict of int to str
        Named sections that cannot be judged on, and why.
    """

    blocks: tuple[Block, ...]
    left_out: dict[int, str]

    @property
    def sections(self) -> list[int]:
        """All sections to judge on, in order."""
        return [z for block in self.blocks for z in block]


class Chooser:
    """Chooses sections of a stack, looking at each section at most once.

    Parameters
    ----------
    stack : SliceStack
    gap : int
        How many adjacent sections are hidden together.
    marks : Marks
        Marks, and what looks broken: no such section is judged on, or serves as a neighbour.
    cancel : threading.Event, optional
        Set it to stop at the next section.

    Raises
    ------
    BadInput
        If `gap` is not allowed, or the stack is too small.
    """

    def __init__(
        self, stack: SliceStack, gap: int, marks: Marks, cancel: Flag | None = None
    ) -> None:
        if gap not in GAPS:
            raise BadInput(f"A gap has 1, 2 or 3 slices, not {gap}.")
        if len(stack) < gap + 2:
            raise BadInput(
                f"The stack has {len(stack)} slices; to hide {gap} of them and keep one on "
                f"either side, at least {gap + 2} are needed."
            )
        if min(stack.shape[1:]) < SMALLEST:
            raise BadInput(
                f"The slices have {stack.shape[1]} x {stack.shape[2]} pixels; "
                f"at least {SMALLEST} x {SMALLEST} are needed."
            )
        if marks:
            marks.check(stack.shape)
        self.stack, self.gap, self.marks, self.cancel = stack, gap, marks, cancel
        self._field = field_of(stack.shape[1:], None)
        self._seen = cache(self._look)

    def named(self, sections: Iterable[int], progress: Report = lambda done, total: None) -> Choice:
        """Choose the named sections; each starts a block unless the last block holds it.

        Raises
        ------
        BadInput
            If a section is not in the stack, or none can be judged on.
        """
        wanted = sorted(set(sections))
        if not wanted:
            raise BadInput("No slice is named; name slices like this: 12,47-48, counted from 0.")
        for z in wanted:
            if not 0 <= z < len(self.stack):
                raise BadInput(
                    f"Slice {z} is not in the stack: it has slices 0 to {len(self.stack) - 1}."
                )
        blocks: list[Block] = []
        left_out: dict[int, str] = {}
        for done, z in enumerate(wanted):
            progress(done, len(wanted))
            if blocks and z <= blocks[-1][-1]:
                continue
            block = self._block(z)
            objection = self.objection(block)
            if objection is None:
                blocks.append(block)
            else:
                left_out[z] = objection
        progress(len(wanted), len(wanted))
        if not blocks:
            z, reason = next(iter(left_out.items()))
            raise BadInput(f"None of the slices can be judged on: slice {z} {reason}.")
        return Choice(tuple(blocks), left_out)

    def spread(self, count: int = SECTIONS, progress: Report = lambda done, total: None) -> Choice:
        """Choose up to `count` good sections, evenly spread over the stack.

        Raises
        ------
        BadInput
            If there is none.
        """
        starts = range(1, len(self.stack) - self.gap)
        number = max(1, min(count, len(starts)) // self.gap)
        edges = np.linspace(starts.start, starts.stop, number + 1).round().astype(int).tolist()
        blocks: list[Block] = []
        progress(0, number)
        for done, (low, high) in enumerate(pairwise(edges), 1):
            middle = (low + high - 1) / 2
            after = blocks[-1][-1] if blocks else 0
            nearest = sorted(range(max(low, after + 1), high), key=lambda z: abs(z - middle))
            blocks += islice(filter(self._is_good, map(self._block, nearest)), 1)
            progress(done, number)
        return Choice(self._some(blocks), {})

    def nearest(self, near: int, count: int) -> Choice:
        """Choose the up to `count` good sections that are nearest to section `near`.

        Raises
        ------
        BadInput
            If there is none within :data:`NEAR` sections.
        """
        starts = range(max(1, near - NEAR), min(near + NEAR, len(self.stack) - self.gap - 1) + 1)
        blocks: list[Block] = []
        for z in sorted(starts, key=lambda z: abs(z - near)):
            block = self._block(z)
            apart = all(block[-1] < other[0] or other[-1] < z for other in blocks)
            if apart and self._is_good(block):
                blocks.append(block)
            if len(blocks) == count:
                break
        return Choice(self._some(sorted(blocks)), {})

    def objection(self, block: Block) -> str | None:
        """Say why a block cannot be judged on; None if it can."""
        around = (block[0] - 1, *block, block[-1] + 1)
        if around[0] < 0 or around[-1] >= len(self.stack):
            return "has no slice on both sides"
        for z in sorted(around, key=lambda z: z not in block):
            reason = self._flaw(z)
            if reason is not None:
                return reason if z == block[0] else f"lies beside slice {z}, which {reason}"
        if any(self.marks.missing.get(z) for z in around[:-1]):
            return "lies beside a missing section"
        for z in block:
            for other in (z - 1, z + 1):
                if np.array_equal(self._view(z), self._view(other)):
                    return f"is identical to slice {other}"
        return None

    def _is_good(self, block: Block) -> bool:
        return self.objection(block) is None

    def _flaw(self, z: int) -> str | None:
        if z in self.marks.whole or z in self.marks.regions:
            return "is marked as broken or synthetic"
        if z in self.stack.incomplete:
            return "lacks pixels in its file"
        intensity = self._seen(z)
        if not intensity.finite:
            return "has pixels that are not finite (NaN or infinite)"
        return None if intensity.usable else "is constant"

    def _look(self, z: int) -> Intensity:
        """Intensity of a section."""
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled
        return measure(self.stack, z)

    def _view(self, z: int) -> Array:
        return self.stack.read(z, self._field)

    def _block(self, z: int) -> Block:
        return tuple(range(z, z + self.gap))

    @staticmethod
    def _some(blocks: Sequence[Block]) -> tuple[Block, ...]:
        if not blocks:
            raise BadInput(
                "No good slice was found to judge on: every slice is marked, blank or unlike the "
                "others, or lies beside such a slice."
            )
        return tuple(blocks)
