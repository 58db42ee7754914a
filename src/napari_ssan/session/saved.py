"""A state of a repair as it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from napari_ssan.engine.repaired import Patch
from napari_ssan.session.marks import mark_of
from napari_ssan.session.results import Spares
from napari_ssan.stack.marks import Mark, Marks


@dataclass(frozen=True)
class Saved:
    """State of a repair, and when it was saved."""

    marks: Marks
    states: Mapping[Mark, str]
    patches: tuple[Patch, ...] = ()
    when: datetime | None = None
    #: Patches whose files are missing or damaged; their marks are to be repaired again.
    lost: int = 0
    #: Results that are not chosen, by mark and by what made them.
    spares: Spares = field(default_factory=dict)
    #: Why part of it could not be read; empty if all could.
    damage: str = ""

    @property
    def all_patches(self) -> tuple[Patch, ...]:
        """Those of all results, chosen or not."""
        others = (result for results in self.spares.values() for result in results.values())
        return (*self.patches, *(patch for result in others for patch in result))

    def __str__(self) -> str:
        marks, repaired = len(self.states), len({mark_of(patch.slot) for patch in self.patches})
        text = "1 mark" if marks == 1 else f"{marks} marks"
        if self.when is not None:
            text += f" from {_day(self.when)}"
        if repaired < marks:
            return f"{text}, {repaired} of them repaired" if repaired else text
        return f"{text}, already repaired" if marks == 1 else f"{text}, all of them repaired"


def _day(when: datetime) -> str:
    day = when.astimezone().date()
    days = (datetime.now().astimezone().date() - day).days
    return {0: "today", 1: "yesterday"}.get(days, f"{day:%d %B %Y}")
