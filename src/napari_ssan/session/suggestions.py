"""What an inspection suggests to mark, and what the user thinks of it.

A find is open until its pixels are marked, by whatever way, or it is rejected. So what is open
follows from the marks: to undo a mark brings its suggestion back. Easy to get wrong: another
inspection outlines the same damage a little differently, so what was rejected is known by its
place, not by its pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from psygnal import Signal
from scipy.ndimage import binary_dilation
from skimage.measure import approximate_polygon, block_reduce, find_contours

from napari_ssan.inspection.find import Find, Inspection
from napari_ssan.session.rejected import Place, place_of, same
from napari_ssan.session.session import RepairSession
from napari_ssan.stack.intensity import Float64
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region, as_treatment

#: A find is done with if so much of it is marked.
MARKED = 0.5
#: Larger regions are outlined at a lower resolution, at which they have this side, in pixels.
FINEST = 512
#: Outlines keep this distance from the damage, in such pixels, ...
MARGIN = 2
#: ... and leave out vertices that change them by less than this.
TOLERANCE = 0.7

#: The polygons around each find.
Outlines = Mapping[Find, Sequence[Region]]


class Suggestions:
    """Finds in a stack that are neither marked nor rejected.

    Parameters
    ----------
    session : RepairSession
        Its marks close a find, and accepted finds become its marks.
    save : callable, optional
        Called with all rejected places after every change of them.

    Attributes
    ----------
    rejected : frozenset of Place
        Places at which nothing is suggested any more.
    cannot_tell : tuple of str
        What the last inspection could not judge.
    """

    #: What is open is not what it was.
    changed = Signal()

    def __init__(
        self,
        session: RepairSession,
        save: Callable[[frozenset[Place]], object] = lambda places: None,
    ) -> None:
        self._session, self._save = session, save
        self._finds: tuple[Find, ...] = ()
        self._outlines: Outlines = {}
        self.rejected: frozenset[Place] = frozenset()
        self.cannot_tell: tuple[str, ...] = ()
        self._open: tuple[Find, ...] = ()
        session.changed.connect(self._refresh)

    @property
    def open(self) -> tuple[Find, ...]:
        """Finds to decide on, the most certain first."""
        return self._open

    def offer(self, found: Inspection, outlines: Outlines) -> None:
        """Take up what was found, in place of what was suggested before.

        Parameters
        ----------
        found : Inspection
        outlines : mapping of Find to sequence of Region
            From :func:`outlines_of`, which may take a while.
        """
        self._finds, self.cannot_tell = found.finds, found.cannot_tell
        self._outlines = outlines
        self._refresh()

    def outline(self, find: Find) -> Sequence[Region]:
        """The polygons around a find; none for a whole section."""
        return self._outlines.get(find, ())

    def known(self, rejected: Iterable[Place]) -> None:
        """Take up what was rejected earlier."""
        self.rejected |= frozenset(rejected)
        self._refresh()

    def accept(self, finds: Iterable[Find]) -> None:
        """Mark what was found, in one step.

        Raises
        ------
        BadInput
            If no good section would be left.
        """
        marks = Marks()
        for find in finds:
            if find.gap:
                marks.missing[find.z] = find.gap
            elif find.region is None:
                marks.whole.add(find.z)
                if find.suggest == "correct":
                    marks.corrected.add(find.z)
            for region in self.outline(find):
                marks.add_region(find.z, region)
        self._session.add(marks, "mark")

    def reject(self, find: Find) -> None:
        """Suggest nothing there any more."""
        self._set_rejected(self.rejected | {place_of(find)})

    def forget_rejected(self) -> None:
        """Suggest again what was rejected."""
        self._set_rejected(frozenset())

    def _set_rejected(self, places: frozenset[Place]) -> None:
        self.rejected = places
        self._save(places)
        self._refresh()

    def _refresh(self) -> None:
        rejected: dict[int, list[Place]] = {}
        for place in self.rejected:
            rejected.setdefault(place[0], []).append(place)
        still = tuple(
            find
            for find in self._finds
            if not self._is_marked(find)
            and not any(same(place, place_of(find)) for place in rejected.get(find.z, ()))
        )
        if still != self._open:
            self._open = still
            self.changed.emit()

    def _is_marked(self, find: Find) -> bool:
        marks = self._session.marks
        if find.gap:
            return find.z in marks.missing
        if find.region is None:
            return find.z in marks.whole
        if find.z in marks.whole and (find.z not in marks.corrected or find.suggest == "correct"):
            return True  # but a correction leaves a hole a hole
        regions = Marks(regions={find.z: marks.regions.get(find.z, [])})
        mask = regions.mask(find.z, find.region.window)
        return mask is not None and bool(mask[find.region.mask].mean() >= MARKED)


def outlines_of(found: Inspection, shape: tuple[int, int]) -> Outlines:
    """The outlines of all regions that were found in sections of `shape`."""
    return {
        find: [
            replace(part, treatment=as_treatment(find.suggest))
            for part in outlined(find.region, shape)
        ]
        for find in found.finds
        if find.region is not None
    }


def outlined(region: Region, shape: tuple[int, int]) -> list[Region]:
    """A region as polygons that can be drawn and changed, one for each of its parts.

    Parameters
    ----------
    region : Region
    shape : (int, int)
        Of a section; polygons are clipped to it.
    """
    step = -(-max(region.mask.shape) // FINEST)
    reduced = block_reduce(region.mask, step, np.max)
    grown = binary_dilation(np.pad(reduced, MARGIN + 1), iterations=MARGIN)
    origin = np.array([region.top, region.left]) + (step - 1) / 2
    return [
        Region.from_outline(
            step * (approximate_polygon(contour, TOLERANCE) - (MARGIN + 1)) + origin, shape
        )
        for contour in find_contours(grown.astype(float), 0.5)
        if _area(contour) > 0  # else it runs around a hole
    ]


def _area(contour: Float64) -> float:
    """Area within a closed contour, (vertices, 2); negative if what it runs around is lower."""
    rows, columns = contour.T
    return float(np.sum(columns[:-1] * rows[1:] - columns[1:] * rows[:-1]) / 2)
