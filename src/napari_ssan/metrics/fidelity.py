"""How close a synthesized section is to the real one: PSNR, SSIM, interpolation error."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from napari_ssan.stack.sections import Array

#: Upper limit of PSNR in dB; for identical sections it would be infinite.
HIGHEST_PSNR = 100.0
#: Metrics that decide which of two models is better: 1 if higher is better, else -1.
DECISIVE = {"psnr": 1, "ssim": 1, "ie": -1}


def data_range(real: Array) -> float:
    """Span of the grey scale: of an integer dtype, else of the real section's values."""
    if np.issubdtype(real.dtype, np.integer):
        info = np.iinfo(real.dtype)
        return float(info.max) - float(info.min)
    return float(real.max()) - float(real.min())


def psnr(real: Array, synthesized: Array) -> float:
    """Peak signal-to-noise ratio in dB of (height, width) sections, 100 at most."""
    return decibels(real.astype(np.float64), synthesized.astype(np.float64), data_range(real))


def decibels(real: Array, synthesized: Array, span: float) -> float:
    """PSNR in dB of float64 images on a grey scale of `span`, 100 at most."""
    # Divide first: the squares of the largest float64 values would overflow.
    error = float(np.square((real - synthesized) / span).mean())
    return min(HIGHEST_PSNR, -10 * float(np.log10(error))) if error else HIGHEST_PSNR


def ssim(real: Array, synthesized: Array) -> float:
    """Structural similarity of (height, width) sections, 11x11 Gaussian window of sigma 1.5."""
    return similarity(real.astype(np.float64), synthesized.astype(np.float64), data_range(real))


def similarity(real: Array, synthesized: Array, span: float) -> float:
    """Structural similarity of float64 images on a grey scale of `span`, as :func:`ssim`."""
    # On a scale of 1, so that squares neither overflow nor vanish.
    return float(
        structural_similarity(
            real / span,
            synthesized / span,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def interpolation_error(real: Array, synthesized: Array) -> float:
    """Mean absolute error (IE) of (height, width) sections, on a grey scale of 0 to 255."""
    difference = np.abs(real.astype(np.float64) - synthesized.astype(np.float64))
    return float(difference.mean()) * 255 / data_range(real)
