"""The measures of an evaluation: names, meanings, and which values are better.

The figures themselves are computed in :mod:`napari_ssan.metrics` and beside this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

GROUPS = {
    "fidelity": "How close to the real slice",
    "style": "How much like a real slice",
    "use": "How useful for finding membranes",
}


@dataclass(frozen=True)
class Measure:
    """A figure that each judged section has.

    Attributes
    ----------
    key : str
        Name in a result.
    label : str
        Name on a screen.
    group : {"fidelity", "style", "use"}
        What it measures.
    best : {"high", "low", "one"}
        Which values are better: high, low, or near 1.
    digits : int
        Number of decimals to show.
    meaning : str
        Explanation in a few words.
    """

    key: str
    label: str
    group: Literal["fidelity", "style", "use"]
    best: Literal["high", "low", "one"]
    digits: int
    meaning: str

    def worse(self, value: float) -> float:
        """Map a value to a number that grows as the value gets worse."""
        if self.best == "one":
            return abs(value - 1)
        return -value if self.best == "high" else value

    def show(self, value: float | None) -> str:
        """Write a value for a screen."""
        if value is None:
            return "–"
        # Gram distances are millionths, so they show significant digits.
        return f"{value:.{self.digits}{'g' if self.key == 'gram' else 'f'}}"


MEASURES: tuple[Measure, ...] = (
    Measure("psnr", "PSNR (dB)", "fidelity", "high", 2, "peak signal-to-noise ratio"),
    Measure("ssim", "SSIM", "fidelity", "high", 3, "structural similarity, 1 for the real slice"),
    Measure(
        *("ie", "IE", "fidelity", "low", 2),
        "interpolation error: mean absolute difference, on a grey scale of 0 to 255",
    ),
    Measure(
        *("psnr_lowpass", "low-pass PSNR (dB)", "fidelity", "high", 2),
        "PSNR after blurring both slices by a Gaussian of 2 pixels: structure without grain",
    ),
    Measure(
        *("ssim_lowpass", "low-pass SSIM", "fidelity", "high", 3),
        "structural similarity after the same blur: structure without grain",
    ),
    Measure(
        *("hf_ratio", "grain (hf)", "style", "one", 2),
        "strength of fine detail (below 2 pixels), divided by that of the real slice",
    ),
    Measure(
        *("mean_distance", "mean off by", "style", "low", 2),
        "difference of the means, on a grey scale of 0 to 255",
    ),
    Measure(
        *("std_distance", "deviation off by", "style", "low", 2),
        "difference of the standard deviations, on a grey scale of 0 to 255",
    ),
    Measure(
        *("gram", "Gram distance", "style", "low", 2),
        "difference in texture: distance of the Gram matrices of VGG16's activations",
    ),
    Measure(
        "dice", "membrane Dice", "use", "high", 3, "overlap of the membranes that a segmenter finds"
    ),
    Measure(
        *("f1", "membrane F1", "use", "high", 3),
        "share of membranes found within 2 pixels of their true place, and not elsewhere",
    ),
)
#: Ratios of power in four radial bands, from coarse to fine: a list; near 1 is better.
BANDS = "bands"


def best_of(measure: Measure, values: Sequence[float | None]) -> set[int]:
    """Indices of the best values; values that look equal when shown count as equal."""
    known = {n: measure.worse(value) for n, value in enumerate(values) if value is not None}
    if len(known) < 2:
        return set()
    least = min(known, key=lambda n: known[n])
    return {n for n in known if measure.show(values[n]) == measure.show(values[least])}


def measured(result: Mapping[str, Any], group: str) -> list[Measure]:
    """Return the measures of a group that have values in an evaluation's result."""
    rows = result["methods"].values()
    return [
        measure
        for measure in MEASURES
        if measure.group == group and any(row[measure.key] is not None for row in rows)
    ]
