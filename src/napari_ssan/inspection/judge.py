"""Says what is wrong, from figures of all sections: deviations, kinds, probabilities.

Every figure is compared with its own distribution over the stack: the median, and the spread
below it, which damage hardly changes. A probability weighs how often good sections depart as
far (a tail that falls off exponentially) against how far planted damage departs. Easy to get
wrong: figures that rise with damage are one-sided, so only what lies above the median counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_ssan.inspection.neighbours import Traits
from napari_ssan.inspection.peaks import half_width
from napari_ssan.inspection.regions import Candidate

Motion = npt.NDArray[np.float64]

#: Share of sections in which damage of a kind is expected before anything is seen, ...
PRIOR = 0.0125
#: ... and how probable damage is at least that is fainter than all that was planted.
FAINTER = 0.05
#: Charging is larger than this share of a section; a crack is less broad than twice this, in pixels
#: of comparison, if structure is seen in it.
LARGE, BROAD = 0.003, 4.5
#: Sections to each side whose level, contrast and sharpness are usual.
AROUND = 3
#: Sections that resemble each other less than this cannot be compared.
UNLIKE = 0.4
#: Where a section lies is sure if it resembles its neighbours there by this share of the usual.
SURE_FIT = 0.7
#: A section whose fine detail in one direction is less by this, as a logarithm, has no stripes.
DRIFTED = 0.15
#: A section that correlates less with both neighbours is a negative of them.
NEGATIVE = -0.3
#: A section that is shaded by so many MADs is unlike its neighbours for that reason.
SHADED = 0.2
#: Standard deviations that a tenth of a normal distribution exceeds.
TENTH = 1.28
#: Fewest sections that tell what is usual.
ENOUGH = 5
#: Where adjacent sections correlate by r, their likeness varies by so many times 1 - r at least.
VARIES = 0.35
#: Planted damage that departs by less cannot be seen, and tells nothing about what can be.
VISIBLE = 2.0
#: Little is planted, so each departure stands for a range of so many standard deviations around it.
SPREAD = 2.0
#: Certain by their nature: nothing needs to be compared.
CERTAIN = 100.0


@dataclass(frozen=True)
class Rule:
    """How departures of a figure are judged.

    Attributes
    ----------
    floor : float
        Smallest standard deviation that is believed.
    rate : float
        How fast the tail of good sections falls off, per standard deviation.
    signed : bool
        Whether the figure is the size of a deviation in either direction, so that its
        distribution starts at 0.
    share : float
        Smallest standard deviation that is believed, as a share of the median.
    both : bool
        Whether good sections depart upwards as well, so that the spread above counts, too.
    tail : bool
        Whether some good sections depart far, so that the most outstanding tenth counts.
    likeness : bool
        Whether it is a difference of correlations, which vary less the nearer they are to 1.
    """

    floor: float
    rate: float
    signed: bool = False
    share: float = 0.0
    both: bool = False
    tail: bool = False
    likeness: bool = False


RULES = {
    "level": Rule(0.15, 1.5, True),
    "contrast": Rule(0.06, 1.5, True),
    "shaded": Rule(0.06, 1.5, True),
    "blur": Rule(0.06, 1.2),
    "noise": Rule(0.06, 1.2),
    "stripes": Rule(0.12, 1.5),
    "specks": Rule(0.08, 1.5),
    "displaced": Rule(0.0018, 1.5, True),
    "turned": Rule(0.002, 1.5, True),
    "discontinuity": Rule(0.05, 1.5, likeness=True),
    "duplicate": Rule(0.3, 1.5),
    "lost": Rule(0.06, 1.5, both=True, likeness=True),
    "dark": Rule(0.08, 1.5, share=0.15),
    "light": Rule(0.08, 1.5, share=0.15),
    "dark wide": Rule(0.15, 1.5, share=0.15),
    "light wide": Rule(0.15, 1.5, share=0.15),
    "dark long": Rule(0.05, 1.5, share=0.15),
    "light long": Rule(0.05, 1.5, share=0.15),
    "dark far": Rule(0.05, 2.0, share=0.25, tail=True),
    "light far": Rule(0.05, 2.0, share=0.25, tail=True),
    "dark straight": Rule(0.03, 1.8, share=0.25, tail=True),
    "light straight": Rule(0.03, 1.8, share=0.25, tail=True),
    "dark broad": Rule(0.05, 1.5, share=0.15),
    "light broad": Rule(0.05, 1.5, share=0.15),
    "soft": Rule(0.1, 1.5, share=0.15),
    "flat": Rule(0.01, 1.5),
    "like contamination": Rule(0.45, 1.2, tail=True),
    "like hole": Rule(0.45, 1.2, tail=True),
    "like fold": Rule(0.45, 1.2, tail=True),
    "like crack": Rule(0.45, 1.2, tail=True),
    "like blur": Rule(0.45, 1.2, tail=True),
}


def slice_figures(stack: Sequence[Traits], own: Traits, likeness: float) -> dict[str, float]:
    """Figures of a whole section that rise with damage.

    Parameters
    ----------
    stack : sequence of Traits
        All sections.
    own : Traits
        The section, which may differ from that of its number in `stack`.
    likeness : float
        Usual correlation of adjacent sections. Below it, shifts cannot be believed.
    """
    near = stack[max(0, own.z - AROUND) : own.z + AROUND + 1]
    around = [each for each in near if each.z != own.z and not each.flaw]
    if own.flaw or len(around) < 2:
        return {}
    contrast = float(np.median([each.contrast for each in around]))
    levels = {each.z: each.level / contrast for each in (*around, own)}
    contrasts = {each.z: float(np.log(each.contrast)) for each in (*around, own)}
    sharper = own.sharpness - np.median([each.sharpness for each in around], axis=0)
    found = {
        "level": _departure(levels, own.z),
        "contrast": _departure(contrasts, own.z),
        "blur": float(-sharper.min()),
        # Lines of noise leave one direction as it is.
        "noise": float(np.partition(sharper, 1)[1]),
        "specks": own.specks - float(np.median([each.specks for each in around])),
        "duplicate": -float(np.log(max(1e-4, 1 - max(own.twin, 0.0)))),
    }
    # What is blurred along one direction is unlike in this and in others, too.
    striped = own.stripes - float(np.median([each.stripes for each in around]))
    found["stripes"] = striped if found["blur"] < DRIFTED else 0.0
    if own.neighbours and not own.end:
        # Shading is told from other tissue by finer structure, which stays.
        detail = float(np.median([each.detail for each in around]))
        found["shaded"] = own.shaded if own.detail > SURE_FIT * detail else 0.0
        sure = own.fit > SURE_FIT * max(likeness, own.across)
        # The less alike sections are, the less sure is where they lie on each other.
        found["displaced"] = _displaced(around, own, slice(2)) * likeness**2 if sure else 0.0
        # Turned back, it lies as well as those around it.
        fits = [each.fit for each in around if each.neighbours] or [own.fit]
        sure = own.fit > SURE_FIT * max(min(likeness, float(np.median(fits))), own.across)
        found["turned"] = _displaced(around, own, slice(2, 3)) if sure else 0.0
    if own.neighbours:
        # At an end, the neighbours are as near to each other as to the section.
        compared = [each for each in around if each.neighbours and not each.end] or [own]
        usual = float(np.median([max(each.before, each.after) for each in compared]))
        usual_across = float(np.median([each.across for each in compared]))
        less = usual - max(own.before, own.after)
        across = own.across**3 if own.end else own.across
        found["discontinuity"] = max(min(less, 0.0), less - max(0.0, usual_across - across))
        if found.get("shaded", 0.0) > SHADED:
            found["discontinuity"] = min(found["discontinuity"], 0.0)
    return found


def is_negative(own: Traits) -> bool:
    """Whether black is white in a section: it is the opposite of both neighbours."""
    return bool(own.neighbours) and max(own.before, own.after) < NEGATIVE


def _departure(figures: Mapping[int, float], z: int) -> float:
    """How far a section departs from those around it, and from those of either side.

    Where a figure changes for good, sections are like all of one side.
    """
    own = figures[z]
    before, after = (
        [v for n, v in figures.items() if (n > z) == side and n != z] for side in (0, 1)
    )
    far = abs(own - float(np.median([*before, *after])))
    sides = [
        max(abs(own - each) for each in side) for side in (before, after) if len(side) == AROUND
    ]
    return min((far, *sides))


def _displaced(around: Sequence[Traits], own: Traits, part: slice) -> float:
    """How far a section lies from the middle between its neighbours, by a part of its motion.

    Beside one that is displaced, a good section lies half as far on the other side of the middle.
    Where sections are little alike, it seems to lie there by up to as far.
    """
    motions = {each.z: each.motion[part].astype(np.float64) for each in (*around, own)}
    moved = motions[own.z]
    far = moved
    for side in (-1, 1):
        beside = motions.get(own.z + side, np.zeros_like(moved))
        beyond = motions.get(own.z + 2 * side, np.zeros_like(moved))
        size, itself = np.linalg.norm(beside), np.linalg.norm(_itself(motions, own.z + side))
        if size == 0 or itself <= np.linalg.norm(_itself(motions, own.z)):
            continue
        # Both sections beside one that is displaced move against it.
        against = beside @ beyond < 0
        most = itself if against else size / 2 if size > np.linalg.norm(moved) else 0.0
        far = far + beside / size * np.clip(-moved @ beside / size, 0, most)
    return float(min(np.linalg.norm(far), np.linalg.norm(moved)))


def _itself(motions: Mapping[int, Motion], z: int) -> Motion:
    """How far a section is displaced, by its motion and half of that of its neighbours.

    Least squares, if only this one is displaced.
    """
    beside = [motions[n] for n in (z - 1, z + 1) if n in motions]
    moved = motions.get(z, 0.0)
    found: Motion = (2 * moved - np.sum(beside, axis=0)) / (2 + len(beside) / 2)
    return found


class Usual:
    """What is usual in a stack, and how probable damage is behind a departure from it.

    Parameters
    ----------
    figures : mapping of str to sequence of float
        Figures of all sections, by the name of their rule.
    planted : mapping of str to sequence of float
        Figures of planted damage, by the same names.
    likeness : float
        Usual correlation of adjacent sections.
    """

    def __init__(
        self,
        figures: Mapping[str, Sequence[float]],
        planted: Mapping[str, Sequence[float]],
        likeness: float = 0.0,
    ) -> None:
        self._scales: dict[str, tuple[float, float]] = {}
        for name, values in figures.items():
            rule = RULES[name]
            low, middle, high, highest = map(float, np.quantile(values, (0.16, 0.5, 0.84, 0.9)))
            spread = 1.48 * middle if rule.signed else middle - low
            if rule.both:
                spread = max(spread, high - middle)
            if rule.tail:
                spread = max(spread, (highest - middle) / TENTH)
            floor = min(rule.floor, VARIES * (1 - likeness)) if rule.likeness else rule.floor
            few = 1 + 3 / len(values) + 30 / len(values) ** 2
            centre = 0.0 if rule.signed else middle
            self._scales[name] = (centre, few * max(floor, rule.share * middle, spread))
        self._planted = {
            name: np.sort([s for value in values if (s := self.score(name, value)) > VISIBLE])
            for name, values in planted.items() if name in self._scales
        }  # fmt: skip

    def score(self, name: str, figure: float) -> float:
        """Standard deviations by which a figure departs from the usual."""
        if name not in self._scales:
            return 0.0
        centre, spread = self._scales[name]
        return min((figure - centre) / spread, CERTAIN)

    def probability(self, name: str, score: float, prior: float = PRIOR) -> float:
        """Probability that something is wrong where a figure departs so far."""
        known = self._planted.get(name, np.zeros(0))
        share = float(np.clip((score - known) / SPREAD + 0.5, 0, 1).sum()) / max(1, len(known))
        below = FAINTER + (1 - FAINTER) * share
        tail = min(1.0, float(np.exp(-RULES[name].rate * max(score, 0.0))))
        return prior * below / (prior * below + (1 - prior) * tail)


def region_figures(candidates: Sequence[Candidate]) -> dict[str, float]:
    """The highest peak of each sign in a section; 0 where there is none."""
    found: dict[str, float] = defaultdict(float)
    for each in candidates:
        found[each.sign] = max(found[each.sign], each.peak)
    return found


def kind_of(candidate: Candidate, section: int) -> str:
    """What a region seems to be, in a section of so many pixels."""
    wide = candidate.region.pixels > LARGE * section
    if candidate.sign in ("soft", "flat"):
        return {"soft": "blur", "flat": "missing"}[candidate.sign]
    if candidate.sign.startswith("like") and candidate.sign != "like hole":
        return candidate.sign.removeprefix("like ")
    if candidate.sign.startswith("dark"):
        return "fold" if candidate.long else "contamination"
    if candidate.long and not (candidate.structured and half_width(candidate.region.mask) >= BROAD):
        return "crack"
    return "charging" if wide and candidate.structured else "hole"
