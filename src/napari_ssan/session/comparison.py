"""The pictures of a comparison: previous, before, after, next, and cuts across the slices.

Of what is only suggested there is no after: it is outlined between its neighbours.

They are made in a worker, from a copy of what the session had. Easy to get wrong: only the part
in view is read, never a whole section, since that may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.repaired import Patch, RepairedStack, Slot
from napari_ssan.engine.side_by_side import REACH, across, beside
from napari_ssan.inspection.find import Find
from napari_ssan.session.view import SessionView
from napari_ssan.stack.pictures import around, outlined, to_grey
from napari_ssan.stack.region import Mask, Region
from napari_ssan.stack.sections import SliceStack, Window

#: Smallest, usual and largest side of what is shown, in pixels of the stack.
CLOSEST, USUAL, WIDEST = 64, 512, 2048

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, uint8 (height, width), and what it shows, in words."""

    words: str
    pixels: Grey
    #: How many times as high a pixel is as wide.
    aspect: float = 1.0
    #: In a cut: which row is the section that is compared.
    row: int | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is to be compared, as it stood when that was asked for.

    Attributes
    ----------
    repaired : RepairedStack
        A snapshot, with the chosen results.
    slot : (int, int)
        A section of it.
    results : mapping of str to sequence of Patch
        Patches of the section in each of its results, by what made them.
    chosen : str
        The result that is exported.
    label : callable
        Puts what made a result in words.
    """

    repaired: RepairedStack
    slot: Slot
    results: Mapping[str, Sequence[Patch]]
    chosen: str
    label: Callable[[str], str] = str

    @classmethod
    def of(
        cls, session: SessionView, slot: Slot, label: Callable[[str], str] = str
    ) -> Comparison | None:
        """Take what a session has of a section; None if nothing of it is repaired."""
        results = {name: session.result(slot, name) for name in session.results(slot)}
        results = {name: patches for name, patches in results.items() if patches}
        if not results:
            return None
        return cls(session.snapshot(), slot, results, session.chosen(slot), label)

    def middle(self) -> tuple[int, int] | None:
        """The middle of what is repaired; None if that is all of the section."""
        patches = [patch for result in self.results.values() for patch in result]
        if any(patch.mask is None for patch in patches):
            return None
        first = patches[0]
        height, width = first.pixels.shape
        return first.top + height // 2, first.left + width // 2

    def pictures(
        self, centre: tuple[int, int], span: int, limits: tuple[float, float]
    ) -> list[Picture]:
        """Previous, before, after and next; several results come last, so that they lie together.

        Parameters
        ----------
        centre : (int, int)
            Middle of what is shown.
        span : int
            Its side, in pixels of the stack.
        limits : (float, float)
            Grey values to show black and white.

        Raises
        ------
        OSError
            If the stack cannot be read.
        """
        window = around(self.repaired.stack.shape[1:], centre, span)
        seen = {
            name: beside(self.repaired.stack, patches, window)
            for name, patches in self.results.items()
        }
        first = next(iter(seen.values()))
        shown = [(f"previous: slice {first.sources[0]}", first.neighbours[0])]
        if first.before is not None:
            shown.append(("before", first.before))
        after = [(self._words(name), each.after) for name, each in seen.items()]
        following = zip(first.sources[1:], first.neighbours[1:], strict=True)
        last = [(f"next: slice {z}", pixels) for z, pixels in following]
        shown += after + last if len(after) == 1 else last + after
        return [Picture(words, to_grey(pixels, limits)) for words, pixels in shown]

    def cuts(
        self, centre: tuple[int, int], span: int, limits: tuple[float, float], aspect: float
    ) -> list[Picture]:
        """The cuts along x and y through a point, before and after; parameters as above.

        `aspect` is how many times as far apart the sections are as the pixels.
        """
        rows, columns = around(self.repaired.stack.shape[1:], centre, span)
        y, x = (slice(middle, middle + 1, 1) for middle in self._within(rows, columns, centre))
        stacks = [("after", self.repaired, self.slot)]
        if not self.slot[1]:
            stacks.insert(0, ("before", RepairedStack(self.repaired.stack), self.slot))
        cuts: list[tuple[str, Window]] = [("XZ", (y, columns)), ("YZ", (rows, x))]
        return [
            Picture(
                f"{name} {when}",
                to_grey(across(stack, slot, window), limits),
                aspect / (rows.step or 1),
                min(stack.slots.index(slot), REACH),
            )
            for name, window in cuts
            for when, stack, slot in stacks
        ]

    def _words(self, name: str) -> str:
        words = f"after: {self.label(name)}"
        return f"{words}, chosen" if name == self.chosen else words

    @staticmethod
    def _within(rows: slice, columns: slice, centre: tuple[int, int]) -> tuple[int, int]:
        y, x = (
            min(max(at, part.start), part.stop - 1)
            for part, at in zip((rows, columns), centre, strict=True)
        )
        return y, x


@dataclass(frozen=True, eq=False)
class Suspicion(Comparison):
    """A section in which something was found, to be compared with those beside it."""

    find: Find = field(kw_only=True)

    @classmethod
    def at(cls, stack: SliceStack, find: Find) -> Suspicion:
        """Take what was found in a stack."""
        return cls(RepairedStack(stack), (find.z, 0), {}, "", find=find)

    def middle(self) -> tuple[int, int] | None:
        """The middle of what was found; None if that is all of the section."""
        if self.find.region is None:
            return None
        rows, columns = self.find.region.window
        return (rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2

    def pictures(
        self, centre: tuple[int, int], span: int, limits: tuple[float, float]
    ) -> list[Picture]:
        """Previous, the section with what was found outlined, and next."""
        stack, z, region = self.repaired.stack, self.find.z, self.find.region
        window = around(stack.shape[1:], centre, span)
        shown = []
        for place, words in ((z - 1, "previous: "), (z, ""), (z + 1, "next: ")):
            if 0 <= place < len(stack):
                picture = to_grey(stack.read(place, window), limits)
                if place == z and region is not None:
                    picture = outlined(picture, seen_through(window, region))
                shown.append(Picture(f"{words}slice {place}", picture))
        return shown

    def cuts(
        self, centre: tuple[int, int], span: int, limits: tuple[float, float], aspect: float
    ) -> list[Picture]:
        """The cuts along x and y through a point of the stack."""
        cuts = super().cuts(centre, span, limits, aspect)
        return [each for each in cuts if each.words.endswith("before")]


def seen_through(window: Window, region: Region) -> Mask:
    """Which pixels of a window, with its steps, belong to a region."""
    y, x = np.ogrid[window]
    y, x = y - region.top, x - region.left
    height, width = region.mask.shape
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    seen: Mask = inside & region.mask[y.clip(0, height - 1), x.clip(0, width - 1)]
    return seen
