"""What long work says while it runs: one stream of events for every door.

The command line prints them, the docks show them, a callback of the Python API gets
them. Events are plain data and cross a thread or a process as they are. What belongs to
one room alone (a step of a training, a patch of a repair) is declared in that room and
travels in the same stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


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
    pixels : int
        Those of the tiles that are done, without those of copied sections.
    """

    done: int
    total: int
    section: int
    seconds_left: float | None
    pixels: int = 0

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        return f"slice {self.section}: tile {self.done} of {self.total}{left}"


@dataclass(frozen=True)
class Notice:
    """Something that the user should know: a neighbour passed over, a slower device taken."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Stage:
    """What is going on, and how far it is; a total of 0 where there is no progress to speak of."""

    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class RunsOn:
    """The device that the network runs on, in a user's words."""

    device: str


Event = Progress | Notice | Stage | RunsOn
Report = Callable[[Event], object]
