"""Draws triplets for training: crops of two sections and one between them, aligned.

Which sections are used is decided in :mod:`~napari_ssan.stack.selection`. Each triplet follows
from the seed and its number alone, so that any process can draw any of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_ssan.errors import BadInput
from napari_ssan.stack.alignment import read_shifted
from napari_ssan.stack.augmentation import Augmentation, fit
from napari_ssan.stack.comparison import is_blank
from napari_ssan.stack.intensity import Float, specify
from napari_ssan.stack.sections import Window, moved
from napari_ssan.stack.selection import SPANS, Report, Selection, TripletSections, select
from napari_ssan.stack.source import Source

#: How the grey values of a triplet's outer sections are matched to the target's.
Match = Literal["mean", "histogram"]

#: Number of crops to try before giving up.
TRIES = 1000


@dataclass(frozen=True)
class Triplet:
    """Crops of three sections at the same place, on the network's scale.

    Attributes
    ----------
    previous, target, following : ndarray of float32, (size, size)
        Mean at 0.5; six standard deviations to 1.
    position : float
        Where `target` lies: 0 at `previous`, 1 at `following`.
    """

    previous: Float
    target: Float
    following: Float
    position: float


class TripletSampler:
    """Endless, seeded stream of aligned and augmented triplets from several sources.

    All sources are drawn equally often. No crop is blank or holds a marked pixel.

    Parameters
    ----------
    sources : list of Source
    size : int
        Height and width of a crop, in pixels.
    seed : int
        The same seed gives the same stream.
    augmentation : Augmentation
        How crops are varied.
    select : bool
        Leave out triplets that are unfit to learn from, and align the others. If False,
        only triplets that are marked or hold nothing are left out.
    report : callable
        Called with the sections done and the sections in total, before the first triplet.
    cancel : threading.Event, optional
        Set it to stop the selection of triplets.
    match : {"mean", "histogram"}
        ``mean`` normalizes each section by its own mean and standard deviation.
        ``histogram`` gives the outer sections the target's distribution (histogram
        specification), and normalizes all three by the target's.

    Attributes
    ----------
    selections : list of Selection
        The triplets of each source.
    drawn : int
        How many triplets of the stream have been used: the number of the next.

    Raises
    ------
    BadInput
        If a source has no good triplet, or is smaller than a crop.
    Cancelled
        If `cancel` was set.
    """

    def __init__(
        self,
        sources: list[Source],
        size: int,
        seed: int,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        select: bool = True,
        report: Report = lambda done, total: None,
        cancel: threading.Event | None = None,
        match: Match = "mean",
    ) -> None:
        self.sources, self.size = sources, size
        self.augmentation, self.match = augmentation, match
        self.seed, self.drawn = seed, 0
        check_size(sources, size)
        self.selections = _select_all(sources, size, select, report, cancel)

    def __iter__(self) -> Iterator[Triplet]:
        return self

    def __next__(self) -> Triplet:
        triplet = self.triplet(self.drawn)
        self.drawn += 1
        return triplet

    def triplet(self, number: int) -> Triplet:
        """Draw the triplet of a number, 0 or more.

        Raises
        ------
        BadInput
            If nothing but marked and blank crops is found.
        """
        random = np.random.default_rng((self.seed, number))
        chosen = int(random.integers(len(self.sources)))
        source, selection = self.sources[chosen], self.selections[chosen]
        for _ in range(TRIES):
            triplet = self._sections(selection, random)
            if triplet is None:
                continue
            window = self._window(source, triplet, random)
            if is_marked(source, triplet, window):
                continue
            crops = cut(source, selection, triplet, window, self.match)
            if not is_blank(crops):
                return self._augment(crops, triplet.position, random)
        raise BadInput(
            f"All {TRIES} crops that were tried in slices {source.start} to {source.stop - 1} "
            "were marked or blank somewhere; choose smaller crops or other slices."
        )

    def state(self) -> dict[str, Any]:
        """Place in the stream, JSON-serializable."""
        return {"seed": self.seed, "drawn": self.drawn}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue at a place in the stream of a sampler with the same settings."""
        self.seed, self.drawn = int(state["seed"]), int(state["drawn"])

    @property
    def _cut_size(self) -> int:
        """Side of what is cut for a crop: tissue may move in from its margin."""
        return self.size + 2 * self.augmentation.margin

    def _sections(
        self, selection: Selection, random: np.random.Generator
    ) -> TripletSections | None:
        if selection.uneven and self.augmentation.unevenly(random):
            return selection.uneven[int(random.integers(len(selection.uneven)))]
        span = int(random.choice(list(SPANS), p=list(SPANS.values())))
        triplets = selection.triplets if span == 2 else selection.wider[span]
        return triplets[int(random.integers(len(triplets)))] if triplets else None

    def _window(
        self, source: Source, triplet: TripletSections, random: np.random.Generator
    ) -> Window:
        size = self._cut_size
        area = overlap(source, triplet, size)
        wanted = int(np.ceil(size / self.augmentation.magnification(random)))
        extent = min(wanted, *(part.stop - part.start for part in area))
        top, left = (int(random.integers(part.start, part.stop - extent + 1)) for part in area)
        return slice(top, top + extent), slice(left, left + extent)

    def _augment(self, crops: list[Float], position: float, random: np.random.Generator) -> Triplet:
        vary = self.augmentation
        fitted = [fit(crop, self._cut_size) for crop in crops]
        turned = vary.turned(vary.moved(fitted, position, random), random)
        previous, target, following = vary.grained(turned, random)
        previous, following = (vary.disturbed(crop, random) for crop in (previous, following))
        if vary.swaps(random):
            return Triplet(following, target, previous, 1 - position)
        return Triplet(previous, target, following, position)


