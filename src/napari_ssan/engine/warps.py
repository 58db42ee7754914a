"""Both neighbours as they would look where the wanted section lies, without a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, shift
from skimage.registration import phase_cross_correlation

from napari_ssan.stack.alignment import structure
from napari_ssan.stack.intensity import Float

#: Two sections and a position to both as they would look there.
Warp = Callable[[Float, Float, float], tuple[Float, Float]]
#: Side of the blocks that :func:`block_flow` registers, in pixels; they overlap by half.
BLOCK = 64


def unmoved(previous: Float, following: Float, position: float) -> tuple[Float, Float]:
    """Both sections as they are."""
    return previous, following


def warp_halfway(
    previous: Float, following: Float, position: float, estimate: Callable[[Float, Float], Float]
) -> tuple[Float, Float]:
    """Both sections, each warped to the wanted one along the flow between them.

    Parameters
    ----------
    previous, following : ndarray of float32, (height, width)
        The neighbours.
    position : float
        Share of the way from the first to the second.
    estimate : callable
        :func:`block_flow`, or ``optical_flow_ilk`` or ``optical_flow_tvl1`` of
        scikit-image.
    """
    flow = estimate(previous, following)
    grid = np.indices(previous.shape, dtype=np.float32)
    # previous(x) = following(x + flow): a share of it from one side, the rest from the other.
    warp0 = map_coordinates(previous, grid - position * flow, order=1, mode="nearest")
    warp1 = map_coordinates(following, grid + (1 - position) * flow, order=1, mode="nearest")
    return warp0, warp1


def block_flow(previous: Float, following: Float) -> Float:
    """Flow of a block-wise registration: each block as a whole, smooth in between.

    Every block of :data:`BLOCK` pixels is registered by cross-correlation to a
    tenth of a pixel, up to a quarter of its side. The shifts are averaged with
    the adjacent blocks', each weighed by how well it correlates once shifted,
    and interpolated.

    Parameters
    ----------
    previous, following : ndarray of float32, (height, width)
        Two sections.

    Returns
    -------
    ndarray of float32, (2, height, width)
        Rows and columns from each pixel of `previous` to its place in `following`.
    """
    flat = [structure(section, reduction=1) for section in (previous, following)]
    sides = [min(BLOCK, length) for length in previous.shape]
    starts = [
        np.linspace(0, length - side, -(-(length - side) * 2 // BLOCK) + 1).round().astype(int)
        for length, side in zip(previous.shape, sides, strict=True)
    ]
    taper = np.outer(*(np.hanning(side + 2)[1:-1] for side in sides))
    field = np.zeros((2, len(starts[0]), len(starts[1])))
    weight = np.zeros(field.shape[1:])
    for row, column in np.ndindex(weight.shape):
        top, left = starts[0][row], starts[1][column]
        block = slice(top, top + sides[0]), slice(left, left + sides[1])
        # Tapering both would draw the shift towards zero.
        a, b = flat[0][block] * taper, flat[1][block]
        norm = np.sqrt((a * a).sum() * (b * b).sum())
        if norm < 1e-6:  # nothing but rounding
            continue
        found, _, _ = phase_cross_correlation(a, b, upsample_factor=10, normalization=None)
        if (np.abs(found) <= BLOCK / 4).all():
            field[:, row, column] = -found
            weight[row, column] = max((a * shift(b, found, order=1)).sum() / norm, 0) ** 2
    covered = gaussian_filter(weight, 1, mode="nearest") + 1e-9
    field = gaussian_filter(field * weight, (0, 1, 1), mode="nearest") / covered
    places = [
        np.interp(np.arange(length), start + (side - 1) / 2, np.arange(len(start)))
        for length, start, side in zip(previous.shape, starts, sides, strict=True)
    ]
    grid = np.meshgrid(*places, indexing="ij")
    flow = [map_coordinates(part, grid, order=1, mode="nearest") for part in field]
    return np.stack(flow).astype(np.float32)
