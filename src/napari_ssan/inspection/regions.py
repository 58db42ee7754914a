"""Finds regions of a section that are unlike those of both neighbours.

A region is odd where the section lies beyond both neighbours while these agree with each other:
darker, lighter, less sharp, or constant. Easy to get wrong: every section has such regions,
since tissue changes; how odd is unusual is decided in :mod:`~napari_ssan.inspection.judge`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import (
    binary_dilation,
    distance_transform_edt,
    find_objects,
    gaussian_filter,
    label,
)
from skimage.segmentation import flood

from napari_ssan.inspection.lines import SURROUNDINGS
from napari_ssan.inspection.look import Float, Mask, Sighting
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
#: Fine detail can be seen in a region if what it has, less what the neighbour with less of it has,
#: is more than this, as logarithms.
TEXTURED = -0.7
#: Lower logits of the network say nothing, and only the highest peak of those that are faint
#: counts. Pixels belong to a peak down to a logit that is doubtful, or so much below the peak.
LOWEST, FAINT, DOUBTFUL, BELOW, BELOW_LINE = -8.0, -3.0, -1.0, 2.5, 4.0
#: Most regions of a kind in a section.
MOST = 3
#: Pixels by which a region, and a line, are widened to cover the damage.
WIDER, WIDER_LINE = 2, 1
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
    textured : bool
        Whether fine detail can be seen in it.
    agrees : bool
        Whether its structure agrees with that of the neighbours.
    logit : float
        The network's highest logit in it, of any kind of damage; 0 if it was not asked.
    chance : float
        Of a spot, how probable it is that a neighbour goes on with it by chance; 1 if none does.
    """

    sign: str
    peak: float
    region: Region
    long: bool = False
    textured: bool = False
    agrees: bool = False
    logit: float = 0.0
    chance: float = 1.0


def odd_regions(
    seen: Sighting,
    pictures: tuple[Float, Float, Float],
    maps: dict[str, Float],
    learned: dict[str, Float],
    fine: list[Float],
    flat: list[Mask],
    valid: Mask,
) -> tuple[Candidate, ...]:
    """Find regions that might be damaged.

    Parameters
    ----------
    seen : Sighting
        The section.
    pictures : tuple of ndarray, (height, width)
        The section and its two neighbours, registered, smoothed, at the resolution of comparison.
    maps : dict of str to ndarray, (height, width)
        From :func:`rule_maps`.
    learned : dict of str to ndarray, (height, width)
        Logits of the network, by the kind of damage.
    fine, flat : list of ndarray, (height, width)
        Fine detail of both neighbours, and where they are constant.
    valid : ndarray of bool, (height, width)
        Where all three can be seen.
    """
    own, before, after = pictures
    sharp = gaussian_filter(seen.unit, 1.0)
    raised = sharp - gaussian_filter(seen.unit, SURROUNDINGS, truncate=2)
    narrow = {"light long": raised, "dark long": -raised}
    inside = valid & ~(seen.flat | flat[0] | flat[1])
    highest: Float = np.max(list(learned.values()), axis=0)
    found = []

    def seen_in(region: Region) -> float:
        return float(highest[region.window][region.mask].max())

    def there(region: Region, structure: bool = True, reduction: int = 1) -> tuple[bool, bool]:
        """Whether a region has fine detail, and whether its structure is the neighbours'."""
        texture = float((seen.fine - np.minimum(*fine))[region.window][region.mask].mean())
        return texture > TEXTURED, structure and _agrees(own, before, after, region, reduction)

    def exceeds(picture: Float, region: Region, sign: str, by: float) -> bool:
        """Whether much of a line does: beside a dark spot, usual tissue stands out as light."""
        way, part = np.float32(1 if sign == "light long" else -1), region.window
        excess = way * picture[part] - np.maximum(way * before[part], way * after[part])
        return float(np.median(excess[region.mask])) > by

    for sign, image in maps.items():
        broad, line = sign.endswith("broad"), sign in narrow
        highest_peaks = _peaks(np.where(inside, image, 0), narrow.get(sign), 1 if broad else MOST)
        for peak, region in highest_peaks:
            mask = region.mask
            textured, agrees = there(region, sign != "soft", REDUCED if broad else 1)
            by = WIDER_LINE if line else WIDER + (RIM if sign.endswith("wide") else 0)
            wider, least = _wider(region, own, by), 0.08 * min(own.shape)
            long = is_long(wider.mask, least, LONG_LINE) if line else is_long(mask, least)
            long = long and not broad
            if line:
                long = long and exceeds(own, region, sign, EXCEEDS)
            found.append(Candidate(sign, peak, wider, long, textured, agrees, seen_in(wider)))
        if sign in narrow:
            for far, region in _farthest(np.where(inside, image, 0), narrow[sign]):
                wider, name = _wider(region, own, WIDER_LINE), sign.replace("long", "far")
                long = exceeds(sharp, region, sign, EXCEEDS_FAR)
                found.append(Candidate(name, far, wider, long, *there(region), seen_in(wider)))
    for kind, logits in learned.items():
        long, soft = kind in ("fold", "crack"), kind == "blur"
        below = BELOW_LINE if long else BELOW
        for peak, found_region in _summits(np.where(inside, logits, LOWEST), below):
            region = found_region if long or soft else _wider(found_region, own)
            found.append(
                Candidate(
                    f"like {kind}", peak, region, long, *there(region, not soft), peak + LOWEST
                )
            )
    gone = seen.flat & ~binary_dilation(flat[0] & valid, iterations=3)
    gone &= ~binary_dilation(flat[1] & valid, iterations=3)
    pieces, number = label(gone)
    edge = {*pieces[0], *pieces[-1], *pieces[:, 0], *pieces[:, -1]} - {0}
    for piece in edge if number else ():
        mask = pieces == piece
        share = float(mask.mean()) ** 0.5
        found.append(Candidate("flat", share, _wider(Region.from_mask(mask), own)))
    return tuple(found)


