"""Puts together what several signs say of one place of a section.

Easy to get wrong: a rule and the network see the same pixels, so two signs that agree say less
than two that are independent. What lies beside a place may be a piece of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_dilation

from napari_ssan.inspection.find import SURE
from napari_ssan.inspection.judge import PRIOR, Usual
from napari_ssan.inspection.pictures import Mask
from napari_ssan.inspection.regions import Candidate
from napari_ssan.inspection.signs import (
    FAMILIES,
    LEARNED_SIGNS,
    LINES,
    OPPOSITE,
    SOFT,
    STRAIGHT,
    TRACED,
)
from napari_ssan.stack.region import Region

#: What is less probable is dropped.
LEAST = 0.05
#: Smaller regions are grain, in pixels of comparison.
SMALLEST = 12
#: A region of which this share is covered by others is another sign of them.
COVERED = 0.3
#: A region that holds this share of a place shows it once more.
WITHIN = 0.5
#: Of several places that a sign covers, it speaks for those that have so much of the most in common
#: with it: not for a splinter at the edge of a spot.
MAIN = 0.5
#: A straight line that is sure goes on beyond a place if it reaches so many times as far.
LONGER = 1.3
#: A place of this probability makes others in its section more probable. Two that are doubtful
#: say nothing of each other: some tissue is darker or lighter in many places.
LIKELY = 0.8
#: Beside it, more damage in the same section is as likely as not, ...
BESIDE = 0.5
#: ... if it departs by so much itself; its probability is at most this.
VISIBLE, SECOND = 3.0, 0.89
#: What only the network says has at most this probability: it has learned from planted damage.
LEARNED = 0.89
#: What a rule says that is not sure counts for so much less where the network sees nothing: where
#: its logits are below the first; of lines, below the second, since thin sheets between cells look
#: like them. What only the network says does where they are below the third.
NOTHING, NO_LINE, FAIR, DOUBT = -1.5, 0.0, 1.0, 10.0
#: A place of this probability becomes more probable by other signs there.
SEEN = 0.5
#: What two signs that agree say together, of the sum of both: each knows part of the other.
AGREE = 0.7
#: If a spot is damage, a neighbour goes on with it by a small chance as seldom as that says; tissue
#: does in .1, .2, .33 and .5 of all spots by chances below .01, .03, .1 and .3, in five stacks. So
#: the odds of damage are multiplied by so much times the chance to this power.
GOES_ON, POWER = 2.2, 0.6
#: A spot with which a neighbour goes on by a smaller chance is tissue, however much it departs, and
#: no more probable than this.
SELDOM, DOUBTFUL = 0.03, 0.45
#: What is no farther from a place, in pixels of comparison, may be a piece of it, ...
NEAR = 8
#: ... or looks dark because a light line lies beside it, if it departs by less than this share.
LESS = 0.5
#: At the ends of a stack, where both neighbours are on one side, departures count less.
AT_END = 0.6


class Place:
    """A region that might be damaged, and how probable that is by all signs there.

    Parameters
    ----------
    candidate : Candidate
        What its own sign says, which counts in full where a rule and the network agree.
    score : float
        By how many standard deviations it departs.
    usual : Usual
        What is usual in the stack.

    Attributes
    ----------
    region : Region
        Its pixels, with those of its pieces, at the resolution of comparison.
    told : float
        Probability of damage by its own sign.
    p : float
        The same by all signs.
    """

    def __init__(self, candidate: Candidate, score: float, usual: Usual) -> None:
        self.candidate, self.region, self.score = candidate, candidate.region, score
        self.told = weighed(usual.probability(candidate.sign, score), candidate.chance)
        #: Whether it is the network that says it.
        self.learned = candidate.sign in LEARNED_SIGNS
        # A rule that is sure needs no network: some real damage is unlike all that is planted.
        by_rule = NO_LINE if candidate.sign.endswith(LINES) else NOTHING
        least = FAIR if self.learned else by_rule
        doubted = self.told < SURE and candidate.logit < least
        self.p = self.told / (self.told + DOUBT * (1 - self.told)) if doubted else self.told
        if self.learned:
            self.p = min(self.p, LEARNED)

    @property
    def rank(self) -> tuple[bool, bool, bool, float]:
        """Where signs overlap, the one with the lowest tells the kind.

        What is constant is missing, whatever else is seen of it; other damage may cause a loss of
        sharpness; other signs know better which pixels belong to a straight line.
        """
        sign = self.candidate.sign
        return sign != "flat", sign in SOFT, sign.endswith(STRAIGHT), -self.score

    def add(self, other: Place) -> None:
        """Count another sign at the same place."""
        if self.learned != other.learned:
            rule, network = sorted((self, other), key=lambda place: place.learned)
            both = min(agreed(rule.told, network.told), LEARNED)
            self.p = max(self.p, rule.p, both)
        elif self.p >= SEEN:
            self.p = max(self.p, other.p)
        line = other.candidate.sign.endswith(TRACED) and other.told >= SEEN
        if self.learned and line and self._is_like(other):  # rules know best how far a line goes
            self.region = other.region
        straight = other.candidate.sign.endswith(STRAIGHT) and other.told >= SURE
        if straight and self._is_like(other) and other.extent > LONGER * self.extent:
            self.region = self.region.union(other.region)

    @property
    def extent(self) -> float:
        """How far it reaches, from corner to corner, in pixels of comparison."""
        return float(np.hypot(*self.region.mask.shape))

    def goes_on_with(self, other: Place) -> bool:
        """Whether another place is a piece of this one: of the same kind, and beside it."""
        visible = self.p >= SEEN and other.score >= VISIBLE
        return visible and self._is_like(other) and self._is_beside(other)

    def explains(self, other: Place) -> bool:
        """Whether another place only looks like a line or a patch because this one lies beside it.

        Lines are told by what is around them: tissue beside a light one looks dark. A margin has
        an edge, and is smoothed into what looks like a patch.
        """
        family, theirs = FAMILIES[self.candidate.sign], FAMILIES[other.candidate.sign]
        contrast = OPPOSITE.get(family) == theirs and other.score < LESS * self.score
        edge = family == "flat" and theirs.endswith(("line", "patch"))
        return self.p >= SEEN and (contrast or edge) and self._is_beside(other)

    def is_seen_in(self, other: Place) -> bool:
        """Whether a region that is as dark or as light shows this place less sharply."""
        alike = _way(self.candidate) == _way(other.candidate) != ""
        common = _common(self.candidate.region, other.region)
        return alike and self.p >= SEEN and common >= WITHIN * self.candidate.region.pixels

    def _is_like(self, other: Place) -> bool:
        """Whether the signs of both are of the same kind of damage."""
        return FAMILIES[self.candidate.sign] == FAMILIES[other.candidate.sign]

    def _is_beside(self, other: Place) -> bool:
        """Whether another region has pixels near this one."""
        return _common(self.region, _widened(other.region, NEAR)) > 0


def places(
    candidates: Sequence[Candidate], usual: Usual, covered: Mask, alone: bool
) -> list[Place]:
    """Regions of a section that might be damaged; of two that overlap, the more certain.

    Parameters
    ----------
    candidates : sequence of Candidate
        What the signs say of the section.
    usual : Usual
        What is usual in the stack.
    covered : ndarray of bool, (height, width)
        Pixels of comparison of which something is known already.
    alone : bool
        Whether the section stands alone, so that departures count less: at an end of the stack,
        beside a broken section, or where sections are lost.
    """
    told = [
        Place(each, usual.score(each.sign, each.peak) * (AT_END if alone else 1.0), usual)
        for each in candidates
        if (each.long or not each.sign.endswith(LINES)) and each.region.pixels >= SMALLEST
    ]
    covered, found = covered.copy(), list[Place]()
    for place in sorted((each for each in told if each.told >= LEAST), key=lambda each: each.rank):
        part = covered[place.region.window]
        mask = place.region.mask[: part.shape[0], : part.shape[1]]
        if part[mask].mean() >= COVERED or any(each.is_seen_in(place) for each in found):
            common = [_common(each.candidate.region, place.region) for each in found]
            for each, shared in zip(found, common, strict=True):
                if shared and shared >= MAIN * max(common):
                    each.add(place)
        elif whole := next((each for each in found if each.goes_on_with(place)), None):
            whole.region = whole.region.union(place.region)
            part |= mask
        elif not any(each.explains(place) for each in found):
            found.append(place)
            part |= mask
    tissue = [each for each in found if each.candidate.chance < SELDOM]
    likely = [each for each in found if each.p >= LIKELY and each not in tissue]
    for each in found:
        if each.score >= VISIBLE and not alone and likely not in ([], [each]):
            beside = usual.probability(each.candidate.sign, each.score, BESIDE)
            each.p = max(each.p, SECOND * beside)
    for each in tissue:
        each.p = min(each.p, DOUBTFUL)
    return found


def agreed(one: float, other: float) -> float:
    """Probability that something is wrong where two signs say so with these probabilities.

    Their likelihood ratios are multiplied, and raised to :data:`AGREE`, since both see the same
    pixels. A sign that says nothing, p = `PRIOR`, takes some of the other's word away.
    """
    before = PRIOR / (1 - PRIOR)
    first, second = (p / (1 - p + 1e-9) / before for p in (one, other))
    odds: float = before * (first * second) ** AGREE
    return odds / (1 + odds)


def weighed(p: float, chance: float) -> float:
    """Probability of damage in a spot with which a neighbour goes on by this chance."""
    odds: float = min(GOES_ON * chance**POWER, 1.0) * p / (1 - p + 1e-9)
    return odds / (1 + odds)


def _way(candidate: Candidate) -> str:
    """Whether what a candidate tells is dark or light; empty if neither."""
    way, _, _ = FAMILIES[candidate.sign].partition(" ")
    return way if way in ("dark", "light") else ""


def _common(one: Region, other: Region) -> int:
    """The number of pixels that two regions have in common."""
    return one.pixels + other.pixels - one.union(other).pixels


def _widened(region: Region, by: int) -> Region:
    """A region that goes on by some pixels to each side, even beyond the section."""
    mask = binary_dilation(np.pad(region.mask, by), iterations=by)
    return Region(region.top - by, region.left - by, mask)
