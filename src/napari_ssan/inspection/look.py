"""One look at a section: what is measured of it by itself.

Whole sections are compared in :mod:`~napari_ssan.inspection.neighbours`. Easy to get wrong: a
sighting is scaled by its own median and MAD (median absolute deviation), so its pictures do not
show how bright the section is; `level` and `contrast` do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft2
from scipy.ndimage import binary_dilation, gaussian_filter, label, maximum_filter, minimum_filter

from napari_ssan.inspection.lines import Whole, around_lines, lines_of
from napari_ssan.stack.alignment import Shift, structure, taper

#: Sections with shorter sides are compared at the view's resolution, others at half of it, ...
HALVED = 384
#: ... smoothed by this many pixels.
SMOOTH = 1.5
#: Scale of spots that are even, in pixels of comparison.
SPOT = 2.6
#: Of what stands out within so many pixels of comparison, the farthest counts.
APART = 5
#: Side of the middle in which shifts are found, in pixels of comparison.
FIELD = 320
#: A section that is constant, or clipped, in this share of its pixels is blank.
MOSTLY = 0.8
#: Margins are the middles of constant squares of so many pixels, and no tissue is seen in so many
#: pixels of comparison around these.
EVEN, BESIDE = 5, 3
#: A grey value that is as common as this is no step of a scale. So many pixels tell level and
#: contrast to a hundredth of the contrast.
COMMON, ENOUGH = 0.5, 16384
MOSTLY_BLANK = "is black, white or constant in most of its pixels"
#: Median and MAD are those of every so manyth pixel of every so manyth row.
THIN = 2
#: Quadrants in which stripes are sought are this large at least, in pixels of comparison.
SMALLEST_QUADRANT = 32
#: Pixels count by so many MADs at most, and directions are compared down to this share of the mean
#: power.
CLIP, WEAK = 2.0, 0.005
#: Directions in which stripes are sought, and their shortest and longest waves, in these pixels.
DIRECTIONS, SHORTEST_WAVE, LONGEST_WAVE = 90, 2.4, 20.0
#: Parts of a section along a side in which specks are sought, the share of them that need not
#: have any, and the share of fine detail that tissue does not exceed.
PARTS, MOST_PARTS, MUCH = 8, 0.4, 0.9
#: Farther from the median, grey values and fine detail are all the same to the network.
FARTHEST = 5.0
#: MAD of a normal distribution whose standard deviation is 1.
MAD = 0.6745

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


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
        Median and scaled MAD of the grey values, each of which counts as spread over its step.
    scale : (float, float)
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
    scale: tuple[float, float] = (0.0, 1.0)
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
    typical = float(np.median(seen))
    spread = float(np.median(np.abs(seen - typical))) / MAD
    spread = spread or float(pixels[~flat].std(dtype=float))
    unit = ((pixels - np.float32(typical)) / np.float32(spread)).clip(-8, 8)
    some = seen[:: max(1, len(seen) // ENOUGH)]
    level = _grouped_median(some)
    contrast = _grouped_median(np.abs(some - np.float32(level))) / MAD or spread
    if flat.any():
        unit[maximum_filter(flat, EVEN)] = 0  # with the rim of its squares
    reduced, detail = coarse(unit), detail_of(unit)
    return Sighting(
        z,
        pixels,
        "",
        level,
        contrast,
        (typical, spread),
        _sharpness(unit),
        _stripes(middle(reduced)),
        _specks(detail),
        fine_of(detail),
        reduced,
        gaussian_filter(reduced, SMOOTH, truncate=3),
        _grain(unit),
        coarse(flat.astype(np.float32)) > 0,
        lost=lost,
    )


def _flaw(pixels: Float) -> str:
    """Say why a section has no image, in words that follow its name; empty if it has one."""
    if pixels.min() == pixels.max():
        return "is constant"
    return MOSTLY_BLANK if clipped(pixels) > MOSTLY else ""


def clipped(pixels: npt.NDArray[np.generic]) -> float:
    """Share of a section's pixels that have its lowest value, or its highest if there are more."""
    return max(float(np.mean(pixels == end)) for end in (pixels.min(), pixels.max()))


def _grouped_median(values: Float) -> float:
    """The median, where pixels of one grey value count as spread evenly over its step."""
    value = float(np.median(values))
    below, above = values[values < value], values[values > value]
    same = 1 - (len(below) + len(above)) / len(values)
    if not 0 < same <= COMMON or not (len(below) and len(above)):
        return value
    least, most = (value + float(below.max())) / 2, (value + float(above.min())) / 2
    return least + (most - least) * (0.5 - len(below) / len(values)) / same


def _constant(pixels: Float) -> Mask:
    """Margins of a section that are constant; a constant spot inside it is part of the image."""
    still = (pixels[1:, 1:] == pixels[:-1, 1:]) & (pixels[1:, 1:] == pixels[1:, :-1])
    if still.mean() < 0.01:  # too few to form a patch that matters
        return np.zeros(pixels.shape, bool)
    pieces, _ = label(maximum_filter(pixels, EVEN) == minimum_filter(pixels, EVEN))
    edge = np.unique(np.concatenate((pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1])))
    flat: Mask = np.isin(pieces, edge[edge > 0])
    return flat