def check_size(sources: Iterable[Source], size: int) -> None:
    """Refuse sources that are smaller than a crop.

    Raises
    ------
    BadInput
        If one is.
    """
    for source in sources:
        height, width = source.extent
        if min(height, width) < size:
            raise BadInput(
                f"Slices of {height} x {width} pixels are smaller than a training "
                f"crop of {size}; choose a smaller crop or a larger stack."
            )


def cut(
    source: Source,
    selection: Selection,
    triplet: TripletSections,
    window: Window,
    match: Match = "mean",
) -> list[Float]:
    """Read aligned crops of a triplet's three sections.

    Parameters
    ----------
    source : Source
    selection : Selection
        Selection of this source.
    triplet : TripletSections
    window : (slice, slice)
        Rows and columns of the crop, in the target.
    match : {"mean", "histogram"}
        As for :class:`TripletSampler`.

    Returns
    -------
    list of ndarray of float32
        First, target, last, on the network's scale.
    """
    target = selection.intensities[triplet.target]
    crops = []
    for z, shift in triplet.shifted:
        own = selection.intensities[z]
        pixels = read_shifted(source.stack, z, window, shift)
        if match == "histogram" and own is not target:
            matched = specify(pixels.astype(np.float64), own.quantiles, target.quantiles)
            crops.append(target.normalize(matched))
        else:
            crops.append(own.normalize(pixels))
    return crops


def overlap(source: Source, triplet: TripletSections, size: int) -> Window:
    """Area in which all three aligned sections have pixels.

    If it is smaller than `size`, the whole area is returned; :func:`cut` then continues the
    outer sections by reflection.
    """
    spans = []
    for axis, part in enumerate(source.area):
        moves = [shift[axis] for _, shift in triplet.shifted]
        low, high = part.start + max(moves), part.stop + min(moves)
        spans.append(slice(low, high) if high - low >= size else part)
    return spans[0], spans[1]


def is_marked(source: Source, triplet: TripletSections, window: Window) -> bool:
    """Whether any pixel that :func:`cut` reads of a triplet is marked."""
    return any(
        source.touches_mark(z, moved(window, -rows, -columns))
        for z, (rows, columns) in triplet.shifted
    )


def _select_all(
    sources: list[Source], size: int, closely: bool, report: Report, cancel: threading.Event | None
) -> list[Selection]:
    total, done = sum(len(source.sections) for source in sources), 0

    def passed_on(now: int, _: int) -> None:
        report(done + now, total)

    selections: list[Selection] = []
    known: dict[int, Selection] = {}
    for source in sources:
        selection = known.get(id(source)) or select(
            source, passed_on, cancel, size=size, closely=closely
        )
        known[id(source)] = selection
        if not selection.triplets:
            raise BadInput(
                "A stack to train on needs three good slices in a row; slices "
                f"{source.start} to {source.stop - 1} have none: {selection}."
            )
        selections.append(selection)
        done += len(source.sections)
    return selections
