"""Finds regions of a section that are unlike those of both neighbours.

A region is odd where the section lies beyond both neighbours while these agree with each other:
darker, lighter, less sharp, or constant. Easy to get wrong: every section has such regions,
since tissue changes; how odd is unusual is decided in :mod:`~napari_ssan.inspection.judge`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter, label

from napari_ssan.inspection.lines import SURROUNDINGS
from napari_ssan.inspection.look import Sighting
from napari_ssan.inspection.peaks import (
    BELOW,
    BELOW_LINE,
    CROSS,
    LONG_LINE,
    LOWEST,
    WIDER,
    WIDER_LINE,
    farthest,
    is_long,
    peaks,
    straightest,
    summits,
    wider,
)
from napari_ssan.inspection.pictures import Float
from napari_ssan.inspection.registered import Registered
from napari_ssan.inspection.signs import REDUCED
from napari_ssan.stack.alignment import correlation, structure
from napari_ssan.stack.region import Region

#: Pixels by which the map of even spots ends before the spot does.
RIM = 4
#: By how much at least half of a line exceeds both neighbours, in MADs; and of one that goes far,
#: with the section less smoothed than they are, since it may be thin.
EXCEEDS, EXCEEDS_FAR = 0.3, 0.1
#: A region with fewer pixels shows no structure.
LEAST_STRUCTURE = 80
#: Whether structure is there is judged by this share of a region, the darkest or lightest beside
#: both neighbours: around it lies tissue that was not damaged.
CORE = 0.3
#: Fine detail can be seen in a region if what it has, less what the neighbour with less of it has,
#: is more than this, as logarithms; and the same of broad patches, which are judged as a whole.
TEXTURED, TEXTURED_BROAD = -0.2, -0.7


@dataclass(frozen=True)
class Candidate:
    """A region that might be damaged.

    Attributes
    ----------
    sign : str
        How it differs from both neighbours: darker, lighter, less sharp, or constant.
    peak : float
        By how much.
    region : Region
        Its pixels, at the resolution of comparison.
    long : bool
        Whether it is much longer than wide.
    structured : bool
        Whether its own structure is there: fine detail can be seen in it, and it agrees with a
        neighbour, apart from level and contrast.
    logit : float
        The network's highest logit in it, of any kind of damage; 0 if it was not asked.
    chance : float
        Of a spot, how probable it is that a neighbour goes on with it by chance; 1 if none does.
    """

    sign: str
    peak: float
    region: Region
    long: bool = False
    structured: bool = False
    logit: float = 0.0
    chance: float = 1.0


def odd_regions(
    beside: Registered, maps: Mapping[str, Float], learned: Mapping[str, Float]
) -> tuple[Candidate, ...]:
    """Find regions that might be damaged.

    Parameters
    ----------
    beside : Registered
        The section and its neighbours.
    maps : mapping of str to ndarray, (height, width)
        From :func:`~napari_ssan.inspection.signs.rule_maps`.
    learned : mapping of str to ndarray, (height, width)
        Logits of the network, by the kind of damage.
    """
    compared = _Compared(beside, np.max(list(learned.values()), axis=0))
    found: list[Candidate] = []
    for sign, image in maps.items():
        there = beside.masked(image)
        if sign.endswith("long"):
            found += compared.lines(sign, there)
        elif sign.endswith("broad"):
            found += compared.patches(sign, there)
        else:
            found += compared.spots(sign, there)
    for kind, logits in learned.items():
        found += compared.learned(kind, np.where(beside.valid, logits, LOWEST))
    return (*found, *_missing(beside))


class _Compared:
    """A section beside its neighbours, in which regions are told by the maps of their signs.

    Parameters
    ----------
    beside : Registered
        The section and its neighbours.
    logits : ndarray, (height, width)
        The network's highest, of any kind of damage.
    """

    def __init__(self, beside: Registered, logits: Float) -> None:
        self._beside, self._logits = beside, logits
        self._own, self._before, self._after = beside.pictures(lambda each: each.smooth)
        seen = beside.seen
        self._texture = seen.fine - np.minimum(*beside.theirs(lambda each: each.fine))
        self._sharp = gaussian_filter(seen.unit, 1.0)
        self._raised = self._sharp - gaussian_filter(seen.unit, SURROUNDINGS, truncate=2)
        self._structures = dict[int, list[Float]]()
        mean, before, after = beside.pictures(lambda each: each.means)
        self._lighter = mean - (before + after) / 2
        self._least = 0.08 * min(self._own.shape)

    def spots(self, sign: str, image: Float) -> Iterator[Candidate]:
        """Spots that are darker, lighter or less sharp."""
        by = WIDER + (RIM if sign.endswith("wide") else 0)
        for peak, region in peaks(image):
            long = is_long(region.mask, self._least)
            yield self._told(sign, peak, region, by, long, structure=sign != "soft")

    def patches(self, sign: str, image: Float) -> Iterator[Candidate]:
        """The highest of broad patches."""
        for peak, region in peaks(image, most=1):
            yield self._told(sign, peak, region, WIDER, reduction=REDUCED)

    def lines(self, sign: str, image: Float) -> Iterator[Candidate]:
        """Lines that stand out, the one that goes farthest, and the straightest one."""
        way = np.float32(1 if sign.startswith("light") else -1)
        narrow = way * self._raised
        for peak, region in peaks(image, narrow):
            told = self._told(sign, peak, region, WIDER_LINE)
            long = is_long(told.region.mask, self._least, LONG_LINE)
            yield replace(told, long=long and self._exceed(way, self._own, region) > EXCEEDS)
        for far, region in farthest(image, narrow):
            long = self._exceed(way, self._sharp, region) > EXCEEDS_FAR
            yield self._told(sign.replace("long", "far"), far, region, WIDER_LINE, long)
        for share, region in straightest(image):
            long = self._exceed(way, self._sharp, region) > EXCEEDS_FAR
            yield self._told(sign.replace("long", "straight"), share, region, WIDER_LINE, long)

    def learned(self, kind: str, logits: Float) -> Iterator[Candidate]:
        """What the network says of a kind of damage."""
        line, soft = kind in ("fold", "crack"), kind == "blur"
        for peak, region in summits(logits, BELOW_LINE if line else BELOW):
            whole = region if line or soft else wider(region, self._own)
            told = self._told(f"like {kind}", peak, whole, 0, line, structure=not soft)
            yield replace(told, logit=peak + LOWEST)

    def _told(
        self,
        sign: str,
        peak: float,
        region: Region,
        by: int,
        long: bool = False,
        *,
        structure: bool = True,
        reduction: int = 1,
    ) -> Candidate:
        """A candidate of a region that is widened by some pixels."""
        whole = wider(region, self._own, by) if by else region
        structured = structure and self._is_structured(region, reduction)
        logit = float(self._logits[whole.window][whole.mask].max())
        return Candidate(sign, peak, whole, long, structured, logit)

    def _is_structured(self, region: Region, reduction: int) -> bool:
        """Whether a region has structure, and that of a neighbour, at a reduced resolution."""
        if region.pixels < LEAST_STRUCTURE:
            return False
        rows, columns = np.nonzero(region.mask)
        rows, columns = rows + region.top, columns + region.left
        if reduction == 1:
            lighter = self._lighter[rows, columns]
            apart = lighter if lighter.mean() > 0 else -lighter
            core = apart >= np.quantile(apart, 1 - CORE)
            rows, columns = rows[core], columns[core]
        textured = TEXTURED if reduction == 1 else TEXTURED_BROAD
        if float(self._texture[rows, columns].mean()) <= textured:
            return False
        if reduction not in self._structures:
            self._structures[reduction] = (
                self._beside.pictures(lambda each: each.details)
                if reduction == 1
                else [
                    structure(each, reduction=reduction)
                    for each in (self._own, self._before, self._after)
                ]
            )
        rows, columns = rows // reduction, columns // reduction
        own, before, after = (each[rows, columns] for each in self._structures[reduction])
        likeness = max(correlation(own, before), correlation(own, after))
        return likeness > max(0.5, 0.8 * correlation(before, after))

    def _exceed(self, way: np.float32, picture: Float, region: Region) -> float:
        """By how much half of a line exceeds both neighbours.

        Beside a dark spot, usual tissue stands out as light, but does not.
        """
        part = region.window
        most = np.maximum(way * self._before[part], way * self._after[part])
        return float(np.median((way * picture[part] - most)[region.mask]))


def _flat(seen: Sighting) -> Float:
    return seen.flat.astype(np.float32)


def _missing(beside: Registered) -> Iterator[Candidate]:
    """Margins that are constant in a section, but not in its neighbours."""
    flat = beside.seen.flat
    if not flat.any():
        return
    for each in beside.theirs(_flat):
        flat = flat & ~binary_dilation(each > 0, CROSS, iterations=3)
    pieces, _ = label(flat, CROSS)
    edge = {*pieces[0], *pieces[-1], *pieces[:, 0], *pieces[:, -1]} - {0}
    for piece in edge:
        mask = pieces == piece
        share = float(mask.mean()) ** 0.5
        yield Candidate("flat", share, wider(Region.from_mask(mask), flat))
