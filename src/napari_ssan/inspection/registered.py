"""A section and two others that are moved to lie on it.

Easy to get wrong: what is smooth is smoothed before it is moved, once a section, so it is as smooth
at the edge of what can be seen as elsewhere. Constant margins differ from section to section, such
as the black ones of aligned stacks; where one section has them, nothing is compared.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_ssan.inspection.look import Sighting
from napari_ssan.inspection.pictures import Float
from napari_ssan.inspection.shifts import move, shift_between

#: A picture of a section, (height, width) or more of them, at the resolution of comparison.
Picture = Callable[[Sighting], Float]


class Registered:
    """A section and two others that are moved to lie on it.

    Parameters
    ----------
    seen : Sighting
        The section.
    others : tuple of Sighting
        The two others.

    Attributes
    ----------
    seen, others
        The sections.
    shifts : tuple of (float, float)
        Pixels of comparison by which the others are moved.
    valid : ndarray of bool, (height, width)
        Where tissue can be seen in all three.
    """

    def __init__(self, seen: Sighting, others: tuple[Sighting, Sighting]) -> None:
        self.seen, self.others = seen, others
        self.shifts = tuple(shift_between(seen, each) for each in others)
        moved = zip(others, self.shifts, strict=True)
        one, other = (np.isfinite(move(each.tissue, shift)) for each, shift in moved)
        self.valid = np.isfinite(seen.tissue) & one & other
        self._all = bool(self.valid.all())

    def theirs(self, of: Picture) -> list[Float]:
        """Such pictures of the two others, moved; what comes in is 0."""
        return [
            move(of(each), shift, 0) for each, shift in zip(self.others, self.shifts, strict=True)
        ]

    def pictures(self, of: Picture) -> list[Float]:
        """Such pictures of all three; 0 where not all show tissue."""
        return [self.masked(each) for each in (of(self.seen), *self.theirs(of))]

    def masked(self, picture: Float) -> Float:
        """A picture, 0 where not all three sections show tissue."""
        return picture if self._all else np.where(self.valid, picture, np.float32(0))
