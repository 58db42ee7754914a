"""Whether a synthesized section looks real: grain, spectrum, and structure without grain.

Fidelity alone misleads: blurring an average raises its PSNR and destroys membranes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from napari_ssan.metrics.fidelity import data_range, decibels, similarity
from napari_ssan.stack.sections import Array

#: Standard deviation, in pixels, of the Gaussian that separates grain from structure.
SIGMA = 2.0
#: Radial bands of equal width up to the Nyquist frequency.
BANDS = 4
#: A band with less than this share of all power holds only rounding errors.
NOTHING = 1e-12


def psnr_lowpass(real: Array, synthesized: Array) -> float:
    """PSNR in dB after removing grain from both sections, 100 at most."""
    return decibels(_smooth(real), _smooth(synthesized), data_range(real))


def ssim_lowpass(real: Array, synthesized: Array) -> float:
    """Structural similarity after removing grain from both sections."""
    return similarity(_smooth(real), _smooth(synthesized), data_range(real))


def hf_ratio(real: Array, synthesized: Array) -> float | None:
    """High-frequency ratio: grain of the synthesized section divided by that of the real one.

    None if the real section has no grain.
    """
    true, made = (grain(x) for x in (real, synthesized))
    return made / true if true > NOTHING**0.5 * float(real.std(dtype=np.float64)) else None


def grain(section: Array) -> float:
    """Standard deviation of the part that a low-pass removes, in grey values."""
    return float((section.astype(np.float64) - _smooth(section)).std())


def band_ratios(real: Array, synthesized: Array) -> list[float | None]:
    """Power of the synthesized section divided by that of the real one, in four radial bands.

    They expose noise added to a smooth section, which can fool the high-frequency ratio.
    None for a band that is empty in the real section.
    """
    true, made = (_band_power(x) for x in (real, synthesized))
    empty = true <= NOTHING * true.sum()
    return [
        None if none else float(ours / theirs)
        for ours, theirs, none in zip(made, true, empty, strict=True)
    ]


def mean_distance(real: Array, synthesized: Array) -> float:
    """Absolute difference of the sections' means, on a grey scale of 0 to 255."""
    true, made = (float(x.mean(dtype=np.float64)) for x in (real, synthesized))
    return abs(made - true) * 255 / data_range(real)


def std_distance(real: Array, synthesized: Array) -> float:
    """Absolute difference of the standard deviations, on a grey scale of 0 to 255."""
    true, made = (float(x.std(dtype=np.float64)) for x in (real, synthesized))
    return abs(made - true) * 255 / data_range(real)


def _smooth(section: Array) -> npt.NDArray[np.float64]:
    return gaussian_filter(section.astype(np.float64), SIGMA)


def _band_power(section: Array) -> npt.NDArray[np.float64]:
    image = section.astype(np.float64)
    # Taper, because the jump between opposite borders would fill all bands.
    taper = np.outer(*(np.hanning(n) for n in image.shape))
    power = np.abs(np.fft.rfft2((image - image.mean()) * taper)) ** 2
    rows, columns = np.fft.fftfreq(image.shape[0]), np.fft.rfftfreq(image.shape[1])
    radius = np.hypot(rows[:, None], columns)
    band = np.floor(radius / 0.5 * BANDS).astype(int)
    inside = band < BANDS
    sums = np.bincount(band[inside], weights=power[inside], minlength=BANDS)
    return sums.astype(np.float64)
