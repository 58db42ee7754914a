"""By how much each pixel of a section departs from both neighbours, by the sign of damage.

Easy to get wrong: tissue moves from section to section, so what exceeds a neighbour at a pixel
must exceed all that is near it there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter

from napari_ssan.inspection.pictures import Float, halved

#: Scale of the local mean square, in pixels of comparison.
LOCAL = 2.0
#: What a loss of fine detail counts in an even spot.
SOFTER = 1.5
#: In broad patches, grey values count by so many MADs at most, at a resolution that is reduced by
#: this and smoothed by so many pixels; this share of what the neighbours differ by is taken off.
MOST_BROAD, REDUCED, BROAD, THEIRS = 3.0, 4, 6.0, 0.5
#: They are sought where a section's shorter side has so many pixels of comparison.
ROOM = 144
#: Structures may move by half of this from section to section, in these pixels.
MOVES = 5
#: What a region can be seen by: signs of damage of the same kind belong to one family.
FAMILIES = {
    **dict.fromkeys(("dark", "dark wide", "like contamination"), "dark spot"),
    **dict.fromkeys(("light", "light wide", "like hole"), "light spot"),
    **dict.fromkeys(("dark long", "dark far", "dark straight", "like fold"), "dark line"),
    **dict.fromkeys(("light long", "light far", "light straight", "like crack"), "light line"),
    **{"dark broad": "dark patch", "light broad": "light patch"},
    **dict.fromkeys(("soft", "like blur"), "soft"),
    "flat": "flat",
}
SIGNS = tuple(FAMILIES)
#: What the network says.
LEARNED_SIGNS = ("like contamination", "like hole", "like fold", "like crack", "like blur")
#: Lines, by the ends of their signs: those that are straight for a while, those that go far, and
#: those that are straight throughout. Of the last, it is not known which pixels belong to them.
TRACED, STRAIGHT = ("long", "far"), "straight"
LINES = (*TRACED, STRAIGHT)
#: Lines are told by what is around them, so that these lie beside each other.
OPPOSITE = {"dark line": "light line", "light line": "dark line"}
#: Signs of a loss of sharpness: other damage may cause it.
SOFT = ("soft", "like blur")


def rule_maps(
    unit: Float,
    fine: Float,
    pictures: Sequence[Float],
    means: Sequence[Float],
    fines: Sequence[Float],
    lines: dict[str, Float],
) -> dict[str, Float]:
    """How far each pixel of a section departs from both neighbours, by sign.

    Parameters
    ----------
    unit, fine : ndarray, (height, width)
        As in :class:`~napari_ssan.inspection.look.Sighting`.
    pictures, means : sequence of ndarray, (height, width)
        The section and its two neighbours, registered, at the resolution of comparison: smoothed,
        and smoothed further.
    fines : sequence of ndarray, (height, width)
        Fine detail of both neighbours.
    lines : dict of str to ndarray, (height, width)
        By how much dark and light lines exceed those of both neighbours.
    """
    own, before, after = pictures
    loss = np.minimum(*fines) - fine
    detailed = np.minimum(*fines) > float(np.median(fine)) - 0.5
    maps: dict[str, Float] = {"soft": np.where(detailed, loss, 0)}
    mean, mean_before, mean_after = means
    unlike, uneven = _unlike(own, before, after), _uneven(unit, mean)
    broad = [_broad(each) for each in pictures]
    for sign, way in (("dark", np.float32(-1)), ("light", np.float32(1))):
        maps[sign] = _beyond(way * own, way * before, way * after, unlike)
        maps[f"{sign} wide"] = _even(way * mean, way * mean_before, way * mean_after, uneven, loss)
        maps[f"{sign} long"] = lines[sign]
        maps[f"{sign} broad"] = _enlarged(_patch(*(way * each for each in broad)), own.shape)
    return maps


def _unlike(own: Float, before: Float, after: Float) -> Float:
    """Local difference from the nearer neighbour beyond that of both from each other, in MADs."""

    def square(difference: Float) -> Float:
        return gaussian_filter(np.square(difference), LOCAL, truncate=3)

    nearer = np.minimum(square(own - before), square(own - after))
    unlike: Float = np.sqrt((nearer - square(before - after)).clip(0))
    return unlike


def _beyond(own: Float, before: Float, after: Float, unlike: Float) -> Float:
    """By how much a section is greater than both neighbours, and unlike them, in MADs.

    The geometric mean of two amplitudes: of what is extreme in itself and exceeds both
    neighbours, and of how unlike them it is there.
    """
    extreme = np.minimum(own, 2 * (own - _around(before, after))).clip(0)
    both: Float = np.sqrt(extreme * unlike)
    return both


def _uneven(unit: Float, mean: Float) -> Float:
    """How uneven a section is around each pixel, in MADs."""
    square = gaussian_filter(
        np.square(gaussian_filter(unit, 0.7, truncate=3)), LOCAL + 1, truncate=3
    )
    uneven: Float = np.sqrt((square - np.square(mean)).clip(0))
    return uneven


def _even(mean: Float, before: Float, after: Float, uneven: Float, loss: Float) -> Float:
    """How great a broad spot is, also against both neighbours, less how uneven it is, in MADs.

    A loss of fine detail adds to it, but by no more than the spot is greater: where tissue is
    only smoother than in the neighbours, nothing is wrong.
    """
    extreme = np.minimum(mean, 2 * (mean - maximum_filter(np.maximum(before, after), 3)))
    even: Float = extreme - uneven + SOFTER * np.minimum(loss, extreme.clip(0, 2)).clip(-1)
    return even


def _around(before: Float, after: Float) -> Float:
    """The greatest of both neighbours near each pixel: what moves between sections is no damage."""
    greatest: Float = maximum_filter(np.maximum(before, after), MOVES)
    return greatest


def _broad(picture: Float) -> Float:
    """How bright broad parts of a picture are, beside its median, at a reduced resolution.

    They are 0 throughout if there is no room for them.
    """
    if min(picture.shape) < ROOM:
        return np.zeros([n // REDUCED for n in picture.shape], np.float32)
    reduced = halved(halved(picture.clip(-MOST_BROAD, MOST_BROAD)))
    smooth: Float = gaussian_filter(reduced, BROAD, truncate=3)
    return smooth - np.median(smooth)


def _patch(own: Float, before: Float, after: Float) -> Float:
    """By how much a broad part is greater than both neighbours, beyond what these differ by."""
    more: Float = np.minimum(own - before, own - after) - np.float32(THEIRS) * np.abs(
        before - after
    )
    return more


def _enlarged(image: Float, shape: tuple[int, ...]) -> Float:
    """A map at the reduced resolution, at that of comparison."""
    whole = image.repeat(REDUCED, axis=0).repeat(REDUCED, axis=1)
    rest = [(0, n - size) for n, size in zip(shape, whole.shape, strict=True)]
    return np.pad(whole, rest, mode="edge")
