"""Membranes without labels: dark lines, longer than they are wide.

A second derivative of a Gaussian across, a Gaussian along, in 12 directions; the strongest
response counts. What is left of the darkest lines when specks are taken out agrees with the
labels of the ISBI 2012 training volume at Dice .72; a segmenter trained on such lines in
other stacks (``segmenter.py unlabelled``), whose errors are not alike in all sections, at .73.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from skimage.morphology import remove_small_objects

from napari_ssan.stack.intensity import Float
from napari_ssan.stack.region import Mask
from napari_ssan.stack.sections import Array

DIRECTIONS = 12
#: Length of a line over its width (the standard deviation of the Gaussian across).
ELONGATION = 6
#: Share of a section's pixels that lie on membranes.
SHARE = 0.22
#: Specks are smaller than this, in squares of the width.
SPECK = 16
#: In widths: over what brightness and contrast are evened out.
SURROUNDINGS = 6


def find_lines(section: Array, widths: Sequence[float]) -> Mask:
    """Where a section has dark lines.

    Parameters
    ----------
    section : ndarray, (height, width)
        Grey, of any dtype.
    widths : sequence of float
        Standard deviations of the lines' profiles, in pixels.

    Returns
    -------
    ndarray of bool, (height, width)
    """
    even = _even(section.astype(np.float32), SURROUNDINGS * max(widths))
    response = np.sum([_response(even, width) for width in widths], axis=0)
    lines: Mask = response > np.quantile(response, 1 - SHARE)
    return np.asarray(remove_small_objects(lines, max_size=round(SPECK * max(widths) ** 2)))


def _even(section: Float, reach: float) -> Float:
    """Local mean 0 and deviation 1, dark positive, extremes clipped."""
    dark = gaussian_filter(section, reach) - section
    deviation = np.sqrt(gaussian_filter(dark**2, 2 * reach))
    even: Float = np.clip(dark / np.maximum(deviation, 1e-6), -2.5, 2.5)
    return even


def _response(even: Float, width: float) -> Float:
    """The strongest of all directions."""
    kernels = list(_kernels(width))
    margin = len(kernels[0]) // 2
    padded = np.pad(even, margin, mode="symmetric")
    responses = [fftconvolve(padded, kernel, mode="valid") for kernel in kernels]
    strongest: Float = np.max(responses, axis=0)
    return strongest


def _kernels(width: float) -> Iterator[Float]:
    """Line detectors of zero sum and unit norm."""
    along = ELONGATION * width / 2
    reach = int(3 * max(2 * width, along))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        profile = (1 - (v / width) ** 2) * np.exp(-((v / width) ** 2) / 2)
        kernel = profile * np.exp(-((u / along) ** 2) / 2)
        kernel -= kernel.mean()
        yield kernel / np.linalg.norm(kernel)
