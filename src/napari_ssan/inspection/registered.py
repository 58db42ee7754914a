"""A section and two others that are moved to lie on it.

Easy to get wrong: what is smooth is smoothed before it is moved, once a section, so it is as smooth
at the edge of what can be seen as elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_ssan.inspection.look import Float, Sighting
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
        Where all three can be seen.
    """

    def __init__(self, seen: Sighting, others: tuple[Sighting, Sighting]) -> None:
        self.seen, self.others = seen, others
        self.shifts = tuple(shift_between(seen, each) for each in others)
        moved = zip(others, self.shifts, strict=True)
        one, other = (np.isfinite(move(each.smooth, shift)) for each, shift in moved)
        self.valid = one & other
        self._all = bool(self.valid.all())

    def theirs(self, of: Picture) -> list[Float]:
        """Such pictures of the two others, moved; what comes in is 0."""
        return [
            move(of(each), shift, 0) for each, shift in zip(self.others, self.shifts, strict=True)
        ]

    def pictures(self, of: Picture) -> list[Float]:
        """Such pictures of all three; 0 where not all can be seen."""
        return [self.masked(each) for each in (of(self.seen), *self.theirs(of))]

    def masked(self, picture: Float) -> Float:
        """A picture, 0 where not all three sections can be seen."""
        return picture if self._all else np.where(self.valid, picture, np.float32(0))
