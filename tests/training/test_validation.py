from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_ssan.engine.methods import average
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.metrics.fidelity import interpolation_error, psnr, ssim
from napari_ssan.network.ssan import Synthesis
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.training.events import Preparing
from napari_ssan.training.validation import Validation, is_better, merit

from .conftest import make_volume


class Average(nn.Module):
    """A network that averages."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.5))

    def forward(self, previous, following, position=None):
        image = self.share * previous + (1 - self.share) * following
        return Synthesis(image, previous, following, image)


def test_held_out_sections_are_judged_as_evaluation_judges(source):
    validation = Validation([source], 8, sections=2)
    first = validation.held_out[0]
    stack = source.stack
    assert first.real.tolist() == stack.read(first.section).tolist()
    unit = average(first.previous, first.following, 0.5)
    grey = np.clip(first.wanted.denormalize(unit), first.wanted.minimum, first.wanted.maximum)
    made = np.rint(grey).astype(np.uint8)
    scores = Validation([source], 8, sections=1).score(Average())
    assert scores["psnr"] == pytest.approx(psnr(first.real, made), abs=0.05)
    assert scores["ssim"] == pytest.approx(ssim(first.real, made), abs=0.01)
    assert scores["ie"] == pytest.approx(interpolation_error(first.real, made), abs=0.05)


def test_scores_are_means_over_sections_spread_over_the_sources(source):
    other = Source(SliceStack(make_volume(seed=1)), 3, 12)
    validation = Validation([source, other], 8, sections=3)
    sections = [(each.source, each.section) for each in validation.held_out]
    assert [number for number, _ in sections] == [0, 0, 0, 1, 1, 1]
    assert all(4 <= z <= 10 for number, z in sections if number == 1)
    assert len(set(sections)) == 6
    apart = [Validation([each], 8, sections=3).score(Average()) for each in (source, other)]
    both = validation.score(Average())
    for name, value in both.items():
        assert value == pytest.approx((apart[0][name] + apart[1][name]) / 2, abs=1e-6)


def test_baselines_are_measured_on_the_same_sections(source):
    validation = Validation([source], 8, sections=2)
    events: list[Preparing] = []
    baselines = validation.baselines(events.append)
    assert set(baselines) == {"average", "tvl1"}
    ours = validation.score(Average())
    assert baselines["average"]["psnr"] == pytest.approx(ours["psnr"], abs=0.1)
    assert baselines["tvl1"] != baselines["average"]
    assert [event.done for event in events] == [0, 1, 2, 3]


def test_marked_and_damaged_sections_are_not_looked_at():
    volume = make_volume()
    volume[9] = 0
    region = Region.from_mask(np.eye(64, dtype=bool))
    source = Source(SliceStack(volume), marks=Marks({3}, {13: [region]}))
    sections = {each.section for each in Validation([source], 8, sections=99).held_out}
    assert sections <= {1, 5, 6, 7, 11}
    assert sections


def test_fields_are_in_the_middle_of_what_may_be_used():
    stack = SliceStack(make_volume())
    source = Source(stack, window=(slice(4, 45), slice(None)))
    (held_out,) = Validation([source], 16, sections=1).held_out
    np.testing.assert_array_equal(held_out.real, stack.read(held_out.section)[8:40])


def test_a_preview_is_in_grey_values_of_the_stack(source):
    held_out, now = Validation([source], 8, sections=3).preview(Average())
    assert now.dtype == np.float32
    assert now.shape == held_out.real.shape
    assert abs(float(now.mean()) - float(held_out.real.mean())) < 10


def test_grey_values_are_matched_as_a_repair_matches_them(source):
    spread = {}
    for match in ("mean", "histogram"):
        _, now = Validation([source], 8, match=match, sections=1).preview(Average())
        spread[match] = float(now.std())
    assert spread["histogram"] > spread["mean"] + 1


def test_what_cannot_be_judged_is_refused(source):
    with pytest.raises(BadInput, match="too small"):
        Validation([source], 128)
    with pytest.raises(BadInput, match="three good slices"):
        Validation([Source(source.stack, 0, 2)], 8)


def test_scoring_can_be_broken_off(source):
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        Validation([source], 8, sections=3).score(Average(), check)
    assert len(calls) == 2


def test_better_in_all_that_decides_is_better_whatever_the_merit():
    start = {"psnr": 23.09, "ssim": 0.529, "ie": 13.56, "psnr_lowpass": 26.5, "hf_ratio": 0.87}
    sharp = {"psnr": 23.13, "ssim": 0.535, "ie": 13.52, "psnr_lowpass": 26.4, "hf_ratio": 0.83}
    assert merit(sharp, "L_s") < merit(start, "L_s")
    assert is_better(sharp, start, "L_s")
    assert not is_better(sharp | {"ie": 13.57}, start, "L_s")
    assert not is_better(start, start, "L_s")


def test_merit_of_texture_does_not_fall_with_texture():
    smooth = {"psnr": 17.0, "psnr_lowpass": 19.0, "hf_ratio": 0.2}
    real = {"psnr": 14.0, "psnr_lowpass": 18.8, "hf_ratio": 0.95}
    coarse = {"psnr": 13.0, "psnr_lowpass": 18.8, "hf_ratio": 1.6}
    assert merit(smooth, "L_1") > merit(real, "L_1")
    assert merit(smooth, "L_f") > merit(real, "L_f")
    assert merit(real, "L_s") > merit(coarse, "L_s") > merit(smooth, "L_s")
    # Of grain that is as good, structure decides.
    nearly = real | {"hf_ratio": 1.08}
    assert merit(nearly, "L_s") == merit(real, "L_s") == 18.8
