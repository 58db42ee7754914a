"""What the figures of an evaluation are called, what they mean, and which are better."""

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
        Its name in a result.
    label : str
        Its name on a screen.
    group : {"fidelity", "style", "use"}
        What it is about.
    best : {"high", "low", "one"}
        Which values are better: high ones, low ones, those near 1.
    digits : int
        Decimals that are worth showing.
    meaning : str
        What it is, in a sentence.
    """

    key: str
    label: str
    group: Literal["fidelity", "style", "use"]
    best: Literal["high", "low", "one"]
    digits: int
    meaning: str

    def worse(self, value: float) -> float:
        """Map a value to a number that is the larger the worse it is."""
        if self.best == "one":
            return abs(value - 1)
        return -value if self.best == "high" else value

    def show(self, value: float | None) -> str:
        """Write a value as on a screen."""
        if value is None:
            return "–"
        # Gram distances are millionths: digits that are worth showing, wherever they begin.
        return f"{value:.{self.digits}{'g' if self.key == 'gram' else 'f'}}"


MEASURES: tuple[Measure, ...] = (
    Measure("psnr", "PSNR (dB)", "fidelity", "high", 2, "peak signal-to-noise ratio"),
    Measure("ssim", "SSIM", "fidelity", "high", 3, "structural similarity, 1 for the real slice"),
    Measure(
        "ie", "IE", "fidelity", "low", 2, "interpolation error: mean absolute error, of 255 greys"
    ),
    Measure(
        "psnr_lowpass",
        "low-pass PSNR (dB)",
        "fidelity",
        "high",
        2,
        "PSNR after a Gaussian of 2 pixels on both: structure without grain",
    ),
    Measure(
        "ssim_lowpass",
        "low-pass SSIM",
        "fidelity",
        "high",
        3,
        "structural similarity of the same: structure without grain",
    ),
    Measure(
        "hf_ratio",
        "grain (hf)",
        "style",
        "one",
        2,
        "deviation above a low-pass of 2 pixels over that of the real slice",
    ),
    Measure(
        "mean_distance", "mean off by", "style", "low", 2, "distance of the means, of 255 greys"
    ),
    Measure(
        "std_distance",
        "deviation off by",
        "style",
        "low",
        2,
        "distance of the standard deviations, of 255 greys",
    ),
    Measure(
        "gram",
        "Gram distance",
        "style",
        "low",
        2,
        "distance of the Gram matrices of VGG16's activations: unlike texture",
    ),
    Measure(
        "dice", "membrane Dice", "use", "high", 3, "overlap of the membranes that a segmenter finds"
    ),
    Measure(
        "f1",
        "membrane F1",
        "use",
        "high",
        3,
        "membranes found within 2 pixels of their place, and no others",
    ),
)
#: Ratio of power in four radial bands, from coarse to fine: a list, better near 1.
BANDS = "bands"


def best_of(measure: Measure, values: Sequence[float | None]) -> set[int]:
    """Places of the best values, as they are shown."""
    known = {n: measure.worse(value) for n, value in enumerate(values) if value is not None}
    if len(known) < 2:
        return set()
    least = min(known, key=lambda n: known[n])
    return {n for n in known if measure.show(values[n]) == measure.show(values[least])}


def measured(result: Mapping[str, Any], group: str) -> list[Measure]:
    """Return the measures of a group that an evaluation's result has any values of."""
    rows = result["methods"].values()
    return [
        measure
        for measure in MEASURES
        if measure.group == group and any(row[measure.key] is not None for row in rows)
    ]
