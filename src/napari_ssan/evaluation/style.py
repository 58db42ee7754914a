"""Whether a synthesized section looks real: grain, spectrum, structure without grain.

Fidelity alone misleads: blurring an average raises its PSNR and loses membranes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio

from napari_ssan.evaluation.metrics import data_range
from napari_ssan.stack.sections import Array

#: Standard deviation, in pixels, of the Gaussian that tells grain from structure.
SIGMA = 2.0
#: Radial bands of equal width up to the Nyquist frequency.
BANDS = 4


def psnr_lowpass(real: Array, synthesized: Array) -> float:
    """PSNR in dB of both sections without grain."""
    smooth = [gaussian_filter(x.astype(np.float64), SIGMA) for x in (real, synthesized)]
    return float(peak_signal_noise_ratio(smooth[0], smooth[1], data_range=data_range(real)))


def hf_ratio(real: Array, synthesized: Array) -> float:
    """High-frequency ratio: grain of the synthesized section over that of the real one."""
    grain = [
        (x - gaussian_filter(x, SIGMA)).std()
        for x in (real.astype(np.float64), synthesized.astype(np.float64))
    ]
    return float(grain[1] / grain[0])


def band_ratios(real: Array, synthesized: Array) -> list[float]:
    """Power of the synthesized section over that of the real one in four radial bands.

    Noise added on top of a smooth section may pass the high-frequency ratio;
    its spectrum differs.
    """
    powers = [_band_power(x) for x in (real, synthesized)]
    return [float(made / true) for true, made in zip(*powers, strict=True)]


def _band_power(section: Array) -> npt.NDArray[np.float64]:
    image = section.astype(np.float64)
    # Tapered, or the jump between opposite borders would fill all bands.
    taper = np.outer(*(np.hanning(n) for n in image.shape))
    power = np.abs(np.fft.rfft2((image - image.mean()) * taper)) ** 2
    rows, columns = np.fft.fftfreq(image.shape[0]), np.fft.rfftfreq(image.shape[1])
    radius = np.hypot(rows[:, None], columns)
    band = np.floor(radius / 0.5 * BANDS).astype(int)
    inside = band < BANDS
    sums = np.bincount(band[inside], weights=power[inside], minlength=BANDS)
    return sums.astype(np.float64)