def middle(image: Float) -> Float:
    """The middle of an image at the resolution of comparison."""
    parts = (slice(max(0, (n - FIELD) // 2), (n + FIELD) // 2) for n in image.shape)
    return image[tuple(parts)]


def step(shape: tuple[int, ...]) -> int:
    """Pixels of a section of this shape along a side of those that are compared."""
    return 1 if min(shape) < HALVED else 2


def coarse(image: Float) -> Float:
    """Reduce an image to the resolution at which sections are compared."""
    return image if step(image.shape) == 1 else halved(image)


def halved(image: Float) -> Float:
    """Join 2 x 2 pixels into their mean."""
    height, width = (n // 2 for n in image.shape)
    image = image[: 2 * height, : 2 * width]
    joined: Float = image[::2, ::2] + image[1::2, ::2]
    joined += image[::2, 1::2]
    joined += image[1::2, 1::2]
    return joined / np.float32(4)


def _sharpness(unit: Float) -> Float:
    inner = unit[1:-1, 1:-1]
    along = (unit[2:, 1:-1], unit[1:-1, 2:], unit[2:, 2:], unit[2:, :-2])
    steps = np.array([np.abs(each[::THIN] - inner[::THIN]).mean() for each in along])
    broad = gaussian_filter(halved(halved(unit)), 1)
    scale = float((broad - gaussian_filter(broad, 4)).std())
    return np.log((steps + 1e-3) / (scale + 1e-3)).astype(np.float32)


def _stripes(image: Float) -> float:
    """How much stronger a section varies across its stripes than in most directions.

    Stripes of whatever kind run through all four quadrants, unlike a fold or a scratch. They
    vary in one direction, so that their spectrum lies on a ray.
    """
    height, width = (n // 2 for n in image.shape)
    if min(height, width) < SMALLEST_QUADRANT:
        return 0.0
    along = []
    for top in (0, height):
        for left in (0, width):
            part = image[top : top + height, left : left + width].clip(-CLIP, CLIP)
            power = np.square(np.abs(rfft2(taper(part))))
            rays = power[_rays(part.shape)]
            usual = np.median(rays, axis=0) + WEAK * power.mean() + 1e-6
            along.append((rays / usual).mean(axis=1))
    least = np.min(along, axis=0)
    return float(np.log((least.max() + 1e-6) / (np.median(least) + 1e-6)))


@lru_cache(maxsize=8)
def _rays(shape: tuple[int, int]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of a spectrum from `rfft2` along rays, (directions, frequencies) each."""
    side = min(shape)
    frequencies = np.arange(side / LONGEST_WAVE, side / SHORTEST_WAVE) / side
    turns = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    rows, columns = np.outer(np.sin(turns), frequencies), np.outer(np.cos(turns), frequencies)
    # The spectrum of a real image ends at half of its columns; what is left of 0 lies opposite.
    rows, columns = np.where(columns < 0, -rows, rows) * shape[0], np.abs(columns) * shape[1]
    return rows.round().astype(int) % shape[0], columns.round().astype(int)


def _specks(detail: Float) -> float:
    """How strong the strongest fine detail is in most parts of a section."""
    rows, columns = (n // PARTS for n in detail.shape)
    if not min(rows, columns):
        return 0.0
    cut = detail[: PARTS * rows, : PARTS * columns].reshape(PARTS, rows, PARTS, columns)
    strongest = np.quantile(cut.max(axis=(1, 3)), MOST_PARTS)
    much = np.quantile(detail[::THIN, ::THIN], MUCH)
    return float(np.log((strongest + 1e-6) / (much + 1e-6)))


def detail_of(unit: Float) -> Float:
    """Fine detail of a section, squared."""
    return np.square(unit - gaussian_filter(unit, 1.2, truncate=2.5))


def fine_of(detail: Float) -> Float:
    """Logarithm of local fine detail, at the resolution of comparison."""
    local = gaussian_filter(coarse(detail), 2.5, truncate=3)
    # Where there is little to see, such as in resin, less of it is no blur.
    logarithm: Float = np.log(local + 0.2 * float(np.median(local)) + 1e-6)
    return logarithm


def means_of(smooth: Float) -> Float:
    """A smoothed picture, smoothed by the scale of even spots."""
    means: Float = gaussian_filter(smooth, SPOT, truncate=3)
    return means


def evidence(unit: Float, fine: Float) -> Float:
    """Grey values, and fine detail beside its median, within limits: (2, height, width)."""
    pictures = np.stack((unit, fine - np.float32(np.median(fine))), dtype=np.float32)
    return pictures.clip(-FARTHEST, FARTHEST, out=pictures)


def _grain(unit: Float) -> Float:
    middle = unit[tuple(slice(max(0, n // 2 - 128), n // 2 + 128) for n in unit.shape)]
    return middle - gaussian_filter(middle, 1)
