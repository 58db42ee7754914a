"""Cuts regions out of a map: its highest peaks, the line that goes farthest, the straightest one.

Easy to get wrong: a map is often blurred, so what reaches a share of a peak is wider than the
damage; lines are cut with a second map that is not.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import (
    binary_dilation,
    distance_transform_edt,
    find_objects,
    generate_binary_structure,
    label,
    uniform_filter1d,
)
from skimage.transform import hough_line

from napari_ssan.inspection.lines import LINE
from napari_ssan.inspection.pictures import Float, Mask
from napari_ssan.stack.region import Region

#: A region is all that reaches this share of its peak, and is connected with it.
EDGE = 0.4
#: The same of lines, which show where their middles lie. Pixels there belong to one if they stand
#: out by this share of what the most outstanding tenth does.
EDGE_OF_LINES, RAISED, OUTSTANDING = 0.3, 0.6, 0.9
#: A region is long if it has so many times the pixels of its half width squared; a widened line.
LONG, LONG_LINE = 18, 22
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
#: A straight line is sought among the share of a section that stands out most, in strips of so many
#: pixels. It ends where so little of it lies beyond, and is drawn within so many pixels of its
#: middle.
MOST_OUT, STRIP, ENDS, THIN = 0.02, 3, 0.02, 0.75


def is_long(mask: Mask, least: float, ratio: float = LONG) -> bool:
    """Whether marked pixels form a line: much longer than wide, and `least` pixels or more."""
    return max(mask.shape) > least and float(mask.sum()) > ratio * half_width(mask) ** 2


def half_width(mask: Mask) -> float:
    """Half of the greatest width of what is marked, in pixels."""
    return float(distance_transform_edt(np.pad(mask, 1)).max())


def peaks(
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


def farthest(image: Float, narrow: Float) -> list[tuple[float, Region]]:
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


def straightest(image: Float) -> list[tuple[float, Region]]:
    """The straight line along which most stands out, and what belongs to it.

    Its peak is how much of it stands out, as a share of the shorter side: a scratch or the mark of
    a knife may be faint in every place, but goes on through the section (Hough transform). No more
    than one is told.
    """
    out = image > max(float(np.quantile(image, 1 - MOST_OUT)), LEAST_OUT)
    if not out.any() or min(image.shape) < STRIP:
        return []
    votes, turns, places = hough_line(out, np.radians(np.arange(-90, 90)))
    votes = uniform_filter1d(votes.astype(np.float32), STRIP, axis=0, mode="constant")
    place, turn = np.unravel_index(votes.argmax(), votes.shape)
    share = float(votes[place, turn]) / min(image.shape)
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    across, along = np.sin(turns[turn]), np.cos(turns[turn])
    beside, far = across * rows + along * columns - places[place], along * rows - across * columns
    line = np.abs(beside) <= THIN
    if not line.any():  # it only touches a corner
        return []
    first, last = np.quantile(far[out & (np.abs(beside) <= STRIP / 2)], (ENDS, 1 - ENDS))
    # Means along lines are less near an edge, since nothing lies beyond it.
    edges = float(far[line].min()), float(far[line].max())
    first, last = (
        edge if abs(end - edge) <= LINE // 2 else end
        for end, edge in zip((first, last), edges, strict=True)
    )
    mask = line & (far >= first) & (far <= last)
    return [(share, Region.from_mask(mask))] if mask.any() else []


def _raised(values: Float, mask: Mask) -> Mask:
    """Where values stand out as far as they do in much of what is marked."""
    high = float(np.quantile(values[mask], OUTSTANDING))
    raised: Mask = values >= min(RAISED * high, high)
    return raised


def summits(logits: Float, below: float) -> list[tuple[float, Region]]:
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


def wider(region: Region, section: Float | Mask, by: int = WIDER) -> Region:
    """A region that is widened to cover the damage."""
    top, left = region.top, region.left
    mask = _grown(region.mask, by, top, left, section.shape)
    return Region(max(0, top - by), max(0, left - by), mask)
