"""The inspection of a stack: every section is looked at once, compared, and judged at the end.

It streams: a few reduced sections are in memory at a time, and only figures and the masks of
suspicious regions are kept. Easy to get wrong: nothing can be called unusual before the last
section was seen, so all finds come at the end.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event as Flag

import numpy as np

from napari_ssan.errors import Cancelled
from napari_ssan.events import Progress
from napari_ssan.heap import give_back
from napari_ssan.inspection.find import Find, Inspection
from napari_ssan.inspection.findings import Findings
from napari_ssan.inspection.judge import region_figures
from napari_ssan.inspection.look import Sighting, look
from napari_ssan.inspection.neighbours import REACH, Traits, compare
from napari_ssan.inspection.pictures import Float, step
from napari_ssan.inspection.plant import REGION_KINDS, plant_region, plant_slice
from napari_ssan.inspection.regions import Candidate
from napari_ssan.inspection.signs import SIGNS
from napari_ssan.inspection.view import View

#: Why there is nothing to see in a section that is known to be broken.
NOTHING, KNOWN = np.zeros((0, 0), np.float32), "is known to be broken"
#: Free memory is given back after so many sections: what is kept of each lies scattered in it.
TIDY = 20
#: Damage is planted in this many sections, and in at most this share of them.
PLANTED, PLANTED_SHARE = 8, 1 / 4
#: Whole sections that are planted, and the regions that are planted together in one.
PLANTED_SLICES = ("brightness", "blur", "noise", "displaced", "discontinuity")
PLANTED_REGIONS = tuple(kind for kind in REGION_KINDS if kind != "charging")
#: What planted regions are seen by.
SIGNS_OF = {
    "contamination": ("dark", "dark wide", "like contamination"),
    "fold": ("dark long", "dark far", "dark straight", "like fold"),
    "hole": ("light", "light wide", "like hole"),
    "crack": ("light long", "light far", "light straight", "like crack"),
    "blur": ("soft", "like blur"),
}


@dataclass
class Judged:
    """What was found of a section, without its pixels.

    Attributes
    ----------
    traits : Traits
        Figures of the section.
    candidates : tuple of Candidate
        Regions that might be damaged.
    planted : list of (str, Traits)
        The section's figures after damage of a kind was planted in it.
    peaks : dict of str to list of float
        How far planted regions stood out, by sign.
    """

    traits: Traits
    candidates: tuple[Candidate, ...]
    planted: list[tuple[str, Traits]] = field(default_factory=list)
    peaks: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def inspect(
    view: View,
    *,
    workers: int = 1,
    cancel: Flag | None = None,
    without: Container[int] = (),
) -> Iterator[Progress | Inspection]:
    """Look for broken sections and regions.

    Parameters
    ----------
    view : View
        The stack.
    workers : int
        Number of threads. Sections are read one after the other in any case.
    cancel : threading.Event, optional
        Set it to stop at the next section.
    without : container of int
        Sections that are known to be broken: they are not read, and nothing is found in them.

    Yields
    ------
    Progress
        After every section.
    Inspection
        At the end; the finds are sorted, and include those that are hardly probable.

    Raises
    ------
    Cancelled
        If `cancel` was set.
    """
    total = view.shape[0]
    started, judged = time.monotonic(), []
    for each in _stream(view, workers, cancel, without):
        judged.append(each)
        spent = time.monotonic() - started
        left = spent / len(judged) * (total - len(judged))
        yield Progress(len(judged), total, each.traits.z, left)
    yield summarize(view, judged)


def _stream(
    view: View, workers: int, cancel: Flag | None, without: Container[int]
) -> Iterator[Judged]:
    """Judge every section, in order."""
    total = view.shape[0]
    number = min(PLANTED, int(total * PLANTED_SHARE))
    chosen = set(np.linspace(REACH, total - 1 - REACH, number).round().astype(int).tolist())
    window: dict[int, Sighting] = {}
    looks: deque[Future[Sighting]] = deque()
    pending: deque[Future[Judged]] = deque()
    with _pool(workers) as pool:
        for z in range(total + REACH):
            if cancel is not None and cancel.is_set():
                raise Cancelled
            while len(looks) < workers and (ahead := z + len(looks)) < total:
                if ahead in without:
                    looks.append(pool.submit(Sighting, ahead, NOTHING, KNOWN))
                else:
                    looks.append(pool.submit(_prepared, ahead, view.read(ahead)))
            if looks:
                window[z] = looks.popleft().result()
            middle = z - REACH
            if middle >= 0:
                near = dict(window)
                pending.append(pool.submit(_judge, middle, near, middle in chosen))
                window.pop(middle - REACH, None)
            while len(pending) > workers:
                yield pending.popleft().result()
            if z % TIDY == 0:
                give_back()
        while pending:
            yield pending.popleft().result()


def _prepared(z: int, pixels: Float) -> Sighting:
    return look(z, pixels).prepared()


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that stop as soon as nobody waits for them."""
    pool = ThreadPoolExecutor(workers)
    with ExitStack() as stack:
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        if workers > 1:
            from napari_ssan.inspection.damage_network import on_one_core

            stack.enter_context(on_one_core())
        yield pool


def _judge(z: int, window: dict[int, Sighting], plant: bool) -> Judged:
    """Compare a section with its neighbours, as it is and with damage planted in it."""
    seen = window[z]
    judged = Judged(*compare(seen, window))
    if not plant or seen.flaw or not judged.traits.neighbours:
        return judged
    random, grid = np.random.default_rng(z), step(seen.pixels.shape)
    for kind in PLANTED_SLICES:
        elsewhere = np.roll(seen.pixels[::-1], seen.pixels.shape[1] // 3, axis=1)
        pixels = plant_slice(kind, seen.pixels, elsewhere, int(random.integers(3)), random)
        traits, _ = compare(look(z, pixels), window, regions=False)
        judged.planted.append((kind, traits))
    for strength in (0, 1):
        pixels, taken, masks = seen.pixels, np.zeros(seen.pixels.shape, bool), {}
        for kind in PLANTED_REGIONS:
            pixels, mask = plant_region(kind, pixels, strength, random, taken)
            taken |= mask
            masks[kind] = mask[::grid, ::grid]
        _, candidates = compare(look(z, pixels), window)
        for kind, mask in masks.items():
            touching = [each for each in candidates if mask[each.region.window][
                each.region.mask[: mask.shape[0], : mask.shape[1]]].any()]  # fmt: skip
            figures = region_figures(touching)
            for sign in SIGNS_OF[kind]:
                judged.peaks[sign].append(figures[sign])
    return judged


def summarize(view: View, judged: list[Judged]) -> Inspection:
    """Judge all sections together."""
    findings = Findings(
        view,
        [each.traits for each in judged],
        [each.candidates for each in judged],
        [planted for each in judged for planted in each.planted],
        {sign: [value for each in judged for value in each.peaks.get(sign, [])] for sign in SIGNS},
    )
    known = {each.traits.z for each in judged if each.traits.flaw == KNOWN}
    finds: list[Find] = [each for each in findings.all() if each.z not in known]
    return Inspection(
        view.shape[0], view.level, findings.correlation, tuple(finds), findings.cannot_tell
    )
