"""Finds regions of a section that are unlike those of both neighbours.

A region is odd where the section lies beyond both neighbours while these agree with each other:
darker, lighter, less sharp, or constant. Easy to get wrong: every section has such regions,
since tissue changes; how odd is unusual is decided in :mod:`~napari_ssan.inspection.judge`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import (
    binary_dilation,
    distance_transform_edt,
    find_objects,
    gaussian_filter,
    generate_binary_structure,
    label,
)

from napari_ssan.inspection.lines import SURROUNDINGS
from napari_ssan.inspection.look import Float, Mask, Sighting
from napari_ssan.inspection.registered import Registered
from napari_ssan.inspection.signs import REDUCED
from napari_ssan.stack.alignment import correlation, structure
from napari_ssan.stack.region import Region

#: Pixels by which the map of even spots ends before the spot does.
RIM = 4
#: A region is all that reaches this share of its peak, and is connected with it.
EDGE = 0.4
#: The same of lines, which show where their middles lie. Pixels there belong to one if they stand
#: out by this share of what the most outstanding tenth does.
EDGE_OF_LINES, RAISED, OUTSTANDING = 0.3, 0.6, 0.9
#: A region is long if it has so many times the pixels of its half width squared; a widened line.
LONG, LONG_LINE = 18, 22
#: By how much at least half of a line exceeds both neighbours, in MADs; and of one that goes far,
#: with the section less smoothed than they are, since it may be thin.
EXCEEDS, EXCEEDS_FAR = 0.3, 0.1
#: A region with fewer pixels shows no structure.
LEAST_STRUCTURE = 80
#: Fine detail can be seen in a region if what it has, less what the neighbour with less of it has,
#: is more than this, as logarithms.
TEXTURED = -0.7
#: Lower logits of the network say nothing, and only the highest peak of those that are faint
#: counts. Pixels belong to a peak down to a logit that is doubtful, or so much below the peak.
LOWEST, FAINT, DOUBTFUL, BELOW, BELOW_LINE = -8.0, -3.0, -1.0, 2.5, 4.0
#: Most regions of a kind in a section, and how far from its peak a region is sought at first.
MOST, NEAR = 3, 24
#: Pixels by which a region, and a line, are widened to cover the damage.
WIDER, WIDER_LINE = 2, 1
#: The pixels beside one.
CROSS = generate_binary_structure(2, 1)
#: A line goes as far as it stands out by so many times what this share of a section does not
#: exceed, and by this in MADs.
STANDING_OUT, TISSUE, LEAST_OUT = 1.5, 0.95, 0.02


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
    own, *others = beside.seen.flat, *(each > 0 for each in beside.theirs(_flat))
    inside = beside.valid & ~(own | others[0] | others[1])
    compared = _Compared(beside, np.max(list(learned.values()), axis=0))
    found: list[Candidate] = []
    for sign, image in maps.items():
        there = np.where(inside, image, 0)
        if sign.endswith("long"):
            found += compared.lines(sign, there)
        elif sign.endswith("broad"):
            found += compared.patches(sign, there)
        else:
            found += compared.spots(sign, there)
    for kind, logits in learned.items():
        found += compared.learned(kind, np.where(inside, logits, LOWEST))
    return (*found, *_missing(own, [each & beside.valid for each in others]))


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
        self._least = 0.08 * min(self._own.shape)

    def spots(self, sign: str, image: Float) -> Iterator[Candidate]:
        """Spots that are darker, lighter or less sharp."""
        by = WIDER + (RIM if sign.endswith("wide") else 0)
        for peak, region in _peaks(image):
            long = is_long(region.mask, self._least)
            yield self._told(sign, peak, region, by, long, structure=sign != "soft")

    def patches(self, sign: str, image: Float) -> Iterator[Candidate]:
        """The highest of broad patches."""
        for peak, region in _peaks(image, most=1):
            yield self._told(sign, peak, region, WIDER, reduction=REDUCED)

    def lines(self, sign: str, image: Float) -> Iterator[Candidate]:
        """Lines that stand out, and the one that goes farthest."""
        way = np.float32(1 if sign.startswith("light") else -1)
        narrow = way * self._raised
        for peak, region in _peaks(image, narrow):
            told = self._told(sign, peak, region, WIDER_LINE)
            long = is_long(told.region.mask, self._least, LONG_LINE)
            yield replace(told, long=long and self._exceed(way, self._own, region) > EXCEEDS)
        for far, region in _farthest(image, narrow):
            long = self._exceed(way, self._sharp, region) > EXCEEDS_FAR
            yield self._told(sign.replace("long", "far"), far, region, WIDER_LINE, long)

    def learned(self, kind: str, logits: Float) -> Iterator[Candidate]:
        """What the network says of a kind of damage."""
        line, soft = kind in ("fold", "crack"), kind == "blur"
        for peak, region in _summits(logits, BELOW_LINE if line else BELOW):
            whole = region if line or soft else _wider(region, self._own)
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
        wider = _wider(region, self._own, by) if by else region
        structured = structure and self._is_structured(region, reduction)
        logit = float(self._logits[wider.window][wider.mask].max())
        return Candidate(sign, peak, wider, long, structured, logit)

    def _is_structured(self, region: Region, reduction: int) -> bool:
        """Whether a region has structure, and that of a neighbour, at a reduced resolution."""
        textured = float(self._texture[region.window][region.mask].mean()) > TEXTURED
        if region.pixels < LEAST_STRUCTURE or not textured:
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
        rows, columns = np.nonzero(region.mask)
        rows, columns = (rows + region.top) // reduction, (columns + region.left) // reduction
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


def _missing(flat: Mask, others: list[Mask]) -> Iterator[Candidate]:
    """Margins that are constant in a section, but not in its neighbours."""
    for each in others:
        flat = flat & ~binary_dilation(each, CROSS, iterations=3)
    pieces, number = label(flat, CROSS)
    edge = {*pieces[0], *pieces[-1], *pieces[:, 0], *pieces[:, -1]} - {0}
    for piece in edge if number else ():
        mask = pieces == piece
        share = float(mask.mean()) ** 0.5
        yield Candidate("flat", share, _wider(Region.from_mask(mask), flat))


def is_long(mask: Mask, least: float, ratio: float = LONG) -> bool:
    """Whether marked pixels form a line: much longer than wide, and `least` pixels or more."""
    return float(mask.sum()) > ratio * half_width(mask) ** 2 and max(mask.shape) > least


def half_width(mask: Mask) -> float:
    """Half of the greatest width of what is marked, in pixels."""
    return float(distance_transform_edt(np.pad(mask, 1)).max())


def _peaks(
    image: Float, narrow: Float | None = None, most: int = MOST
) -> list[tuple[float, Region]]:
    """The highest peaks of a map, and the pixels that belong to each.

    Where a map is blurred, a second one tells which of the pixels belong: `narrow`.
    """
    left, found = image.copy(), []
    for _ in range(most):
        top = _highest(left)
        peak = float(left[top])
        if peak <= 0:
            break
        edge = (EDGE if narrow is None else EDGE_OF_LINES) * peak
        whole = _connected(left >= edge, top)
        mask = whole.mask
        if narrow is not None:
            mask = mask & _raised(narrow[whole.window], mask)
        rows, columns = whole.window
        left[
            max(0, rows.start - 2 * WIDER) : rows.stop + 2 * WIDER,
            max(0, columns.start - 2 * WIDER) : columns.stop + 2 * WIDER,
        ][_grown(whole.mask, 2 * WIDER, rows.start, columns.start, image.shape)] = 0
        found.append((peak, Region.from_mask(mask, whole.top, whole.left)))
    return found


def _farthest(image: Float, narrow: Float) -> list[tuple[float, Region]]:
    """The line that goes farthest, as a share of the shorter side, and what belongs to it.

    It may bend: lines of many directions join in the map. No more than one is told.
    """
    least = STANDING_OUT * float(np.quantile(image, TISSUE)) + LEAST_OUT
    pieces, _ = label(image > least, np.ones((3, 3)))
    lengths = [
        float(np.hypot(*(span.stop - span.start for span in spans)))
        for spans in find_objects(pieces)
    ]
    if not lengths:
        return []
    whole = Region.from_mask(pieces == 1 + int(np.argmax(lengths)))
    mask = whole.mask & _raised(narrow[whole.window], whole.mask)
    return [(max(lengths) / min(image.shape), Region.from_mask(mask, whole.top, whole.left))]


def _raised(values: Float, mask: Mask) -> Mask:
    """Where values stand out as far as they do in much of what is marked."""
    high = float(np.quantile(values[mask], OUTSTANDING))
    raised: Mask = values >= min(RAISED * high, high)
    return raised


def _summits(logits: Float, below: float) -> list[tuple[float, Region]]:
    """The highest peaks of the network's logits above the lowest, and what belongs to each."""
    left = logits.copy()
    found: list[tuple[float, Region]] = []
    for _ in range(MOST):
        top = _highest(left)
        peak = float(left[top])
        if peak <= LOWEST or (found and peak < FAINT):
            break
        region = _connected(left >= min(peak - below, DOUBTFUL), top)
        left[region.window][region.mask] = LOWEST
        found.append((peak - LOWEST, region))
    return found


