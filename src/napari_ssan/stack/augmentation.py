"""Augmentation: varies triplets, so that the network learns tissue and not one microscope.

Geometry and grain change all three sections alike. Motion, noise, blur, gain and offset change
only the outer ones: the target stays real.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.ndimage import zoom as resample

from napari_ssan.stack.intensity import SPAN, Float, Float64

#: Grain is white noise, blurred by a Gaussian of up to this many pixels.
COARSEST = 1.5
#: Motion is drawn at 2 to this many points along a crop, and is smooth between them.
POINTS = 5
#: Share of the motion that is drawn for each outer section by itself.
APART = 0.2


class Augmentation(BaseModel):
    """How triplets are varied. Every value is drawn anew for each triplet."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    flip: bool = True
    """Mirror rows and columns, each in half of the triplets."""
    swap: bool = True
    """Exchange the outer sections in half of the triplets."""
    turn: bool = True
    """Turn by a multiple of 90 degrees."""
    zoom: float = Field(1.6, ge=1, le=2)
    """Half of the triplets are magnified or reduced by up to this factor, as voxel sizes differ
    between laboratories."""
    motion: float = Field(0.0, ge=0, le=64)
    """In half of the triplets tissue moves on its way from the first section to the last: by up to
    this many pixels on either side of the target, smoothly, and not quite alike on both sides."""
    uneven: float = Field(0.0, ge=0, le=1)
    """Share of the triplets of which one outer section lies one and a half times or twice as far
    from the target as the other, while the network is told that the target is the middle: sections
    are cut unevenly thick, and nobody knows which ones."""
    intensity: float = Field(0.05, ge=0)
    """How much the contrast of the outer sections varies: the standard deviation of its relative
    change. Their brightness varies by 0.6 times that, in standard deviations of the section."""
    noise: float = Field(0.0, ge=0)
    """Noise is added to the outer sections, up to this share of their contrast. The model learns
    to see through it."""
    blur: float = Field(0.0, ge=0)
    """The outer sections are blurred by a Gaussian of up to so many pixels."""
    grain: float = Field(0.0, ge=0)
    """The same kind of grain is added to all three sections, up to this share of their contrast.
    The model learns to keep it as texture."""

    def magnification(self, random: np.random.Generator) -> float:
        """Draw a factor between 1 / `zoom` and `zoom`; half of them are 1."""
        if self.zoom == 1 or random.random() < 0.5:
            return 1.0
        return float(np.exp(random.uniform(-1, 1) * np.log(self.zoom)))

    def unevenly(self, random: np.random.Generator) -> bool:
        """Draw whether the outer sections are unevenly far from the target."""
        return self.uneven > 0 and random.random() < self.uneven

    def swaps(self, random: np.random.Generator) -> bool:
        """Draw whether the outer sections are exchanged."""
        return self.swap and random.random() < 0.5

    def turned(self, crops: list[Float], random: np.random.Generator) -> list[Float]:
        """Mirror and turn all crops of a triplet in the same way."""
        turns = int(random.integers(4)) if self.turn else 0
        rows, columns = (self.flip and random.random() < 0.5 for _ in range(2))
        step = slice(None, None, -1 if rows else 1), slice(None, None, -1 if columns else 1)
        return [np.ascontiguousarray(np.rot90(crop, turns)[step]) for crop in crops]

    def grained(self, crops: list[Float], random: np.random.Generator) -> list[Float]:
        """Add grain of the same strength and coarseness to all crops of a triplet."""
        if not self.grain:
            return crops
        strength = random.uniform(0, self.grain) / SPAN
        coarseness = random.uniform(0, COARSEST)
        white = random.standard_normal((len(crops), *crops[0].shape), np.float32)
        grains = gaussian_filter(white, coarseness, mode="wrap", axes=(1, 2))
        return [
            crop + np.float32(strength / grain.std()) * grain
            for crop, grain in zip(crops, grains, strict=True)
        ]

    @property
    def margin(self) -> int:
        """Pixels around a crop from which tissue may move in."""
        return int(np.ceil(self.motion))

    def moved(
        self, crops: list[Float], position: float, random: np.random.Generator
    ) -> list[Float]:
        """Move the tissue of the outer crops, and cut the margin off all three.

        Parameters
        ----------
        crops : list of ndarray of float32, (size + 2 margin, size + 2 margin)
            First, target, last.
        position : float
            Where the target lies: 0 at the first, 1 at the last.
        random : Generator

        Returns
        -------
        list of ndarray of float32, (size, size)
        """
        inner = slice(self.margin, len(crops[1]) - self.margin)
        first, target, last = (crop[inner, inner] for crop in crops)
        if self.motion and random.random() < 0.5:
            farthest, points = random.uniform(0, self.motion), int(random.integers(2, POINTS + 1))
            between, *own = random.uniform(-1, 1, (3, 2, points, points))
            fields = [(1 - APART) * between * side for side in (2 * position, 2 * position - 2)]
            first, last = (
                _displaced(crop, farthest * (field + APART * apart), self.margin)
                for crop, field, apart in zip(crops[::2], fields, own, strict=True)
            )
        return [np.ascontiguousarray(crop) for crop in (first, target, last)]

    def disturbed(self, crop: Float, random: np.random.Generator) -> Float:
        """Blur an outer crop, add noise, and change gain and offset."""
        if self.blur:
            crop = gaussian_filter(crop, random.uniform(0, self.blur))
        if self.noise:
            strength = random.uniform(0, self.noise) / SPAN
            noise = random.standard_normal(crop.shape, np.float32)
            crop = crop + np.float32(strength) * noise
        gain, offset = random.normal(0, self.intensity, 2)
        middle, level = np.float32(0.5), np.float32(0.5 + offset / 10)
        shaded: Float = (crop - middle) * np.float32(1 + gain) + level
        return shaded


def fit(crop: Float, size: int) -> Float:
    """Magnify or reduce a square crop to a side of `size` pixels, with linear interpolation."""
    if crop.shape == (size, size):
        return crop
    last = len(crop) - 1
    at = np.clip((np.arange(size) + 0.5) * len(crop) / size - 0.5, 0, last)
    low = np.minimum(at.astype(np.intp), last - 1)
    share = (at - low).astype(np.float32)
    rows = crop[low] + share[:, None] * (crop[low + 1] - crop[low])
    left: Float = rows[:, low]
    left += share * (rows[:, low + 1] - left)
    return left


@lru_cache(maxsize=32)
def _weights(points: int, size: int) -> Float:
    """Weights of a cubic spline through `points` values for `size` values there, (size, points)."""
    units = np.eye(points, dtype=np.float32)
    return resample(units, (size / points, 1), order=3, mode="nearest", grid_mode=True)


def _displaced(crop: Float, coarse: Float64, margin: int) -> Float:
    """Move the tissue of a square crop, and cut its margin off.

    `coarse`, (2, points, points), is how far it moves, in pixels, smoothly in between.
    """
    weights = _weights(coarse.shape[-1], len(crop))[margin : len(crop) - margin]
    at = np.indices((len(weights),) * 2) + margin + weights @ coarse @ weights.T
    return map_coordinates(crop, at, np.float32, order=3, mode="reflect")
