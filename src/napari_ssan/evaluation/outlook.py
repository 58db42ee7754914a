"""What to expect of a repair at one place of a stack, judged on good slices near it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from threading import Event as Flag

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.device import device_in_words, free_gpu
from napari_ssan.engine.methods import make_method
from napari_ssan.errors import Cancelled
from napari_ssan.evaluation.choose import NEAR, Chooser
from napari_ssan.evaluation.evaluate import Evaluation, evaluate
from napari_ssan.evaluation.events import Evaluating
from napari_ssan.evaluation.summary import words
from napari_ssan.evaluation.use import recall
from napari_ssan.events import Event, RunsOn, Stage
from napari_ssan.inspection.leave_out import leave_out
from napari_ssan.segmenter.segmenter import Segmenter, bundled_segmenter
from napari_ssan.stack.alignment import field_of
from napari_ssan.stack.lazy import LazySections
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.pictures import grey_limits, to_grey
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import Array, SliceStack, Window, moved
from napari_ssan.stack.source import Source

#: Slices that are judged, at most.
SLICES = 3

Tell = Callable[[Event | Evaluating | Stage | RunsOn], object]


@dataclass(frozen=True)
class Outlook:
    """What to expect.

    Attributes
    ----------
    answer : str
        For a biologist: how many of the membranes are found in what is synthesized.
    sentence : str
        How close it comes to the real slices, in plain words, and what was left out.
    figures : str
        Slice by slice, a line each.
    pictures : tuple of Trial
        What was compared.
    """

    answer: str
    sentence: str
    figures: str
    pictures: tuple[Trial, ...] = field(compare=False)


@dataclass(frozen=True, eq=False)
class Trial:
    """A good slice that was hidden: pictures of its middle, uint8, on one grey scale.

    Attributes
    ----------
    section : int
    real, made, simple : ndarray of uint8, (height, width)
        The real slice, and as the judged method and a simple one made it.
    simple_way : str
        The simple method in words.
    """

    section: int
    real: npt.NDArray[np.uint8]
    made: npt.NDArray[np.uint8]
    simple: npt.NDArray[np.uint8]
    simple_way: str


@dataclass(frozen=True, eq=False)
class Place:
    """Where in a stack to look.

    Attributes
    ----------
    stack : SliceStack
    marks : Marks
        Its marks: what is marked is not judged on.
    near : int
        Section that is to be repaired.
    """

    stack: SliceStack
    marks: Marks
    near: int

    @classmethod
    def of(cls, stack: SliceStack, marks: Marks, section: int | None) -> Place:
        """The mark nearest to the section on screen, or that section if nothing is marked."""
        here = len(stack) // 2 if section is None else section
        marked = {*marks.whole, *marks.regions, *marks.missing}
        return cls(stack, marks, min(marked or {here}, key=lambda z: (abs(z - here), z)))

    @property
    def window(self) -> Window:
        """The part of the sections that is judged: around what is marked, at most 1024 x 1024."""
        regions = self.marks.regions.get(self.near)
        around = reduce(Region.union, regions).window if regions else None
        return field_of(self.stack.shape[1:], around)

    def judge(
        self,
        report: Tell,
        cancel: Flag,
        method: str = "ssan",
        model: str = "ssan-fidelity",
        device: str = "auto",
    ) -> Outlook:
        """Judge a method on up to three good slices nearby, by the road of the repair to come.

        Parameters
        ----------
        report : callable
            Receives a :class:`Evaluating` after every tile, and what else goes on.
        cancel : threading.Event
            Set it to stop; it is looked at after every tile.
        method, model, device : str
            As for :func:`napari_ssan.repair`.

        Raises
        ------
        BadInput
            If there is no good slice nearby, or the method is not to be had.
        Cancelled
            If `cancel` was set.
        """
        try:
            report(Stage("Looking for good slices…"))
            stack = _cut(self.stack, self.window)
            # Within the window a section is good or not: regions elsewhere do not matter.
            here = Marks(self._marked(), {}, self.marks.missing)
            around = range(len(stack))[max(0, self.near - NEAR - 1) : self.near + NEAR + 2]
            source = Source(stack, around.start, around.stop, marks=here)
            source, left_out = leave_out(source, cancel=cancel)
            blocks = Chooser(stack, 1, source.avoided, cancel).nearest(self.near, SLICES).blocks
            if method == "ssan":
                report(Stage("Loading the network…"))
                report(RunsOn(device_in_words(device)))
            rival = "copy" if method == "average" else "average"
            methods = {
                method: make_method(method, model, device),
                rival: make_method(rival, "", "auto"),
            }
            # Neighbours of a region are registered to the slice that holds it.
            align = self.near in self.marks.regions
            for item in evaluate(stack, blocks, methods, align=align):
                if isinstance(item, Evaluation):
                    found = item
                    continue
                report(item)
                if cancel.is_set():
                    raise Cancelled
            report(Stage("Looking for membranes…"))
            outlook = _say(found, method, rival, bundled_segmenter())
            said = f"{outlook.sentence} {left_out}." if left_out else outlook.sentence
            return replace(outlook, sentence=said)
        finally:
            free_gpu()

    def _marked(self) -> set[int]:
        """Sections with anything marked in the window."""
        regions = [z for z in self.marks.regions if np.any(self.marks.mask(z, self.window))]
        return {*self.marks.whole, *regions}


def _cut(stack: SliceStack, window: Window) -> SliceStack:
    """The part of all sections in a window."""
    top, left = (part.start for part in window)
    height, width = (part.stop - part.start for part in window)
    shape = len(stack), height, width
    cut = LazySections(shape, stack.dtype, lambda z, part: stack.read(z, moved(part, top, left)))
    return SliceStack(cut, z_axis=0)


def _say(found: Evaluation, method: str, rival: str, segmenter: Segmenter) -> Outlook:
    ours, theirs = found.rows[method], found.rows[rival]
    gains = [a["psnr"] - b["psnr"] for a, b in zip(ours, theirs, strict=True)]
    where = ", ".join(str(z) for z in found.sections)
    sentence = (
        f"On {'slice' if len(ours) == 1 else 'slices'} {where} nearby {words(method)} comes closer "
        f"to the real slice than {words(rival)} in {sum(gain > 0 for gain in gains)} of "
        f"{len(gains)} ({np.mean(gains):+.1f} dB)"
    )
    grain = [row["hf_ratio"] for row in ours if row["hf_ratio"] is not None]
    if grain:
        sentence += f"; texture {np.mean(grain):.2f} of real"
    lines = [
        f"slice {a['section']}: PSNR {a['psnr']:.2f} dB ({words(rival)}: {b['psnr']:.2f}), "
        f"SSIM {a['ssim']:.3f} ({b['ssim']:.3f}), "
        f"mean error {a['ie']:.1f} of 255 ({b['ie']:.1f})"
        for a, b in zip(ours, theirs, strict=True)
    ]
    pictures = tuple(_trial(z, found.crops[z], method, rival) for z in found.sections)
    answer = _answer(found, method, rival, segmenter)
    return Outlook(answer, f"{sentence}.", "\n".join(lines), pictures)


def _trial(z: int, crops: Mapping[str, Array], method: str, rival: str) -> Trial:
    limits = grey_limits([crops["real"]])
    real, made, simple = (to_grey(crops[name], limits) for name in ("real", method, rival))
    return Trial(z, real, made, simple, words(rival))


def _answer(found: Evaluation, method: str, rival: str, segmenter: Segmenter) -> str:
    """Count the membranes that a segmenter finds again, in tenths of those in the real slices."""
    shares: dict[str, list[float]] = {method: [], rival: []}
    for crops in found.crops.values():
        truth = segmenter.membranes(crops["real"])
        for name, each in shares.items():
            share = recall(segmenter.membranes(crops[name]), truth)
            if share is not None:
                each.append(share)
    if not shares[method]:
        return "No membranes are found in the real slices nearby: judge by the pictures."
    ours, theirs = (round(10 * float(np.mean(each))) for each in shares.values())
    return f"Membranes: {ours} of 10 found, against {theirs} of 10 by {words(rival)}."
