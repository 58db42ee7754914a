"""How well a network that is being trained does on sections that it is not trained on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from napari_ssan.engine.methods import Classical
from napari_ssan.errors import BadInput
from napari_ssan.metrics.fidelity import DECISIVE, interpolation_error, psnr, ssim
from napari_ssan.metrics.texture import hf_ratio, psnr_lowpass
from napari_ssan.network.device import autocast
from napari_ssan.stack.alignment import field_of, find_shift, read_shifted
from napari_ssan.stack.intensity import (
    QUANTILES,
    Float,
    Float64,
    Intensity,
    specify,
    to_dtype,
)
from napari_ssan.stack.sections import Array, Window
from napari_ssan.stack.selection import select
from napari_ssan.stack.source import Source
from napari_ssan.stack.triplets import is_marked
from napari_ssan.training.events import Preparing, Report, Scores

#: Side of the field in the middle of a section that is synthesized, in pixels.
FIELD = 384
#: Classical methods that a network must beat.
BASELINES = ("average", "tvl1")


def grain_ratio(real: Array, synthesized: Array) -> float:
    """High-frequency ratio, 1 where the real section has no grain to compare with."""
    ratio = hf_ratio(real, synthesized)
    return 1.0 if ratio is None else ratio


#: What is measured, by name.
METRICS: dict[str, Callable[[Array, Array], float]] = {
    "psnr": psnr,
    "ssim": ssim,
    "ie": interpolation_error,
    "psnr_lowpass": psnr_lowpass,
    "hf_ratio": grain_ratio,
}
#: Grain that is weaker or stronger than the real one by less than this, in dB, is as good: a
#: ratio of 0.8 to 1.25.
TOLERANCE = 20 * math.log10(1.25)

#: Called between two sections; raises to break off.
Check = Callable[[], None]


def merit(scores: Scores, preset: str) -> float:
    """Rank of a network among those of a run, in dB, by its scores.

    Where fidelity is trained (L_1, L_f) it is the PSNR. Real texture costs PSNR,
    so with L_s it is the PSNR of the sections without grain, less the decibels
    by which the grain is weaker or stronger than that of the real sections (a
    ratio of 0.8 to 1.25 is let pass). The first alone would choose the network with the least
    texture: the one that was trained least.
    """
    if preset != "L_s":
        return scores["psnr"]
    grain = abs(20 * math.log10(max(scores["hf_ratio"], 1e-6)))
    return scores["psnr_lowpass"] - max(0.0, grain - TOLERANCE)


def is_better(scores: Scores, than: Scores, preset: str) -> bool:
    """Whether a network is better than another: by its :func:`merit`, or in all that is decisive.

    The latter is no worse in PSNR, SSIM and IE, and better in one of them.
    """
    gains = [sign * (scores[name] - than[name]) for name, sign in DECISIVE.items()]
    return merit(scores, preset) > merit(than, preset) or (min(gains) >= 0 and max(gains) > 0)


@dataclass(frozen=True)
class HeldOut:
    """A section that is known, and what it is synthesized from.

    Attributes
    ----------
    source, section : int
        Number of its source, and its own in the stack.
    real : ndarray, (height, width)
        The field of it that is judged, in the stack's dtype.
    previous, following : ndarray of float32, (height, width)
        Its neighbours, registered and normalized.
    wanted : Intensity
        What its grey values are expected to be like, from its neighbours.
    """

    source: int
    section: int
    real: Array
    previous: Float
    following: Float
    wanted: Intensity

    def grey(self, unit: Float, match: str) -> Float64:
        """A result on the network's scale as grey values like the neighbours'."""
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
        Sections that are not trained on. Marked ones are not looked at.
    multiple : int
        Height and width of a field are multiples of it.
    match : {"mean", "histogram"}
        How results are fitted to the neighbours.
    sections : int
        How many of each source, evenly spread.
    closely : bool
        Look only at sections that a triplet to learn from could have.
    report : callable
        Receives :class:`Preparing`.
    check : callable
        Called between two sections; raises to break off.

    Attributes
    ----------
    held_out : list of HeldOut
        What is looked at.

    Raises
    ------
    BadInput
        If a source has no three good sections in a row, or they are too small.
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
            chosen = _choose(source, _field(source, multiple), sections, closely, check)
            for held_out in chosen:
                self.held_out.append(HeldOut(number, *held_out))
            report(Preparing("reading held-out sections", number + 1, len(sources)))

    def score(self, network: nn.Module, check: Check = lambda: None) -> dict[str, float]:
        """Judge a network, where it is and in the mode in which it is.

        Returns
        -------
        dict
            Means over the held-out sections: ``psnr`` (dB), ``ssim``, ``ie``,
            ``psnr_lowpass`` (dB), ``hf_ratio``.
        """
        return self._mean(lambda held_out: _synthesize(network, held_out), check)

    def baselines(
        self, report: Report = lambda event: None, check: Check = lambda: None
    ) -> dict[str, dict[str, float]]:
        """Scores of the average and of TV-L1 flow on the same sections."""
        total = len(BASELINES) * len(self.held_out)
        scores = {}
        for number, name in enumerate(BASELINES):
            method = Classical(name)
            done = itertools.count(number * len(self.held_out))

            def between(
                held_out: HeldOut, method: Classical = method, done: Iterator[int] = done
            ) -> Float:
                report(Preparing("comparing with average and TV-L1", next(done), total))
                both = held_out.previous[None], held_out.following[None]
                unit: Float = method.synthesize(*both, 0.5)[0]
                return unit

            scores[name] = self._mean(between, check)
        return scores

    def preview(self, network: nn.Module) -> tuple[HeldOut, Float]:
        """One held-out section and what the network makes of it: grey values, float32."""
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
    return unit


def _field(source: Source, multiple: int) -> Window:
    """The middle of what may be used of a section."""
    spans = []
    for part in source.area:
        length = part.stop - part.start
        size = min(length, FIELD) // multiple * multiple
        if size == 0:
            raise BadInput(
                f"Held-out sections of {length} pixels are too small to be judged: "
                f"{multiple} are needed."
            )
        start = part.start + (length - size) // 2
        spans.append(slice(start, start + size))
    return spans[0], spans[1]


def _choose(
    source: Source, field: Window, count: int, closely: bool, check: Check
) -> Iterator[tuple[int, Array, Float, Float, Intensity]]:
    """Good sections with good neighbours, evenly spread: as :class:`HeldOut` takes them."""
    stack = source.stack
    selection = select(source, lambda done, total: check(), closely=closely)
    good = [t for t in selection.triplets if not is_marked(source, t, field)]
    if not good:
        raise BadInput(
            "Validation needs three good sections in a row; sections "
            f"{source.start} to {source.stop - 1} hold none: {selection}."
        )
    whole = field_of(stack.shape[1:], None)
    for place in np.linspace(0, len(good) - 1, min(count, len(good))):
        triplet = good[int(place)]
        outer = (triplet.first, triplet.last)
        # As in a repair, where the section is not there to be registered to.
        rows, columns = find_shift(*(stack.read(z, whole) for z in outer))
        known = [selection.intensities[z] for z in outer]
        views = [
            intensity.normalize(read_shifted(stack, z, field, (share * rows, share * columns)))
            for z, intensity, share in zip(outer, known, (-0.5, 0.5), strict=True)
        ]
        real = stack.read(triplet.target, field)
        yield triplet.target, real, views[0], views[1], known[0].blend(known[1], 0.5)
