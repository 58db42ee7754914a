"""Evaluates the network and other methods side by side, on the same sections of a stack.

The sections are chosen in :mod:`~napari_ssan.evaluation.choose`; statistics over them are
made in :mod:`~napari_ssan.evaluation.result`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_ssan.engine.methods import LessMemory, Method
from napari_ssan.evaluation.aligned import aligned
from napari_ssan.evaluation.choose import Block
from napari_ssan.evaluation.events import Evaluating
from napari_ssan.evaluation.gram import gram_distance
from napari_ssan.evaluation.leave_one_out import compare, leave_one_out
from napari_ssan.evaluation.membranes import Membranes
from napari_ssan.evaluation.use import dice, f1
from napari_ssan.events import Event, Progress
from napari_ssan.stack.region import Mask
from napari_ssan.stack.sections import Array, SliceStack, middle

#: Side of the part of a section that is kept for pictures, in pixels.
CROP = 320


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The measured figures.

    Attributes
    ----------
    blocks : tuple of tuple of int
        Hidden sections; a block was hidden together.
    rows : dict of str to list of dict
        For each method, the figures of each section, in order; see :func:`leave_one_out`.
        Also ``gram``, ``dice`` and ``f1``, None if they were not measured.
    real : list of dict
        ``dice`` and ``f1`` of the real sections.
    crops : dict of int to dict of str to ndarray
        For each section, its middle by each method, and the middle of the ``real``
        section and of those ``before`` and ``after`` the block.
    """

    blocks: tuple[Block, ...]
    rows: dict[str, list[dict[str, Any]]]
    real: list[dict[str, Any]]
    crops: dict[int, dict[str, Array]]

    @property
    def sections(self) -> list[int]:
        """The judged sections."""
        return [z for block in self.blocks for z in block]

    @property
    def gap(self) -> int:
        """Number of sections that were hidden together."""
        return len(self.blocks[0])


def evaluate(
    stack: SliceStack,
    blocks: tuple[Block, ...],
    methods: Mapping[str, Method],
    membranes: Membranes | None = None,
    vgg: Path | None = None,
    *,
    align: bool = False,
) -> Iterator[Event | Evaluating | Evaluation]:
    """Hide blocks of real sections in turn, synthesize them by each method, and compare.

    ``*_, found = evaluate(...)`` is for those who only want the result; whoever wants to
    cancel closes the generator.

    Parameters
    ----------
    stack : SliceStack
        Real sections.
    blocks : tuple of tuple of int
        Sections to hide, from :class:`~napari_ssan.evaluation.choose.Chooser`.
    methods : mapping of str to Method
        Methods to judge, by their names in the result.
    membranes : Membranes, optional
        Finds membranes. Without it, ``dice`` and ``f1`` are None.
    vgg : Path, optional
        File with the weights of VGG16. Without it, ``gram`` is None.
    align : bool
        Register the neighbours to each hidden section first; see
        :func:`~napari_ssan.evaluation.aligned.aligned`.

    Yields
    ------
    Evaluating
        After every tile.
    Event
        What else the engine has to say.
    Evaluation
        At the end.
    """
    panel = _Panel(membranes, vgg)
    # Each round synthesizes a block. With align, each section needs neighbours of its own.
    rounds = [
        (block, judged)
        for block in blocks
        for judged in ([(z,) for z in block] if align else [block])
    ]
    clock = _Clock(list(methods), len(rounds))
    at_work = dict(methods)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    for block, judged in rounds:
        seen = aligned(stack, block, judged[0]) if align else stack
        panel.open(seen, block, judged)
        for name in methods:
            yield clock.begin(name, judged[0])
            judge = partial(panel.judge, name)
            for item in leave_one_out(
                seen, [block[0]], at_work[name], gap=len(block), judge=judge, only=judged
            ):
                if isinstance(item, dict):
                    rows[name].append(item)
                elif isinstance(item, Progress):
                    yield clock.show(item.done / item.total)
                else:
                    if isinstance(item, LessMemory):
                        at_work[name] = item.method
                    yield item
            yield clock.end()
    yield Evaluation(blocks, rows, panel.real, panel.crops)


class _Panel:
    """Judges sections, and keeps the middle of each for pictures."""

    def __init__(self, membranes: Membranes | None, vgg: Path | None) -> None:
        self.membranes, self.vgg = membranes, vgg
        self.real: list[dict[str, Any]] = []
        self.crops: dict[int, dict[str, Array]] = {}
        self._truth: dict[int, Mask] = {}

    def open(self, stack: SliceStack, block: Block, judged: Block) -> None:
        """Read the real sections of a block that are judged next."""
        self._truth.clear()
        window = middle(stack.shape[1:], CROP)
        around = {
            "before": stack.read(block[0] - 1, window),
            "after": stack.read(block[-1] + 1, window),
        }
        for z in judged:
            real = stack.read(z)
            self.crops[z] = around | {"real": real[window].copy()}
            if self.membranes is not None:
                self._truth[z] = self.membranes.truth(z, real)
            self.real.append(self._use(z, real))

    def judge(self, name: str, z: int, real: Array, made: Array) -> dict[str, Any]:
        """All figures of a section that a method has made."""
        self.crops[z][name] = made[middle(made.shape, CROP)].copy()
        distance = None if self.vgg is None else gram_distance(real, made, self.vgg)
        return compare(z, real, made) | {"gram": distance} | self._use(z, made)

    def _use(self, z: int, section: Array) -> dict[str, float | None]:
        if self.membranes is None:
            return {"dice": None, "f1": None}
        found, truth = self.membranes.find(z, section), self._truth[z]
        return {"dice": dice(found, truth), "f1": f1(found, truth)}


class _Clock:
    """Estimates the progress of an evaluation from the time that each method takes."""

    def __init__(self, names: list[str], blocks: int) -> None:
        self._left = dict.fromkeys(names, blocks)
        self._taken: dict[str, list[float]] = {name: [] for name in names}
        self._start = self._begin = time.monotonic()
        self._name, self._section, self._share = "", 0, 0.0

    def begin(self, name: str, section: int) -> Evaluating:
        """Note that a method begins with a block."""
        self._name, self._section = name, section
        self._begin = time.monotonic()
        return self.show(0.0)

    def end(self) -> Evaluating:
        """Note that it is done with it."""
        self._taken[self._name].append(time.monotonic() - self._begin)
        self._left[self._name] -= 1
        self._name = ""
        return self.show(0.0)

    def show(self, done: float) -> Evaluating:
        """How far it is, with the present block so far `done`, 0 to 1."""
        now = time.monotonic()
        means = {name: float(np.mean(each)) for name, each in self._taken.items() if each}
        if self._name and self._name not in means and done:
            means[self._name] = (now - self._begin) / done
        usual = float(np.mean(list(means.values()))) if means else None
        left = None
        if usual is not None:
            left = sum(means.get(name, usual) * count for name, count in self._left.items())
            left -= means.get(self._name, 0.0) * done
            passed = now - self._start
            self._share = max(self._share, passed / (passed + left) if passed else 0.0)
        return Evaluating(self._share, self._section, self._name, left)
