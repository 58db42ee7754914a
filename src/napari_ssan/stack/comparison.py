"""Measures sections, and registers each to the next, for triplets to learn from.

What looks broken is not decided here: an inspection finds it, and a source knows it as its damage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from skimage.filters import difference_of_gaussians

from napari_ssan.stack.alignment import GAIN, GRAIN
from napari_ssan.stack.intensity import SPAN, Float, Intensity, measure
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack, middle
from napari_ssan.stack.source import Source

#: Reasons to leave out a triplet; the first that applies counts.
MARKED, DAMAGED, DIFFERENT = "marked", "damaged", "too different"
REASONS = (MARKED, DAMAGED, DIFFERENT)

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
    patch : ndarray of float32 or None
        Structure of its middle, for the comparison with the next section; None afterwards.
    """

    intensity: Intensity
    patch: Float | None = field(default=None, repr=False)


def measure_section(source: Source, z: int, closely: bool) -> SectionFigures:
    """Measure a section in the middle of the source's area, at most 1024 x 1024 pixels.

    Parameters
    ----------
    source : Source
        The source; marked pixels do not count.
    z : int
    closely : bool
        Also keep its structure, to register it.
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
    return SectionFigures(intensity, _structure(unit))


def match_sections(before: SectionFigures, after: SectionFigures) -> Shift:
    """Rows and columns by which a section must be moved to lie on the next.

    The middle of the section is searched for in the next one, by template matching.

    A shift is accepted only if the sections then correlate clearly better.
    """
    from skimage.feature import match_template  # with SciPy's statistics, seconds to import

    if before.patch is None or after.patch is None:
        return 0, 0
    margins = [min(MARGIN, n // 8) for n in before.patch.shape]
    rows, columns = (slice(m, n - m) for m, n in zip(margins, before.patch.shape, strict=True))
    scores = match_template(after.patch, before.patch[rows, columns])
    best = np.unravel_index(int(scores.argmax()), scores.shape)
    still = float(scores[margins[0], margins[1]])
    if float(scores[best]) <= still + GAIN:
        return 0, 0
    return int(best[0]) - margins[0], int(best[1]) - margins[1]


def is_blank(crops: Sequence[Float]) -> bool:
    """Whether a crop, normalized by its section, has almost no contrast."""
    return min(float(crop.std()) for crop in crops) < BLANK / SPAN


def _structure(unit: Float) -> Float:
    """Remove grain and slow shading from a section."""
    banded: Float = difference_of_gaussians(unit, GRAIN, 8 * GRAIN)
    return banded