def is_long(mask: Mask, least: float, ratio: float = LONG) -> bool:
    """Whether marked pixels form a line: much longer than wide, and `least` pixels or more."""
    return float(mask.sum()) > ratio * half_width(mask) ** 2 and max(mask.shape) > least


def half_width(mask: Mask) -> float:
    """Half of the greatest width of what is marked, in pixels."""
    return float(distance_transform_edt(np.pad(mask, 1)).max())


def _peaks(image: Float, narrow: Float | None, most: int) -> list[tuple[float, Region]]:
    """The highest peaks of a map, and the pixels that belong to each.

    Where a map is blurred, a second one tells which of the pixels belong: `narrow`.
    """
    left, found = image.copy(), []
    for _ in range(most):
        top = tuple(int(n) for n in np.unravel_index(left.argmax(), left.shape))
        peak = float(left[top])
        if peak <= 0:
            break
        below = (1 - (EDGE if narrow is None else EDGE_OF_LINES)) * peak
        whole = Region.from_mask(flood(left, top, connectivity=1, tolerance=below))
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
        top = tuple(int(n) for n in np.unravel_index(left.argmax(), left.shape))
        peak = float(left[top])
        if peak <= LOWEST or (found and peak < FAINT):
            break
        down = max(below, peak - DOUBTFUL)
        mask = flood(left, top, connectivity=1, tolerance=down)
        left[mask] = LOWEST
        found.append((peak - LOWEST, Region.from_mask(mask)))
    return found


def _grown(mask: Mask, by: int, top: int, left: int, shape: tuple[int, ...]) -> Mask:
    """A mask that is widened by some pixels to each side, cut to the section."""
    grown = binary_dilation(np.pad(mask, by), iterations=by)
    ends = (top + mask.shape[0] + by - shape[0], left + mask.shape[1] + by - shape[1])
    rows, columns = (
        slice(max(0, by - first), grown.shape[axis] - max(0, ends[axis]))
        for axis, first in enumerate((top, left))
    )
    return grown[rows, columns]


def _wider(region: Region, section: Float, by: int = WIDER) -> Region:
    """A region that is widened to cover the damage."""
    top, left = region.top, region.left
    mask = _grown(region.mask, by, top, left, section.shape)
    return Region.from_mask(mask, max(0, top - by), max(0, left - by))


def _agrees(own: Float, before: Float, after: Float, region: Region, reduction: int = 1) -> bool:
    """Whether a region's structure is that of the neighbours, apart from level and contrast."""
    if region.pixels < 80:
        return False
    part = tuple(slice(max(0, span.start - 8), span.stop + 8) for span in region.window)
    chosen = np.zeros(own.shape, bool)
    chosen[region.window] = region.mask
    chosen = chosen[part][::reduction, ::reduction]
    pictures = [structure(each[part], reduction=reduction)[chosen] for each in (own, before, after)]
    likeness = max(correlation(pictures[0], pictures[1]), correlation(pictures[0], pictures[2]))
    return likeness > max(0.5, 0.8 * correlation(pictures[1], pictures[2]))