def _highest(image: Float) -> tuple[int, int]:
    """The place of the highest pixel."""
    row, column = np.unravel_index(image.argmax(), image.shape)
    return int(row), int(column)


def _connected(mask: Mask, place: tuple[int, int]) -> Region:
    """What is marked and connected with a place: sought near it first, since most is small."""
    reach = NEAR
    while True:
        top, left = (max(0, n - reach) for n in place)
        near = mask[top : place[0] + reach + 1, left : place[1] + reach + 1]
        pieces, _ = label(near, CROSS)
        there = pieces == pieces[place[0] - top, place[1] - left]
        cut = there[0].any() or there[-1].any() or there[:, 0].any() or there[:, -1].any()
        if not cut or near.shape == mask.shape:
            return Region.from_mask(there, top, left)
        reach *= 3


def _grown(mask: Mask, by: int, top: int, left: int, shape: tuple[int, ...]) -> Mask:
    """A mask that is widened by some pixels to each side, cut to the section."""
    grown = np.zeros([n + 2 * by for n in mask.shape], bool)  # quicker than np.pad
    grown[by:-by, by:-by] = mask
    grown = binary_dilation(grown, CROSS, iterations=by)
    ends = (top + mask.shape[0] + by - shape[0], left + mask.shape[1] + by - shape[1])
    rows, columns = (
        slice(max(0, by - first), grown.shape[axis] - max(0, ends[axis]))
        for axis, first in enumerate((top, left))
    )
    return grown[rows, columns]


def _wider(region: Region, section: Float | Mask, by: int = WIDER) -> Region:
    """A region that is widened to cover the damage."""
    top, left = region.top, region.left
    mask = _grown(region.mask, by, top, left, section.shape)
    return Region(max(0, top - by), max(0, left - by), mask)
