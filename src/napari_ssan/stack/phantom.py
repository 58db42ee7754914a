"""Generates a stack that looks like serial-section electron microscopy, with three broken sections.

It serves as a sample and a test; nothing is trained on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial import cKDTree

from napari_ssan.errors import BadInput
from napari_ssan.stack.intensity import Float64, to_dtype
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region

#: The blank, the smeared and the dirty section.
BLANK, SMEARED, DIRTY = 6, 11, 16


@dataclass(frozen=True)
class Phantom:
    """The generated stack.

    Attributes
    ----------
    clean, broken : ndarray of uint8, (sections, height, width)
        The stack without and with broken sections.
    marks : Marks
        Marks of what is broken.
    scale : (float, float, float)
        Voxel size in nm: z, y, x.
    """

    clean: npt.NDArray[np.uint8]
    broken: npt.NDArray[np.uint8]
    marks: Marks
    scale: tuple[float, float, float] = (50.0, 8.0, 8.0)


def phantom(shape: tuple[int, int, int] = (20, 384, 384), seed: int = 0) -> Phantom:
    """Generate the stack.

    Cells are a Voronoi diagram whose seeds drift from section to section under a slowly
    changing warp. Its edges are membranes; cells hold mitochondria and vesicles. Shading,
    blur and grain are added at the end.

    Parameters
    ----------
    shape : (int, int, int)
        Sections (at least 18), height and width.
    seed : int
        The same seed gives the same stack.

    Raises
    ------
    BadInput
        If there are too few sections.
    """
    if shape[0] < DIRTY + 2:
        raise BadInput(f"The generated stack needs at least {DIRTY + 2} sections.")
    random = np.random.default_rng(seed)
    tissue = _Tissue(random, shape[1:])
    clean = np.stack([tissue.section(z) for z in range(shape[0])])
    broken = clean.copy()
    broken[BLANK] = 0
    broken[SMEARED] = to_dtype(_smear(random, clean[SMEARED].astype(float)), clean.dtype)
    dirt = _blob(random, shape[1:])
    stained = clean[DIRTY].astype(float)
    stain = 18 + 10 * gaussian_filter(random.standard_normal(shape[1:]), 1.5)
    soft = gaussian_filter(dirt.astype(float), 1.5)
    # The mark covers the dirt with its soft edge.
    soft[soft < 0.01] = 0
    broken[DIRTY] = to_dtype(stained * (1 - soft) + stain * soft, clean.dtype)
    region = Region.from_mask(soft)
    return Phantom(clean, broken, Marks({BLANK, SMEARED}, {DIRTY: [region]}))


class _Tissue:
    """The tissue that is cut into sections."""

    def __init__(self, random: np.random.Generator, shape: tuple[int, int]) -> None:
        self.random, self.shape = random, shape
        height, width = shape
        cells = max(20, height * width // 1900)
        self.seeds = random.uniform(-0.1, 1.1, (cells, 2)) * shape
        self.drift = random.normal(0, 1.0, (cells, 2))
        self.sway = random.normal(0, 2.5, (cells, 2))
        self.phase = random.uniform(0, 2 * np.pi, (cells, 1))
        self.tone = random.normal(0, 5.0, cells)
        organelles = max(12, height * width // 5200)
        self.mitochondria = random.uniform(0, 1, (organelles, 2)) * shape
        self.mito_drift = random.normal(0, 1.2, (organelles, 2))
        self.mito_axes = random.uniform(7, 15, (organelles, 2))
        self.mito_angle = random.uniform(0, np.pi, organelles)
        self.warps = [self._field(48.0, 10.0) + self._field(14.0, 3.0) for _ in range(4)]
        self.rows, self.columns = np.indices(shape, dtype=float)

    def section(self, z: int) -> npt.NDArray[np.uint8]:
        """Cut section `z`, (height, width)."""
        turn = z / 9
        dy = self.warps[0] * np.cos(turn) + self.warps[1] * np.sin(turn)
        dx = self.warps[2] * np.cos(turn) + self.warps[3] * np.sin(turn)
        rows, columns = self.rows + dy, self.columns + dx
        seeds = self.seeds + self.drift * z + self.sway * np.sin(z / 4 + self.phase)
        found = cKDTree(seeds).query(np.stack((rows, columns), axis=-1), k=2)
        distance, cell = map(np.asarray, found)
        apart = np.linalg.norm(seeds[cell[..., 0]] - seeds[cell[..., 1]], axis=-1)
        # Distance from the edge between the two nearest seeds, in pixels.
        edge = (distance[..., 1] ** 2 - distance[..., 0] ** 2) / (2 * apart + 1e-6)
        image = 150 + self.tone[cell[..., 0]] + self._field(3.0, 7.0)
        image -= 95 * np.exp(-((edge / 1.6) ** 2))
        self._organelles(image, rows, columns, edge, z)
        # Grain is finer than the optics, so only the tissue is blurred.
        image = gaussian_filter(image, 0.8) + self._field(120.0, 4.0)
        image += self.random.normal(0, 13, self.shape) + self._field(0.9, 6.0)
        image = (image - 128) * self.random.normal(1, 0.03) + 128 + self.random.normal(0, 3)
        return to_dtype(image, np.dtype(np.uint8))

    def _organelles(
        self, image: Float64, rows: Float64, columns: Float64, edge: Float64, z: int
    ) -> None:
        centres = self.mitochondria + self.mito_drift * z
        for centre, axes, angle in zip(centres, self.mito_axes, self.mito_angle, strict=True):
            y, x = rows - centre[0], columns - centre[1]
            along = (np.cos(angle) * y + np.sin(angle) * x) / axes[0]
            across = (np.cos(angle) * x - np.sin(angle) * y) / axes[1]
            radius = np.hypot(along, across)
            inside = (radius < 1) & (edge > 4)
            cristae = 16 * np.sin(along * axes[0] * 1.3 + z / 3)
            image[inside] += (-45 + cristae - 30 * (radius > 0.82))[inside]

    def _field(self, scale: float, strength: float) -> Float64:
        """Make smooth noise with a length scale in pixels and a standard deviation."""
        step = max(1, int(scale // 4))
        coarse = [-(-n // step) + 2 for n in self.shape]
        noise = gaussian_filter(self.random.standard_normal(coarse), scale / step)
        field = zoom(noise, step, order=1)[: self.shape[0], : self.shape[1]]
        scaled: Float64 = strength * field / field.std()
        return scaled


def _smear(random: np.random.Generator, image: Float64) -> Float64:
    """Smear a section as if dragged by the knife: blurred along it, streaked, out of focus."""
    smeared = gaussian_filter(image, (1.5, 10.0))
    streaks = gaussian_filter(random.standard_normal((image.shape[0], 1)), (1.0, 0.0))
    return 0.8 * smeared + 25 + 30 * streaks


def _blob(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Make the mask of a dirt particle with a ragged outline, right of the middle."""
    rows, columns = np.indices(shape, dtype=float)
    y, x = rows - 0.45 * shape[0], columns - 0.6 * shape[1]
    ragged = gaussian_filter(random.standard_normal(shape), 6)
    return np.hypot(y, 0.8 * x) + 70 * ragged < 0.085 * shape[0]
