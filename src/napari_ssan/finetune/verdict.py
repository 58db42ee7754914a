"""Whether fine-tuning helped: both models on the same whole held-out sections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event as Flag

import numpy as np
from pydantic import BaseModel, ConfigDict

from napari_ssan.engine.methods import LessMemory, make_method
from napari_ssan.errors import Cancelled
from napari_ssan.evaluation.leave_one_out import METRICS, leave_one_out
from napari_ssan.evaluation.statistics import mean
from napari_ssan.evaluation.use import dice, f1
from napari_ssan.events import Notice, Progress
from napari_ssan.finetune.division import Division
from napari_ssan.finetune.events import FineTuneReport, Judging
from napari_ssan.metrics.fidelity import DECISIVE
from napari_ssan.segmenter.segmenter import Segmenter
from napari_ssan.stack.alignment import FIELD
from napari_ssan.stack.region import Mask
from napari_ssan.stack.sections import Array, SliceStack
from napari_ssan.stack.source import Source

#: What is measured, by name.
FIGURES = ("psnr", "ssim", "ie", "psnr_lowpass", "hf_ratio")
MEASURED = (*FIGURES, "dice", "f1")

Figures = dict[str, float | None]
#: Figures by model (0, 1) and section, as in "1:17".
Known = dict[str, Figures]


class Verdict(BaseModel):
    """What came of a fine-tuning.

    Attributes
    ----------
    better : bool
        Whether the trained model is handed over: PSNR, SSIM and IE are each no
        worse than the base's, and one of them is better. Else the base's weights are.
    base, tuned : dict of str to float or None
        Means over the sections: ``psnr`` (dB), ``ssim``, ``ie``, ``psnr_lowpass``
        (dB), ``hf_ratio`` (None where the sections have no grain), ``dice`` and ``f1``
        (None where no membranes were sought).
    sections : tuple of int
        What was judged on.
    text : str
        In words.
    reason : str
        Why training ended before its budget, a sentence; else empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    better: bool
    base: Figures
    tuned: Figures
    sections: tuple[int, ...]
    text: str
    reason: str = ""


def decide(
    base: Figures, tuned: Figures, sections: Sequence[int], loss: str, reason: str = ""
) -> Verdict:
    """Compare figures, and say in words which model is better.

    Parameters
    ----------
    base, tuned : dict of str to float or None
        Figures of both, as :class:`Verdict` has them.
    sections : sequence of int
        What they were judged on.
    loss : {"L_1", "L_f", "L_s"}
        What was trained, for the advice where it did not help.
    reason : str
        Why training ended before its budget; else empty.
    """
    gains = {
        name: sign * (_known(tuned, name) - _known(base, name)) for name, sign in DECISIVE.items()
    }
    better = min(gains.values()) >= 0 and max(gains.values()) > 0
    count = len(sections)
    on = f"on {count} held-out slices" if count > 1 else "on 1 held-out slice, which proves little"
    said = (
        f"{_signed(gains['psnr'], 'dB')}, SSIM {_percent(base, tuned, 'ssim')}, "
        f"error {_percent(base, tuned, 'ie')}"
    )
    if base["dice"] is not None and tuned["dice"] is not None:
        said += f", membranes {_signed(tuned['dice'] - base['dice'], 'Dice')}"
    if better:
        text = f"better than the base model {on}: {said}"
    elif base == tuned:
        text = f"no better than the base model {on}: the base stays chosen. {_advice(loss)}"
    else:
        text = (
            f"not better than the base model {on} ({said}): the base stays chosen. {_advice(loss)}"
        )
    return Verdict(
        better=better, base=base, tuned=tuned, sections=tuple(sections), text=text, reason=reason
    )


def judge(
    source: Source,
    sections: Sequence[int],
    base: Path,
    tuned: Path | None,
    device: str,
    report: FineTuneReport = lambda event: None,
    cancel: Flag | None = None,
    segmenter: Segmenter | None = None,
    known: Known | None = None,
    keep: Callable[[Known], object] = lambda known: None,
) -> tuple[Figures, Figures]:
    """Means of both models' figures on sections that are hidden in turn, by the road of a repair.

    Of large sections it is a field in the middle that is judged.

    Parameters
    ----------
    source : Source
        The stack; both neighbours of each section must be in it.
    sections : sequence of int
        What to judge on.
    base, tuned : Path
        The models, which are used with the base's tiles. Without the latter it is the base.
    device : str
        Where to synthesize.
    report : callable
        Receives :class:`Judging`, and notices.
    cancel : threading.Event, optional
        Set it to stop; it is looked at after every tile.
    segmenter : Segmenter, optional
        Finds membranes in real and synthesized sections.
    known : dict of str to Figures, optional
        What an earlier call came to with the same models before it was interrupted.
    keep : callable
        Is given all that is known after each section.

    Raises
    ------
    BadInput
        If a model or the device is not to be had.
    Cancelled
        If `cancel` was set.
    """
    methods = [make_method("ssan", str(path), device) for path in (base, tuned) if path]
    methods = [replace(method, tiling=methods[0].tiling) for method in methods]
    rows: list[list[Figures]] = [[] for _ in methods]
    known = {} if known is None else known
    steps = len(sections) * len(methods)
    for number, z in enumerate(sections):
        stack = SliceStack(
            np.stack([source.stack.read(at, source.field) for at in (z - 1, z, z + 1)])
        )
        truth = segmenter.membranes(stack.read(1)) if segmenter else None
        measure = partial(_measure, segmenter, truth)
        for which in range(len(methods)):
            key, before = f"{which}:{z}", number * len(methods) + which
            if key not in known:
                for item in leave_one_out(stack, [1], methods[which], judge=measure):
                    if isinstance(item, dict):
                        known[key] = {name: item[name] for name in MEASURED}
                        keep(known)
                    elif isinstance(item, LessMemory):
                        methods[which] = item.method
                        report(Notice(item.text))
                    elif isinstance(item, Progress):
                        report(Judging(before * item.total + item.done, steps * item.total))
                        if cancel is not None and cancel.is_set():
                            raise Cancelled
            rows[which].append(known[key])
    means = [{name: mean([row[name] for row in each]) for name in MEASURED} for each in rows]
    return means[0], means[-1]


def judged_pixels(division: Division) -> int:
    """How many pixels one model synthesizes for a verdict."""
    height, width = (min(length, FIELD) for length in division.source.extent)
    return len(division.held_out) * height * width


def _measure(
    segmenter: Segmenter | None, truth: Mask | None, z: int, real: Array, made: Array
) -> Figures:
    figures: Figures = {name: METRICS[name](real, made) for name in FIGURES}
    if segmenter is None or truth is None:
        return figures | {"dice": None, "f1": None}
    found = segmenter.membranes(made)
    return figures | {"dice": dice(found, truth), "f1": f1(found, truth)}


def _known(figures: Figures, name: str) -> float:
    value = figures[name]
    assert value is not None  # only grain may be unknown
    return value


def _signed(value: float, unit: str) -> str:
    digits = 1 if abs(value) >= 0.1 else 2
    return f"{value:+.{digits}f} {unit}".replace("-", "−")


def _percent(base: Figures, tuned: Figures, name: str) -> str:
    before, after = _known(base, name), _known(tuned, name)
    change = 100 * (after - before) / abs(before) if before else 0.0
    return f"{change:+.{0 if abs(change) >= 1 else 1}f} %".replace("-", "−")


def _advice(loss: str) -> str:
    if loss == "L_s":
        return (
            "A longer time may help; natural texture costs fidelity: the aim “faithful” may, too."
        )
    return "A longer time, or more slices to learn from, may help."
