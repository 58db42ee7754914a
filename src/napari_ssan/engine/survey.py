"""What a repair looks at in the sections of a stack, and remembers: grey values, places, motion.

Easy to get wrong: a section that is corrected keeps its structure, so it counts where its regions
are not synthesized.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_ssan.stack.intensity import Intensity, measure
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.motion import Motion, find_motion
from napari_ssan.stack.registration import Placement, find_placement
from napari_ssan.stack.sections import SliceStack, Window, touch

#: Pairs of sections whose motion is remembered: their jobs come one after the other.
PAIRS = 8
#: In a section that is higher or wider, a region is fitted to grey values in such a square around.
LARGE = 4096


class Survey:
    """The sections that a repair looks at: each is measured once, and each pair registered once.

    Parameters
    ----------
    stack : SliceStack
        The stack.
    marks : Marks
        Its marks.
    clearance : int
        How far around a region its neighbours must be free of marks, in
        pixels: a tile sees so far.
    """

    def __init__(self, stack: SliceStack, marks: Marks, clearance: int) -> None:
        self.stack = stack
        self.marks = marks
        self.clearance = clearance
        self._intensity: dict[tuple[int, str], Intensity] = {}
        self._placements: dict[tuple[int, int], Placement] = {}
        self._motions: dict[tuple[int, int], Motion | None] = {}

    def intensity(self, z: int, around: Window | None = None) -> Intensity:
        """Distribution of grey values over the unmarked pixels of a section.

        Of a large section only the part `around` a region counts, unless that is constant.
        """
        field = None if around is None else _field(self.stack.shape[1:], around)
        key = z, str(field)
        if key not in self._intensity:
            found = measure(self.stack, z, self.marks, field)
            self._intensity[key] = found if found.usable or not field else self.intensity(z)
        return self._intensity[key]

    def placement(self, before: int, after: int) -> Placement:
        """Where one section lies in another; a pair is registered once, for all of its gap."""
        if (before, after) not in self._placements:
            found = find_placement(self.stack, before, after, self.unmarked)
            self._placements[before, after] = found
        return self._placements[before, after]

    def motion(self, before: int, after: int) -> Motion | None:
        """How tissue moves between two sections; None if it does not, or nothing can be told."""
        if (before, after) not in self._motions:
            while len(self._motions) >= PAIRS:  # their jobs are done; each takes up to 2 MiB
                del self._motions[next(iter(self._motions))]
            self._motions[before, after] = find_motion(
                self.stack, before, after, self.placement(before, after), self.unmarked
            )
        return self._motions[before, after]

    def unmarked(self, z: int, window: Window) -> npt.NDArray[np.bool_]:
        """Pixels of a section that are not marked, (height, width) of `window`.

        A section that is corrected as a whole has its own structure but where it is synthesized.
        """
        marks = self.marks
        if z in marks.corrected:
            made = [each for each in marks.regions.get(z, []) if each.treatment == "synthesize"]
            marks = Marks(regions={z: made})
        marked = marks.mask(z, window)
        return np.ones([p.stop - p.start for p in window], bool) if marked is None else ~marked

    def objection(self, z: int, window: Window | None) -> str | None:
        """Why a section cannot serve as a neighbour around `window`; None if it can."""
        if z in self.marks.whole:
            return "is marked itself"
        if z in self.stack.incomplete:
            return "lacks pixels in its file"
        for region in self.marks.regions.get(z, []):
            if window is None or touch(region.window, window, self.clearance):
                return "is marked at this place"
        intensity = self.intensity(z, window)
        if not intensity.finite:
            return "has pixels that are not finite (NaN or infinite)"
        return None if intensity.usable else "is constant"


def _field(shape: tuple[int, int], around: Window) -> Window | None:
    """Where the grey values around a region are measured; None for all of the section."""
    if max(shape) <= LARGE:
        return None
    rows, columns = (
        slice(
            max(0, min(part.start, (part.start + part.stop - LARGE) // 2)),
            min(length, max(part.stop, (part.start + part.stop + LARGE) // 2)),
        )
        for part, length in zip(around, shape, strict=True)
    )
    return rows, columns
