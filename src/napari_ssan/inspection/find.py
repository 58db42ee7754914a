"""What an inspection finds, and how it is written: as JSON, and as marks for a repair.

Coordinates are those of the full resolution. Easy to get wrong: a find is a suggestion; it
becomes a mark only by :meth:`Inspection.marks`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from napari_ssan.json_text import dump_json
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region, Treatment

#: What counts as a find: the least probability.
SENSITIVITY = {"low": 0.8, "normal": 0.5, "high": 0.2}
#: A find of this probability is repaired without being asked about, and is neither learned from
#: nor judged on.
SURE = 0.9


@dataclass(frozen=True)
class Find:
    """Something that looks broken.

    Attributes
    ----------
    z : int
        The section.
    kind : str
        What seems to be wrong.
    score : float
        By how many standard deviations it departs from what is usual in the stack.
    p : float
        Probability that something is wrong, 0 to 1.
    reason : str
        A sentence for the user.
    suggest : str
        ``synthesize``, or ``correct`` where the section's own structure agrees with that of
        its neighbours and only brightness or contrast is wrong.
    region : Region, optional
        The pixels, at full resolution; None for a whole section.
    gap : int
        How many sections seem to be lost after it; then nothing is wrong with the section itself.
    """

    z: int
    kind: str
    score: float
    p: float
    reason: str
    suggest: Treatment = "synthesize"
    region: Region | None = None
    gap: int = 0

    @property
    def place(self) -> str:
        """Where it is, if it is no region."""
        return f"after slice {self.z}" if self.gap else "whole slice"

    @property
    def advice(self) -> str:
        """What to do."""
        return f"insert {self.gap}" if self.gap else self.suggest

    def entry(self) -> dict[str, Any]:
        """The find as JSON has it."""
        region = self.region
        box = None if region is None else [part.start for part in region.window]
        if region is not None and box is not None:
            box += [part.stop for part in region.window]
        return {
            "slice": self.z,
            "scope": "slice" if region is None else "region",
            "kind": self.kind,
            "score": round(self.score, 2),
            "p": round(self.p, 4),
            "bbox": box,
            "pixels": None if region is None else region.pixels,
            "suggest": self.suggest,
            "lost": self.gap,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Inspection:
    """The result of an inspection.

    Attributes
    ----------
    slices : int
        Number of sections.
    level : int
        Level of the pyramid that was read.
    correlation : float or None
        Usual correlation of adjacent sections; None if no two could be compared.
    finds : tuple of Find
        The most certain first.
    cannot_tell : tuple of str
        What could not be judged, and why: a sentence each.
    """

    slices: int
    level: int
    correlation: float | None
    finds: tuple[Find, ...]
    cannot_tell: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Write it as docs/reference/formats.md describes."""
        correlation = None if self.correlation is None else round(self.correlation, 3)
        content = {
            "slices": self.slices,
            "level": self.level,
            "neighbour_correlation": correlation,
            "defects": [each.entry() for each in self.finds],
            "cannot_tell": list(self.cannot_tell),
        }
        return dump_json(content, indent=1)

    def at_least(self, p: float) -> Inspection:
        """The same, with finds of at least this probability."""
        return replace(self, finds=tuple(each for each in self.finds if each.p >= p))

    @property
    def lost(self) -> str:
        """After which sections to insert others, as ``repair --insert-after`` takes it."""
        return ",".join(
            sorted((str(each.z) for each in self.finds for _ in range(each.gap)), key=int)
        )

    def marks(self) -> Marks:
        """Marks of the finds, regions as masks.

        Lost sections are left out: to insert sections changes the length of a stack.
        """
        marks = Marks()
        for each in self.finds:
            if each.gap:
                continue
            if each.region is not None:
                marks.add_region(each.z, replace(each.region, treatment=each.suggest))
                continue
            marks.whole.add(each.z)
            if each.suggest == "correct":
                marks.corrected.add(each.z)
        return marks
