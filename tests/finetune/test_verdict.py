from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_ssan.finetune.events import Judging
from napari_ssan.finetune.verdict import Verdict, decide, judge
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source

BASE = {
    "psnr": 20.0,
    "ssim": 0.40,
    "ie": 20.0,
    "psnr_lowpass": 25.0,
    "hf_ratio": 0.5,
    "dice": None,
    "f1": None,
}
SIX = range(6)


def test_better_is_said_with_figures():
    verdict = decide(BASE, BASE | {"psnr": 20.8, "ssim": 0.448, "ie": 19.0}, SIX, "L_1")
    assert verdict.better
    assert verdict.text == (
        "better than the base model on 6 held-out slices: +0.8 dB, SSIM +12 %, error −5 %"
    )


@pytest.mark.parametrize("worse", [{"psnr": 19.99}, {"ssim": 0.399}, {"ie": 20.01}])
def test_a_model_that_is_worse_in_anything_is_not_handed_over(worse):
    better = {"psnr": 21.0, "ssim": 0.5, "ie": 18.0}
    verdict = decide(BASE, BASE | better | worse, SIX, "L_1")
    assert not verdict.better
    assert verdict.text.startswith("not better than the base model on 6 held-out slices (")
    assert "the base stays chosen" in verdict.text


def test_texture_alone_does_not_decide():
    assert not decide(BASE, BASE | {"hf_ratio": 1.0, "psnr_lowpass": 26.0}, SIX, "L_s").better
    assert decide(BASE, BASE | {"ssim": 0.41}, SIX, "L_s").better


def test_what_may_help_is_said():
    unchanged = decide(BASE, BASE, [3], "L_1")
    assert unchanged.text == (
        "no better than the base model on 1 held-out slice, which proves little: "
        "the base stays chosen. "
        "A longer time, or more slices to learn from, may help."
    )
    assert "faithful" in decide(BASE, BASE | {"psnr": 19.0}, SIX, "L_s").text


def test_membranes_are_told_where_they_were_sought():
    base, tuned = BASE | {"dice": 0.5, "f1": 0.4}, BASE | {"psnr": 21.0, "dice": 0.62, "f1": 0.5}
    assert "membranes +0.1 Dice" in decide(base, tuned, SIX, "L_1").text


def test_round_trip():
    verdict = decide(BASE, BASE, SIX, "L_1", "Training was stopped.")
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_a_model_is_as_good_as_itself(volume, base):
    events = []
    figures = judge(
        Source(SliceStack(volume)), [4, 9], Path(base), Path(base), "cpu", events.append
    )
    assert figures[0] == figures[1]
    assert [(e.done, e.total) for e in events if isinstance(e, Judging)][-1] == (4, 4)


def test_what_was_judged_before_an_interruption_is_not_judged_again(volume, base):
    source, kept, events = Source(SliceStack(volume)), [], []
    given = (source, [4, 9], Path(base), Path(base), "cpu")
    figures = judge(*given, keep=lambda known: kept.append(json.dumps(known)))
    assert [len(json.loads(text)) for text in kept] == [1, 2, 3, 4]
    assert judge(*given, events.append, known=json.loads(kept[1])) == figures
    assert [event.done for event in events if isinstance(event, Judging)] == [3, 4]


def test_only_neighbours_and_the_used_region_matter(volume, base):
    window = slice(0, 64), slice(8, 72)
    other = volume.copy()
    other[:, :, :8] = 0
    other[[0, 1, 2, 6, 7]] = 0
    figures = [
        judge(Source(SliceStack(v), window=window), [4], Path(base), None, "cpu")
        for v in (volume, other)
    ]
    assert figures[0] == figures[1]
    assert np.isfinite(figures[0][0]["psnr"])


class Halves:
    """Finds membranes in the darker half of the pixels."""

    def membranes(self, section):
        return section < np.median(section)


def test_membranes_are_sought_in_both(volume, base):
    known, _ = judge(Source(SliceStack(volume)), [4], Path(base), None, "cpu", segmenter=Halves())
    assert 0 < known["dice"] < 1
    assert 0 < known["f1"] <= 1
