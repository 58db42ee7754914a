"""A stack at the resolution at which it is inspected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.inspection.pictures import Float, step
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import BAND_PIXELS, SliceStack

#: Pixels of a pyramid's level are at most this large, in nm.
COARSEST = 64.0
#: Sections are reduced until a side is shorter than this, in pixels.
LARGEST_SIDE, LARGEST_SIDE_NM = 660, 2048
#: A level is used if its sides are as long as this: small defects are lost in smaller ones.
SMALLEST_SIDE = 512
#: Farther from 0, grey values count as not finite: float32 has no room for what is made of them.
LARGEST = 1e30


class View:
    """A stack at the resolution at which it is inspected.

    Parameters
    ----------
    stack : SliceStack
        The stack.
    levels : sequence of SliceStack
        Its pyramid, full resolution first; the stack alone by default. Levels with fewer
        sections are not used.
    pixel : float, optional
        Side of the stack's pixels, in nm.
    level : int, optional
        The level to use. The default is the coarsest with at least 512 pixels on a side and,
        if pixels have a size, with pixels of up to 64 nm; or else the full resolution.

    Raises
    ------
    BadInput
        If there is no such level.
    """

    def __init__(
        self,
        stack: SliceStack,
        levels: Sequence[SliceStack] = (),
        pixel: float | None = None,
        level: int | None = None,
    ) -> None:
        levels = [each for each in levels or (stack,) if len(each) == len(stack)]
        if level is not None and not 0 <= level < len(levels):
            raise BadInput(
                f"There is no level {level}: the stack has {len(levels)} "
                f"level{'s' if len(levels) > 1 else ''}, counted from 0."
            )
        sizes = [stack.shape[1] / each.shape[1] for each in levels]
        fits = [
            n for n, size in enumerate(sizes)
            if min(levels[n].shape[1:]) >= SMALLEST_SIDE and (pixel or 0) * size <= COARSEST
        ]  # fmt: skip
        self.level = (fits[-1] if fits else 0) if level is None else level
        self.stack, self._read = stack, levels[self.level]
        largest = LARGEST_SIDE_NM if pixel and len(levels) > 1 else LARGEST_SIDE
        self.factor = max(1, -(-(min(self._read.shape[1:]) + 1) // largest))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sections, height and width of the view."""
        sections, height, width = self._read.shape
        return sections, height // self.factor, width // self.factor

    @property
    def step(self) -> int:
        """Pixels of the view along a side of those that are compared."""
        return step(self.shape[1:])

    def at_full_resolution(self, region: Region) -> Region:
        """A region at the resolution of comparison, at the full resolution of the stack."""
        full = self.stack.shape[1:]
        sides = [n / (size // self.step) for n, size in zip(full, self.shape[1:], strict=True)]
        spans = []
        for part, side, length in zip(region.window, sides, full, strict=True):
            places = np.arange(int(part.start * side), min(int(np.ceil(part.stop * side)), length))
            rows = np.clip((places / side).astype(int) - part.start, 0, part.stop - part.start - 1)
            spans.append((int(places[0]), rows))
        (top, rows), (left, columns) = spans
        return Region.from_mask(region.mask[np.ix_(rows, columns)], top, left)

    def read(self, z: int) -> Float:
        """Read a section, (height, width) of the view; what has no finite value is not finite."""
        n, (_, height, width) = self.factor, self.shape
        step = max(1, BAND_PIXELS // self._read.shape[2] // n)
        bands = []
        for top in range(0, height, step):
            rows = slice(top * n, min(top + step, height) * n)
            band = self._read.read(z, (rows, slice(0, width * n)))
            with np.errstate(over="ignore", invalid="ignore"):
                if n > 1:
                    blocks = band.reshape(len(band) // n, n, width, n)
                    band = blocks.mean(axis=(1, 3), dtype=np.float32)
                bands.append(band.astype(np.float32))
        pixels = np.concatenate(bands)
        pixels[np.abs(pixels) > LARGEST] = np.nan
        return pixels
