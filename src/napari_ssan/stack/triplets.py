"""Triplets: two sections and the one between them, cut out for training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import zoom as resample

from napari_ssan.errors import BadInput
from napari_ssan.stack.intensity import Float, Intensity, measure
from napari_ssan.stack.sections import SliceStack

#: How often the outer sections of a triplet lie 2, 3, 4 sections apart.
SPANS = {2: 0.7, 3: 0.2, 4: 0.1}


@dataclass(frozen=True)
class Triplet:
    """Crops at one place of three sections, each normalized by its own section.

    Attributes
    ----------
    previous, target, following : ndarray of float32, (size, size)
        Around 0.5, six deviations to a unit.
    position : float
        Where `target` lies: 0 at `previous`, 1 at `following`.
    """

    previous: Float
    target: Float
    following: Float
    position: float


@dataclass(frozen=True)
class Source:
    """Sections of a stack that triplets are drawn from.

    Attributes
    ----------
    stack : SliceStack
        The stack.
    start, stop : int
        First section, and the one after the last.
    spacing : int
        Distance of sections that count as adjacent: 4 or 5 makes an isotropic
        stack look like a serial one.
    """

    stack: SliceStack
    start: int = 0
    stop: int = 0
    spacing: int = 1


class TripletSampler:
    """Endless, seeded stream of augmented triplets from several sources.

    Every source is drawn equally often. Crops are flipped, turned by 90° and
    zoomed (voxel sizes differ between laboratories); the temporal order needs
    no augmentation, since the network is symmetric in it.

    Parameters
    ----------
    sources : list of Source
        Where to draw from.
    size : int
        Height and width of a crop, in pixels.
    seed : int
        The stream is a function of it.
    zoom : float
        Crops are magnified by up to this factor, or reduced by it.
    jitter : float
        Standard deviation of the relative gain and, in tenths of the network's
        scale, of the offset of an outer section.

    Raises
    ------
    BadInput
        If a source has no three usable sections or is smaller than a crop.
    """

    def __init__(
        self,
        sources: list[Source],
        size: int,
        seed: int,
        zoom: float = 1.6,
        jitter: float = 0.05,
    ) -> None:
        self.sources = sources
        self.size, self.zoom, self.jitter = size, zoom, jitter
        self.random = np.random.default_rng(seed)
        self._intensity: list[dict[int, Intensity]] = []
        for source in sources:
            usable = {}
            for z in range(source.start, source.stop):
                intensity = measure(source.stack, z)
                if intensity.usable:
                    usable[z] = intensity
            if not any(
                {z + source.spacing, z + 2 * source.spacing} <= usable.keys() for z in usable
            ):
                raise BadInput(
                    "A stack to train on needs three good sections in a row; "
                    f"sections {source.start} to {source.stop - 1} hold none."
                )
            if min(source.stack.shape[1:]) < size:
                raise BadInput(
                    f"Sections of {source.stack.shape[1:]} pixels are smaller than a training "
                    f"crop of {size}; choose a smaller crop or a larger stack."
                )
            self._intensity.append(usable)

    def __iter__(self) -> Iterator[Triplet]:
        while True:
            yield self._draw()

    def _draw(self) -> Triplet:
        number = int(self.random.integers(len(self.sources)))
        source, usable = self.sources[number], self._intensity[number]
        while True:
            span = int(self.random.choice(list(SPANS), p=list(SPANS.values())))
            first = int(self.random.choice(list(usable)))
            inside = int(self.random.integers(1, span))
            sections = [first + source.spacing * step for step in (0, inside, span)]
            if usable.keys() >= set(sections):
                break
        window, zoom = self._window(source.stack)
        crops = [usable[z].normalize(source.stack.read(z, window)) for z in sections]
        previous, target, following = self._turn([self._fit(crop, zoom) for crop in crops])
        return Triplet(self._shade(previous), target, self._shade(following), inside / span)

    def _window(self, stack: SliceStack) -> tuple[tuple[slice, slice], float]:
        _, height, width = stack.shape
        zoom = 1.0
        if self.random.random() < 0.5:
            zoom = float(np.exp(self.random.uniform(-1, 1) * np.log(self.zoom)))
        extent = min(int(np.ceil(self.size / zoom)), height, width)
        top = int(self.random.integers(height - extent + 1))
        left = int(self.random.integers(width - extent + 1))
        return (slice(top, top + extent), slice(left, left + extent)), self.size / extent

    def _fit(self, crop: Float, zoom: float) -> Float:
        if crop.shape == (self.size, self.size):
            return crop
        fitted: Float = resample(crop, zoom, order=1, mode="nearest", grid_mode=True)
        return fitted[: self.size, : self.size]

    def _turn(self, crops: list[Float]) -> list[Float]:
        turns, flip = int(self.random.integers(4)), self.random.random() < 0.5
        turned = [np.rot90(crop, turns) for crop in crops]
        return [np.ascontiguousarray(crop[:, ::-1] if flip else crop) for crop in turned]

    def _shade(self, crop: Float) -> Float:
        gain, offset = self.random.normal(0, self.jitter, 2)
        shaded: Float = ((crop - 0.5) * (1 + gain) + 0.5 + offset / 10).astype(np.float32)
        return shaded
