"""Puts together what was found: kinds, probabilities, and regions at full resolution.

Easy to get wrong: a section that is broken as a whole has no regions, unless only its
brightness is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_ssan.inspection.find import SURE, Find
from napari_ssan.inspection.gaps import gap_figures, lost_sections, planted_gaps
from napari_ssan.inspection.judge import (
    CERTAIN,
    ENOUGH,
    RULES,
    UNLIKE,
    Usual,
    is_negative,
    kind_of,
    region_figures,
    slice_figures,
)
from napari_ssan.inspection.neighbours import Traits
from napari_ssan.inspection.pictures import Mask
from napari_ssan.inspection.places import LEAST, places
from napari_ssan.inspection.reasons import region_reason, slice_reason
from napari_ssan.inspection.regions import Candidate
from napari_ssan.inspection.signs import SIGNS
from napari_ssan.inspection.view import View
from napari_ssan.stack.region import Region, Treatment

#: Beside a section that is broken as a whole with this probability, no others are lost.
DOUBTFUL = 0.2
#: A section of which more pixels are black or white is not corrected: what was there is lost.
CLIPPED = 0.5
#: In a shaded section, only these count, if they are sure and cover at most this share of it: the
#: rest may be shading.
IN_SHADE, LARGEST_SPOT = ("contamination", "hole", "missing"), 0.05
#: A region that covers more of a section is the section.
MOST = 0.6
#: Figures of whole sections, and the kinds that they tell.
KINDS = {
    **{"level": "brightness", "contrast": "brightness", "shaded": "brightness"},
    **{"stripes": "noise", "specks": "noise"},
    **{"negative": "brightness", "turned": "displaced"},
}
#: These hide what is below, so that nothing of it can be corrected.
HIDING = ("fold", "crack")
#: Where margins of this share of a section are missing, only these figures of it are believed.
LARGE_MARGIN, WITHOUT_MARGINS = 0.04, ("level", "contrast")
#: Figures that planted damage raises.
RAISED = {"brightness": ("level", "contrast"), "displaced": ("displaced", "turned")}


class Findings:
    """What was found in a stack.

    Parameters
    ----------
    view : View
        The stack.
    traits : sequence of Traits
        Figures of all sections.
    candidates : sequence of sequence of Candidate
        Regions of every section that might be damaged.
    planted : sequence of (str, Traits)
        Figures of sections in which damage of a kind was planted.
    peaks : mapping of str to sequence of float
        How far planted regions stood out, by sign.
    """

    def __init__(
        self,
        view: View,
        traits: Sequence[Traits],
        candidates: Sequence[Sequence[Candidate]],
        planted: Sequence[tuple[str, Traits]],
        peaks: Mapping[str, Sequence[float]],
    ) -> None:
        self.view, self.traits, self.candidates = view, traits, candidates
        self.apart = {
            k: float(np.median(found))
            for k in range(1, 5) if (found := [t.apart[k] for t in traits if k in t.apart])
        }  # fmt: skip
        #: Usual correlation of adjacent sections.
        self.correlation = self.apart.get(1)
        self.alike = self.correlation is not None and self.correlation >= UNLIKE
        self._figures = [slice_figures(traits, each, self.correlation or 0.0) for each in traits]
        self._gaps = gap_figures(traits)
        self._damaged = self._departures(planted, peaks)
        self.usual = self._usual({own.z for own in traits})
        # What stands out in broken sections says nothing about good tissue.
        whole = self._whole_finds()
        good = {own.z for own in traits} - self._broken(whole)
        good -= {own.z for own in traits if self._margins_are_missing(own)}
        self.usual = self._usual(good)

    def _departures(
        self, planted: Sequence[tuple[str, Traits]], peaks: Mapping[str, Sequence[float]]
    ) -> dict[str, list[float]]:
        """Figures of planted damage, and of sections that are lost, by the name of their rule."""
        damaged: dict[str, list[float]] = {sign: list(values) for sign, values in peaks.items()}
        for kind, each in planted:
            figures = slice_figures(self.traits, each, self.correlation or 0.0)
            for name in RAISED.get(kind, (kind,)):
                damaged.setdefault(name, []).append(figures.get(name, 0.0))
        if self.correlation is not None:
            damaged["lost"] = planted_gaps(self.traits, self.apart)
        return damaged

    def _usual(self, good: set[int]) -> Usual:
        """What is usual, by all sections; by good ones where what is far from usual counts, too."""
        figures: dict[str, list[float]] = {name: [] for name in RULES}
        for each in self._figures:
            for name, value in each.items():
                figures[name].append(value)
        compared = [own.z for own in self.traits if own.neighbours and not own.end]
        telling = [z for z in compared if z in good]
        telling = telling if len(telling) >= ENOUGH else compared
        highest = {z: region_figures(self.candidates[z]) for z in compared}
        for sign in SIGNS:
            # Else the spread below the median counts, which broken sections hardly change.
            among = telling if RULES[sign].tail else compared
            figures[sign] = [highest[z][sign] for z in among]
        gaps = [v for z, v in self._gaps.items() if good.issuperset(range(z - 1, z + 3))]
        figures["lost"] = gaps if len(gaps) >= ENOUGH else list(self._gaps.values())
        enough = {name: values for name, values in figures.items() if len(values) >= ENOUGH}
        return Usual(enough, self._damaged, self.correlation or 0.0)

    @property
    def cannot_tell(self) -> tuple[str, ...]:
        """What cannot be judged, and why."""
        seen = sum(not each.flaw for each in self.traits)
        if seen < ENOUGH:
            few = {0: "No slice shows", 1: "Only 1 slice shows"}.get(
                seen, f"Only {seen} slices show"
            )
            return (f"{few} an image; at least {ENOUGH} are needed to say what is usual.",)
        if not self.alike:
            likeness = 0.0 if self.correlation is None else self.correlation
            return (
                f"Cannot tell regions on this stack: neighbouring slices correlate by "
                f"{likeness:.2f} only, and {UNLIKE} is needed. Slices that are displaced or out of "
                "order cannot be told, either.",
            )
        return ()

    def all(self) -> list[Find]:
        """All finds, the most certain first."""
        whole = self._whole_finds()
        found = list(whole.values())
        broken = self._broken(whole)
        lost = list[Find]()
        if self.alike:
            doubtful = {z for z, find in whole.items() if find.p >= DOUBTFUL}
            lost = lost_sections(self.traits, self._gaps, self.apart, self.usual, doubtful)
        parted = {z for find in lost if find.p >= 0.5 for z in (find.z, find.z + 1)}
        found += lost
        for own, figures, regions in zip(self.traits, self._figures, self.candidates, strict=True):
            if self.alike and own.z not in broken:
                beside = own.z in parted or not broken.isdisjoint(own.neighbours)
                alone = beside or not own.between
                inside = self._regions(own, regions, alone)
                if self._probability("shaded", figures) >= 0.5:
                    inside = [find for find in inside if self._stands_out(find)]
                if own.z in whole and whole[own.z].p >= 0.5:  # its brightness, which says it all
                    inside = [find for find in inside if self._share(find.region) <= MOST]
                found += inside
        found += [
            self._without_values(own.z, own.lost) for own in self.traits if own.lost is not None
        ]
        found = [find for find in found if find.p >= LEAST]
        return sorted(found, key=lambda find: (-find.p, -find.score, find.z))

    def _whole_finds(self) -> dict[int, Find]:
        """What may be wrong with whole sections."""
        whole: dict[int, Find] = {}
        for own, figures in zip(self.traits, self._figures, strict=True):
            if (find := self._whole(own, self._seen_wholly(own, figures))) is not None:
                whole[own.z] = find
        # A copy lies where another section does, so that it says nothing about its neighbours.
        copies = {z for z, find in whole.items() if find.kind == "duplicate" and find.p >= 0.5}
        return {
            z: find for z, find in whole.items()
            if find.kind != "displaced" or copies.isdisjoint(self.traits[z].neighbours)
            if not self._is_explained(find)
        }  # fmt: skip

    def _is_explained(self, find: Find) -> bool:
        """Whether a section may be unlike its neighbours only because a region is damaged."""
        if find.kind != "discontinuity" or not 0.5 <= find.p < SURE:
            return False
        own = self.traits[find.z]
        inside = self._regions(own, self.candidates[find.z], not own.between)
        return any(each.p >= SURE for each in inside)

    def _broken(self, whole: Mapping[int, Find]) -> set[int]:
        """Sections that are broken as a whole, so that no regions are looked for in them."""
        return {
            z for z, find in whole.items()
            if find.p >= 0.5 and (find.kind != "brightness" or is_negative(self.traits[z]))
        }  # fmt: skip

    def _probability(self, name: str, figures: Mapping[str, float]) -> float:
        """How probable it is that a section is damaged, by one of its figures."""
        return self.usual.probability(name, self.usual.score(name, figures.get(name, 0.0)))

    def _margins_are_missing(self, own: Traits) -> bool:
        """Whether much of a section is missing for sure."""
        return any(
            each.sign == "flat"
            and each.peak**2 >= LARGE_MARGIN
            and self.usual.probability("flat", self.usual.score("flat", each.peak)) >= SURE
            for each in self.candidates[own.z]
        )

    def _seen_wholly(self, own: Traits, figures: dict[str, float]) -> dict[str, float]:
        """Figures of a section; where much of it is missing, those that do not suffer from it."""
        if not self._margins_are_missing(own):
            return figures
        return {name: value for name, value in figures.items() if name in WITHOUT_MARGINS}

    def _whole(self, own: Traits, figures: Mapping[str, float]) -> Find | None:
        """The most certain of what may be wrong with a whole section."""
        if own.flaw:
            return Find(own.z, "blank", CERTAIN, 1.0, f"It {own.flaw}.")
        best = None
        for name, value in figures.items():
            if not self.alike and name in ("displaced", "turned", "discontinuity", "shaded"):
                continue
            score = self.usual.score(name, value)
            told = "turned" if name == "discontinuity" and figures.get("turned") else name
            if told in ("displaced", "turned", "discontinuity") and is_negative(own):
                told = "negative"
            kind = KINDS.get(told, told)
            p = self.usual.probability(name, score)
            if best is None or (p, score) > (best.p, best.score):
                alike = told == "shaded" or (
                    max(own.before, own.after) > 0.8 * (self.correlation or 1.0)
                )
                there = alike and own.clipped <= CLIPPED
                suggest: Treatment = "correct" if kind == "brightness" and there else "synthesize"
                reason = slice_reason(told, self.traits, own)
                best = Find(own.z, kind, score, p, reason, suggest)
        return best

    def _regions(self, own: Traits, candidates: Sequence[Candidate], alone: bool) -> list[Find]:
        """What may be wrong with regions of a section, which may stand alone."""
        covered = np.zeros([n // self.view.step + 1 for n in self.view.shape[1:]], bool)
        if own.lost is not None:
            covered[: own.lost.shape[0], : own.lost.shape[1]] = own.lost
        found = []
        for place in places(candidates, self.usual, covered, alone):
            kind = kind_of(place.candidate, covered.size)
            there = place.candidate.structured and kind not in HIDING
            suggest: Treatment = "correct" if there else "synthesize"
            reason = region_reason(kind, place.candidate)
            region = self.view.at_full_resolution(place.region)
            found.append(Find(own.z, kind, place.score, place.p, reason, suggest, region))
        return found

    def _stands_out(self, find: Find) -> bool:
        """Whether a region is damage for sure although its section is shaded."""
        small = self._share(find.region) <= LARGEST_SPOT
        return small and find.p >= SURE and find.kind in IN_SHADE

    def _share(self, region: Region | None) -> float:
        """The share of a section that a region covers; all of it without one."""
        pixels = np.prod(self.view.stack.shape[1:])
        return 1.0 if region is None else float(region.pixels / pixels)

    def _without_values(self, z: int, lost: Mask) -> Find:
        """The pixels of a section that are not finite."""
        region = self.view.at_full_resolution(Region.from_mask(lost))
        share = 100 * self._share(region)
        reason = f"{share:.2g} % of its pixels have no value (NaN, infinite or beyond 1e30)."
        return Find(z, "missing", CERTAIN, 1.0, reason, region=region)
