"""One look at a section: what is measured of it by itself.

Whole sections are compared in :mod:`~napari_ssan.inspection.neighbours`. Easy to get wrong: a
sighting is scaled by its own median and MAD (median absolute deviation), so its pictures do not
show how bright the section is; `level` and `contrast` do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter, label, maximum_filter, minimum_filter

from napari_ssan.inspection.figures import clipped, level_and_contrast, sharpness, specks, stripes
from napari_ssan.inspection.lines import Whole, around_lines, lines_of
from napari_ssan.inspection.pictures import (
    SMOOTH,
    THIN,
    Float,
    Mask,
    Scale,
    coarse,
    detail_of,
    evidence,
    fine_of,
    grain,
    means_of,
    middle,
    scale_of,
)
from napari_ssan.stack.alignment import Shift, structure

#: Of what stands out within so many pixels of comparison, the farthest counts.
APART = 5
#: A section that is constant, or clipped, in this share of its pixels is blank.
MOSTLY = 0.8
#: Margins are the middles of constant squares of so many pixels, and no tissue is seen in so many
#: pixels of comparison around these.
EVEN, BESIDE = 5, 3
#: So many pixels tell level and contrast to a hundredth of the contrast.
MANY = 16384
#: The scale of a section that shows nothing.
UNSCALED = Scale(0.0, 1.0)
MOSTLY_BLANK = "is black, white or constant in most of its pixels"


@dataclass
class Sighting:
    """What was seen of a section.

    Attributes
    ----------
    z : int
        The section.
    pixels : ndarray, (height, width) of the view
        As they were read; the median in place of what is not finite.
    flaw : str
        Why there is nothing to see; empty for a section with an image. The rest is then unset.
    level, contrast : float
        Median and scaled MAD, in grey values, each of which counts as spread over its step.
    scale : Scale
        Median and scaled MAD as they are, by which the pictures are scaled.
    sharpness : ndarray, (4,)
        Logarithm of fine detail along rows, columns and both diagonals, divided by coarse detail.
    stripes : float
        Logarithm of how much more there is in one direction than in most, in all quadrants.
    specks : float
        Logarithm of fine detail at its strongest, in most parts of the section, divided by much
        of what there is.
    fine : ndarray, (height, width) at the resolution of comparison
        Logarithm of local fine detail.
    unit, smooth : ndarray, (height, width) at the resolution of comparison
        Grey values in MADs from the median, as they are and smoothed.
    grain : ndarray
        What smoothing took away in the middle of the section.
    flat : ndarray of bool
        Constant margins, at the resolution of comparison.
    offsets, shifts : dict of int to (float, float)
        How far other sections seem to lie from this one, and how far they must be moved to
        lie on it, as far as it was asked.
    lost : ndarray of bool, or None
        Pixels that are not finite, at the resolution of comparison; None if all are.
    """

    z: int
    pixels: Float = field(repr=False)
    flaw: str = ""
    level: float = 0.0
    contrast: float = 1.0
    scale: Scale = UNSCALED
    sharpness: Float = field(default_factory=lambda: np.zeros(4, np.float32))
    stripes: float = 0.0
    specks: float = 0.0
    fine: Float = field(default_factory=lambda: np.zeros((0, 0), np.float32), repr=False)
    unit: Float = field(default_factory=lambda: np.zeros((0, 0), np.float32), repr=False)
    smooth: Float = field(default_factory=lambda: np.zeros((0, 0), np.float32), repr=False)
    grain: Float = field(default_factory=lambda: np.zeros((0, 0), np.float32), repr=False)
    flat: Mask = field(default_factory=lambda: np.zeros((0, 0), bool), repr=False)
    offsets: dict[int, Shift] = field(default_factory=dict, repr=False)
    shifts: dict[int, Shift] = field(default_factory=dict, repr=False)
    lost: Mask | None = field(default=None, repr=False)

    @cached_property
    def structure(self) -> Float:
        """Structure in the middle of the section, by which shifts are found."""
        return structure(middle(self.smooth)).astype(np.float32)

    @cached_property
    def tissue(self) -> Float:
        """`smooth`, not finite in constant margins and beside them."""
        if not self.flat.any():
            return self.smooth
        margins = binary_dilation(self.flat, iterations=BESIDE)
        return np.where(margins, np.float32(np.nan), self.smooth)

    @cached_property
    def details(self) -> Float:
        """Structure of the whole section at the resolution of comparison, without shading."""
        return structure(self.smooth, reduction=1).astype(np.float32)

    @cached_property
    def means(self) -> Float:
        """`smooth`, smoothed further: (height, width) at the resolution of comparison, in MADs."""
        return means_of(self.smooth)

    @cached_property
    def standing_out(self) -> Float:
        """By how much what is small is lighter than what is around it; darker if negative.

        (height, width) at the resolution of comparison, in MADs.
        """
        return self.smooth - self.means

    @cached_property
    def summits(self) -> dict[int, Float]:
        """How far each small thing stands out, (number,), in MADs: dark ones by -1, light by 1."""
        tops = {-1: minimum_filter, 1: maximum_filter}
        return {
            way: self.standing_out[self.standing_out == top(self.standing_out, APART)]
            for way, top in tops.items()
        }

    @cached_property
    def evidence(self) -> Float:
        """What the network sees: grey values and fine detail, (2, height, width)."""
        return evidence(self.unit, self.fine)

    @cached_property
    def lines(self) -> Whole:
        """Light lines, and dark ones as negative: (directions, height, width)."""
        return lines_of(self.unit)

    @cached_property
    def near_light(self) -> Whole:
        """The lightest lines near each pixel, of the same shape."""
        return around_lines(self.lines)

    @cached_property
    def near_dark(self) -> Whole:
        """The same of dark lines, as positive numbers."""
        return around_lines(-self.lines)

    def prepared(self) -> Sighting:
        """The same, with all that a comparison asks for: threads would wait for each other.

        Up to Python 3.11, only one thread at a time makes a cached property, of whatever section.
        """
        if not self.flaw:
            for name, each in vars(type(self)).items():
                if isinstance(each, cached_property):
                    getattr(self, name)
        return self


def look(z: int, pixels: Float) -> Sighting:
    """Measure the (height, width) pixels of a section."""
    finite, lost = np.isfinite(pixels), None
    if finite.mean() < 1 - MOSTLY:
        return Sighting(
            z, pixels, "has no values (NaN, infinite or beyond 1e30) in most of its pixels"
        )
    if not finite.all():
        lost = coarse((~finite).astype(np.float32)) > 0
        pixels = np.where(finite, pixels, np.median(pixels[finite]))
    if (why := _flaw(pixels)) or (flat := _constant(pixels)).mean() > MOSTLY:
        return Sighting(z, pixels, why or MOSTLY_BLANK)
    seen = pixels[::THIN, ::THIN][~flat[::THIN, ::THIN]]
    scale = scale_of(seen)
    unit = ((pixels - np.float32(scale.level)) / np.float32(scale.contrast)).clip(-8, 8)
    level, contrast = level_and_contrast(seen[:: max(1, len(seen) // MANY)])
    if flat.any():
        unit[maximum_filter(flat, EVEN)] = 0  # with the rim of its squares
    reduced, detail = coarse(unit), detail_of(unit)
    return Sighting(
        z,
        pixels,
        "",
        level,
        contrast or scale.contrast,
        scale,
        sharpness(unit),
        stripes(middle(reduced)),
        specks(detail),
        fine_of(detail),
        reduced,
        gaussian_filter(reduced, SMOOTH, truncate=3),
        grain(unit),
        coarse(flat.astype(np.float32)) > 0,
        lost=lost,
    )


def _flaw(pixels: Float) -> str:
    """Say why a section has no image, in words that follow its name; empty if it has one."""
    if pixels.min() == pixels.max():
        return "is constant"
    return MOSTLY_BLANK if clipped(pixels) > MOSTLY else ""


def _constant(pixels: Float) -> Mask:
    """Margins of a section that are constant; a constant spot inside it is part of the image."""
    still = (pixels[1:, 1:] == pixels[:-1, 1:]) & (pixels[1:, 1:] == pixels[1:, :-1])
    if still.mean() < 0.01:  # too few to form a patch that matters
        return np.zeros(pixels.shape, bool)
    pieces, _ = label(maximum_filter(pixels, EVEN) == minimum_filter(pixels, EVEN))
    edge = np.unique(np.concatenate((pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1])))
    flat: Mask = np.isin(pieces, edge[edge > 0])
    return flat
