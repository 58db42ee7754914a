"""Scores a network in training on held-out sections, and compares it with baselines.

The sections are registered and normalized once, in the constructor; scoring only runs the
network. A report on a finished model is :mod:`napari_ssan.evaluation`'s task.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from napari_ssan.engine.methods import Classical
from napari_ssan.errors import BadInput
from napari_ssan.metrics.fidelity import DECISIVE, interpolation_error, psnr, ssim
from napari_ssan.metrics.texture import hf_ratio, psnr_lowpass
from napari_ssan.network.device import autocast
from napari_ssan.stack.alignment import field_of, find_shift, read_shifted
from napari_ssan.stack.intensity import QUANTILES, Float, Float64, Intensity, specify, to_dtype
from napari_ssan.stack.sections import Array, Window
from napari_ssan.stack.selection import select
from napari_ssan.stack.source import Source
from napari_ssan.stack.triplets import is_marked
from napari_ssan.training.events import Preparing, Report, Scores

#: Side of the field that is synthesized in the middle of a section, in pixels.
FIELD = 384
#: Classical methods that serve as baselines.
BASELINES = ("average", "tvl1")


def grain_ratio(real: Array, synthesized: Array) -> float:
    """High-frequency ratio; 1 if the real section has no grain."""
    ratio = hf_ratio(real, synthesized)
    return 1.0 if ratio is None else ratio


#: Metrics by name.
METRICS: dict[str, Callable[[Array, Array], float]] = {
    "psnr": psnr,
    "ssim": ssim,
    "ie": interpolation_error,
    "psnr_lowpass": psnr_lowpass,
    "hf_ratio": grain_ratio,
}
#: Grain that differs from the real grain by less than this, in dB, counts as equal: a ratio of
#: 0.8 to 1.25.
TOLERANCE = 20 * math.log10(1.25)

#: Called between two sections; raises an exception to stop.
Check = Callable[[], None]


def merit(scores: Scores, preset: str) -> float:
    """Compute a network's rank among those of a run, in dB, from its scores.

    For the losses L_1 and L_f, which train fidelity, it is the PSNR. Real texture costs
    PSNR; PSNR alone would choose the network that was trained least. So with L_s it is
    the PSNR without grain, minus the decibels by which the grain differs from that of
    the real sections. A ratio of 0.8 to 1.25 counts as no difference.
    """
    if preset != "L_s":
        return scores["psnr"]
    grain = abs(20 * math.log10(max(scores["hf_ratio"], 1e-6)))
    return scores["psnr_lowpass"] - max(0.0, grain - TOLERANCE)


def is_better(scores: Scores, than: Scores, preset: str) -> bool:
    """Whether a network is better than another.

    It is better if its :func:`merit` is higher, or if it is no worse in PSNR, SSIM and IE
    and better in one of them.
    """
    gains = [sign * (scores[name] - than[name]) for name, sign in DECISIVE.items()]
    return merit(scores, preset) > merit(than, preset) or (min(gains) >= 0 and max(gains) > 0)


@dataclass(frozen=True)
class HeldOut:
    """A held-out section, and the neighbours from which it is synthesized.

    Attributes
    ----------
    source, section : int
        Index of its source, and number of the section in the stack.
    real : ndarray, (height, width)
        The judged field of the section, in the stack's dtype.
    previous, following : ndarray of float32, (height, width)
        Its neighbours, registered and normalized.
    wanted : Intensity
        Grey-value distribution that is expected from its neighbours.
    """

    source: int
    section: int
    real: Array
    previous: Float
    following: Float
    wanted: Intensity

    def grey(self, unit: Float, match: str) -> Float64:
        """Convert a result on the network's scale to grey values like the neighbours'."""
        if match == "histogram":
            own = np.quantile(unit.astype(np.float64), QUANTILES)
            grey = specify(unit.astype(np.float64), own, self.wanted.quantiles)
        else:
            grey = self.wanted.denormalize(unit)
        return np.clip(grey, self.wanted.minimum, self.wanted.maximum)


class Validation:
    """Held-out sections, each synthesized from its direct neighbours.

    Parameters
    ----------
    sources : sequence of Source
        Sections that are not trained on. Marked sections are left out.
    multiple : int
        Height and width of a field are multiples of this.
    match : {"mean", "histogram"}
        How grey values of results are fitted to the neighbours.
    sections : int
        Number of sections per source, evenly spread.
    closely : bool
        Take only sections that would be good enough to learn from.
    report : callable
        Receives :class:`Preparing`.
    check : callable
        Called between two sections; raises an exception to stop.

    Attributes
    ----------
    held_out : list of HeldOut
        The sections in use.

    Raises
    ------
    BadInput
        If a source does not have three good sections in a row, or they are too small.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        multiple: int,
        *,
        match: str = "mean",
        sections: int = 4,
        closely: bool = True,
        report: Report = lambda event: None,
        check: Check = lambda: None,
    ) -> None:
        self._match = match
        self.held_out: list[HeldOut] = []
        for number, source in enumerate(sources):
            self.held_out += _choose(number, source, multiple, sections, closely, check)
            report(Preparing("reading held-out sections", number + 1, len(sources)))

    def score(self, network: nn.Module, check: Check = lambda: None) -> dict[str, float]:
        """Score a network, on its own device and in its current mode.

        Returns
        -------
        dict
            Means over the held-out sections: ``psnr`` (dB), ``ssim``, ``ie``,
            ``psnr_lowpass`` (dB), ``hf_ratio``.
        """
        return self._mean(partial(_synthesize, network), check)

    def baselines(
        self, report: Report = lambda event: None, check: Check = lambda: None
    ) -> dict[str, dict[str, float]]:
        """Score the average and TV-L1 flow on the same sections."""
        done = itertools.count()

        def between(method: Classical, held_out: HeldOut) -> Float:
            total = len(BASELINES) * len(self.held_out)
            report(Preparing("comparing with average and TV-L1", next(done), total))
            both = held_out.previous[None], held_out.following[None]
            unit: Float = method.synthesize(*both, 0.5)[0]
            return unit

        return {name: self._mean(partial(between, Classical(name)), check) for name in BASELINES}

    def preview(self, network: nn.Module) -> tuple[HeldOut, Float]:
        """Return one held-out section, and it synthesized by the network: grey values, float32."""
        held_out = self.held_out[len(self.held_out) // 2]
        unit = _synthesize(network, held_out)
        return held_out, held_out.grey(unit, self._match).astype(np.float32)

    def _mean(self, synthesize: Callable[[HeldOut], Float], check: Check) -> dict[str, float]:
        scores: dict[str, list[float]] = {name: [] for name in METRICS}
        for held_out in self.held_out:
            check()
            grey = held_out.grey(synthesize(held_out), self._match)
            made = to_dtype(grey, held_out.real.dtype)
            for name, metric in METRICS.items():
                scores[name].append(metric(held_out.real, made))
        return {name: float(np.mean(values)) for name, values in scores.items()}


@torch.no_grad()
def _synthesize(network: nn.Module, held_out: HeldOut) -> Float:
    device = next(network.parameters()).device
    views = np.stack((held_out.previous, held_out.following))
    previous, following = torch.from_numpy(views).to(device)[:, None, None]
    with autocast(device, True):
        image = network(previous, following).image
    unit: Float = image[0, 0].float().cpu().numpy()
    if not np.isfinite(unit).all():
        raise BadInput(
            "The network's results became infinite or NaN, so no model is written: lower the "
            "learning rate, or mark slices with extreme values."
        )
    return unit


def _field(source: Source, multiple: int) -> Window:
    """Middle of the usable area of a section."""
    spans = []
    for part in source.area:
        length = part.stop - part.start
        size = min(length, FIELD) // multiple * multiple
        if size == 0:
            raise BadInput(
                f"The held-out slices are {length} pixels wide or high, too small to be judged: "
                f"at least {multiple} are needed."
            )
        start = part.start + (length - size) // 2
        spans.append(slice(start, start + size))
    return spans[0], spans[1]


def _choose(
    number: int, source: Source, multiple: int, count: int, closely: bool, check: Check
) -> Iterator[HeldOut]:
    """Yield good sections with good neighbours, evenly spread over a source."""
    stack, field = source.stack, _field(source, multiple)
    selection = select(source, lambda done, total: check(), closely=closely)
    good = [t for t in selection.triplets if not is_marked(source, t, field)]
    if not good:
        raise BadInput(
            "Validation needs three good slices in a row; slices "
            f"{source.start} to {source.stop - 1} have none: {selection}."
        )
    whole = field_of(stack.shape[1:], None)
    for place in np.linspace(0, len(good) - 1, min(count, len(good))):
        triplet = good[int(place)]
        outer = (triplet.first, triplet.last)
        # As in a repair: the section itself is missing, so the neighbours register to each other.
        rows, columns = find_shift(*(stack.read(z, whole) for z in outer))
        known = [selection.intensities[z] for z in outer]
        views = [
            intensity.normalize(read_shifted(stack, z, field, (share * rows, share * columns)))
            for z, intensity, share in zip(outer, known, (-0.5, 0.5), strict=True)
        ]
        real, wanted = stack.read(triplet.target, field), known[0].blend(known[1], 0.5)
        yield HeldOut(number, triplet.target, real, views[0], views[1], wanted)
