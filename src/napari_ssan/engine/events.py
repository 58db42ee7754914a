"""What a repair says while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_ssan.engine.repaired import Patch


@dataclass(frozen=True)
class Progress:
    """After every tile.

    Attributes
    ----------
    done, total : int
        Tiles.
    section : int
        The section of the source that is worked on (for an inserted one, the
        section that it comes after).
    seconds_left : float or None
        Estimate; None until there is something to estimate from.
    """

    done: int
    total: int
    section: int
    seconds_left: float | None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        return f"slice {self.section}: tile {self.done} of {self.total}{left}"


@dataclass(frozen=True)
class PatchDone:
    """A section, or a region of one, is synthesized."""

    patch: Patch

    def __str__(self) -> str:
        record = self.patch.record
        if self.patch.slot[1]:
            return f"inserted a section after slice {record.section}, from " + " and ".join(
                str(z) for z in record.neighbours
            )
        return f"repaired {record}"


@dataclass(frozen=True)
class Notice:
    """Something that the user should know: a neighbour passed over, a slower device taken."""

    text: str

    def __str__(self) -> str:
        return self.text


Event = Progress | PatchDone | Notice
Report = Callable[[Event], object]
