"""Fidelity of a synthesized section to the real one."""

from __future__ import annotations

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_ssan.stack.sections import Array


def data_range(real: Array) -> float:
    """Span of the grey scale: that of an integer dtype, or of the real section's values."""
    if np.issubdtype(real.dtype, np.integer):
        info = np.iinfo(real.dtype)
        return float(info.max) - float(info.min)
    return float(np.ptp(real))


def psnr(real: Array, synthesized: Array) -> float:
    """Peak signal-to-noise ratio in dB of (height, width) sections."""
    return float(peak_signal_noise_ratio(real, synthesized, data_range=data_range(real)))


def ssim(real: Array, synthesized: Array) -> float:
    """Structural similarity, 11x11 Gaussian window of sigma 1.5."""
    return float(
        structural_similarity(
            real,
            synthesized,
            data_range=data_range(real),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def interpolation_error(real: Array, synthesized: Array) -> float:
    """Mean absolute error (IE) on a grey scale of 0 to 255."""
    difference = np.abs(real.astype(np.float64) - synthesized.astype(np.float64))
    return float(difference.mean()) * 255 / data_range(real)
