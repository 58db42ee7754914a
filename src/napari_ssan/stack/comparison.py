"""Compares a section with its neighbour, and with the rest of the stack.

This measures; :mod:`~napari_ssan.stack.selection` decides which triplets to leave out. What is
usual is taken from the stack itself, so one section alone cannot be judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.feature import match_template
from skimage.filters import difference_of_gaussians

from napari_ssan.stack.alignment import GAIN, GRAIN
from napari_ssan.stack.intensity import QUANTILES, SPAN, Float, Intensity, measure
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack, middle
from napari_ssan.stack.source import Source

#: Reasons to leave out a triplet; the first that applies counts.
MARKED, DAMAGED, DIFFERENT, BLURRED = "marked", "damaged", "too different", "unlike in blur"
REASONS = (MARKED, DAMAGED, DIFFERENT, BLURRED)

#: Fewest sections that can tell what is usual in a stack.
ENOUGH = 7
#: A section is an outlier if it differs from the stack's median by this many robust standard
#: deviations ...
DEVIATIONS = 3.0
#: ... and by this share of the usual contrast: mean, contrast, dark end and bright end.
DEPARTURE = np.array([0.75, 0.5, 0.75, 0.75])
#: Indices of the quantiles that stand for the dark and the bright end.
ENDS = [int(np.searchsorted(QUANTILES, share)) for share in (0.01, 0.99)]
#: Neighbours are too different if their correlation is below this share of the usual one.
LIKENESS = 0.6
#: The same for a tile, where correlation varies more because it shows less.
TILE_LIKENESS = 0.3
#: If the usual correlation is below this, sections of the stack do not resemble each other.
UNRELATED = 0.15
#: Sections are unlike in blur if their share of fine detail differs by this factor.
BLUR_FACTOR = 1.5
#: A crop is blank (resin, black padding) if its contrast is below this share of its section's.
BLANK = 0.1
#: Largest side of the patch that is searched for in the next section, in pixels, ...
PATCH = 384
#: ... and how far it is searched for to each side.
MARGIN = 64

Shift = tuple[int, int]


@dataclass
class SectionFigures:
    """Measurements of a section.

    Attributes
    ----------
    intensity : Intensity
        Intensity of the pixels that are not marked.
    detail : float
        Share of fine detail in the contrast; blur lowers it.
    patch : ndarray of float32 or None
        Structure of its middle, for the comparison with the next section; None afterwards.
    """

    intensity: Intensity
    detail: float = 1.0
    patch: Float | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Pair:
    """Comparison of a section with the next.

    Attributes
    ----------
    shift : (int, int)
        Rows and columns by which the section must be moved to lie on the next.
    correlation : float
        Correlation of their structure after this shift.
    """

    shift: Shift
    correlation: float


def measure_section(source: Source, z: int, closely: bool) -> SectionFigures:
    """Measure a section in the middle of the source's area, at most 1024 x 1024 pixels.

    Parameters
    ----------
    source : Source
        The source; marked pixels do not count.
    z : int
    closely : bool
        Also measure blur and structure.
    """
    pixels = source.stack.read(z, source.field)
    marked = source.avoided.mask(z, source.field)
    marks = None
    if marked is not None and marked.any():
        marks = Marks(regions={0: [Region.from_mask(marked)]})
    intensity = measure(SliceStack(pixels[None]), 0, marks)
    if not closely or not intensity.usable:
        return SectionFigures(intensity)
    if marked is not None:
        pixels = np.where(marked, intensity.mean, pixels)
    unit = intensity.normalize(pixels[middle(pixels.shape, PATCH + 2 * MARGIN)])
    return SectionFigures(intensity, _detail(unit), _structure(unit))


def match_sections(before: SectionFigures, after: SectionFigures) -> Pair:
    """Find the middle of a section in the next one, by template matching.

    A shift is accepted only if the sections then correlate clearly better.
    """
    if before.patch is None or after.patch is None:
        return Pair((0, 0), 0.0)
    margins = [min(MARGIN, n // 8) for n in before.patch.shape]
    rows, columns = (slice(m, n - m) for m, n in zip(margins, before.patch.shape, strict=True))
    scores = match_template(after.patch, before.patch[rows, columns])
    best = np.unravel_index(int(scores.argmax()), scores.shape)
    still = float(scores[margins[0], margins[1]])
    if float(scores[best]) <= still + GAIN:
        return Pair((0, 0), still)
    return Pair((int(best[0]) - margins[0], int(best[1]) - margins[1]), float(scores[best]))


def outliers(sections: dict[int, Intensity]) -> set[int]:
    """Find sections whose brightness or contrast is far from usual."""
    figures = np.array([[i.mean, i.std, *i.quantiles[ENDS]] for i in sections.values()])
    departure = np.abs(figures - np.median(figures, axis=0))
    deviation = 1.4826 * np.median(departure, axis=0)
    contrast = float(np.median(figures[:, 1]))
    far = (departure > DEVIATIONS * deviation) & (departure > DEPARTURE * contrast)
    return {z for z, out in zip(sections, far.any(axis=1), strict=True) if out}


def flaw(crops: Sequence[Float], level: float) -> str | None:
    """Say why aligned tiles of a good triplet are not fit to learn from.

    Parameters
    ----------
    crops : sequence of ndarray of float32
        Each normalized by its section, with the target in the middle.
    level : float
        Usual correlation of neighbours, :attr:`Selection.level`.

    Returns
    -------
    str or None
        One of :data:`REASONS`; None if the tiles are fit.
    """
    if is_blank(crops):
        return DAMAGED
    before, target, after = (_structure(crop).ravel() for crop in crops)
    likeness = min(np.corrcoef(target, outer)[0, 1] for outer in (before, after))
    if level >= UNRELATED and likeness < TILE_LIKENESS * level:
        return DIFFERENT
    details = [_detail(crop) for crop in crops]
    return BLURRED if max(details) > BLUR_FACTOR * min(details) else None


def is_blank(crops: Sequence[Float]) -> bool:
    """Whether a crop, normalized by its section, has almost no contrast."""
    return min(float(crop.std()) for crop in crops) < BLANK / SPAN


def _structure(unit: Float) -> Float:
    """Remove grain and slow shading from a section."""
    banded: Float = difference_of_gaussians(unit, GRAIN, 8 * GRAIN)
    return banded


def _detail(unit: Float) -> float:
    """Share of the contrast that a Gaussian of 2 pixels removes; blur lowers it."""
    contrast = float(unit.std())
    return float((unit - gaussian_filter(unit, GRAIN)).std()) / contrast if contrast else 0.0
