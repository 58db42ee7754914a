from __future__ import annotations

import errno
import os
from threading import Event as Flag

import numpy as np
import pytest
import torch

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Notice
from napari_ssan.finetune.events import Judging, MemoryUsed
from napari_ssan.finetune.process import run_here
from napari_ssan.finetune.run_folder import CANDIDATE, CHECKPOINT
from napari_ssan.finetune.verdict import Verdict, judge
from napari_ssan.network.model_file import load_model, read_info
from napari_ssan.segmenter.segmenter import bundled_segmenter
from napari_ssan.training.events import (
    Checkpointed,
    Compared,
    Finished,
    Preview,
    RolledBack,
    StepDone,
    Validated,
)

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def weights(path) -> dict[str, torch.Tensor]:
    return load_model(path).network.state_dict()


def same(one, other) -> bool:
    first, second = weights(one), weights(other)
    return all(torch.equal(first[key], second[key]) for key in first)


def figures(run) -> tuple[dict, dict]:
    """Of base and result, measured anew."""
    source, sections = run.source(), run.record.held_out
    return judge(source, sections, run.base, run.model, "cpu", segmenter=bundled_segmenter())


def steps(events) -> list[int]:
    return [event.step for event in events if isinstance(event, StepDone)]


class Breaks:
    """Sets a flag, or raises an error, at a certain event."""

    def __init__(self, kind: type, flag: Flag, after: int = 0) -> None:
        self.kind, self.flag, self.after = kind, flag, after
        self.events: list = []

    def __call__(self, event) -> None:
        self.events.append(event)
        if sum(isinstance(each, self.kind) for each in self.events) > self.after:
            self.flag.set()


def test_what_is_better_is_handed_over_with_its_figures(begin):
    run, events = begin(), []
    verdict = run_here(run, events.append)
    assert verdict.better
    assert verdict.sections == run.record.held_out == (20, 21, 22)
    assert verdict.tuned["psnr"] > verdict.base["psnr"]
    assert (verdict.base, verdict.tuned) == figures(run)
    card = load_model(run.model).info.card
    assert card["verdict"] == verdict.text
    assert card["metrics"] == {"base": verdict.base, "fine-tuned": verdict.tuned}
    assert card["tile"] == 64
    assert card["terms"] == "free"
    assert card["trained_on"] == ["blobs", "blobs.tif, slices 0-17"]
    assert card["validated_on"] == ["blobs.tif, slices 19-23"]
    assert card["fine_tuning"] == run.config.model_dump(mode="json")
    assert not card["unchanged"]
    assert card["curve"]
    kinds = {type(event) for event in events}
    assert kinds >= {
        *(Compared, StepDone, Validated, Preview, Checkpointed, Finished, Judging, MemoryUsed)
    }
    assert steps(events) == list(range(1, 21))
    assert next(e for e in events if isinstance(e, Preview)).section in (20, 21, 22)
    assert not (run.folder / CANDIDATE).exists()
    assert not (run.folder / CHECKPOINT).exists()


def test_a_run_that_is_over_is_not_done_again(begin):
    run, events = begin(), []
    verdict = run_here(run)
    assert run_here(run, events.append) == verdict
    assert events == []


def test_what_is_not_better_leaves_the_base_as_it_was(begin, monkeypatch):
    run = begin()

    def worse(*arguments):
        base, tuned = judge(*arguments)
        return base, tuned | {"ssim": base["ssim"] - 1e-6}

    monkeypatch.setattr("napari_ssan.finetune.work.judge", worse)
    verdict = run_here(run)
    assert not verdict.better
    assert same(run.model, run.base)
    card = load_model(run.model).info.card
    assert card["unchanged"]
    assert card["verdict"] == verdict.text
    assert "the base stays chosen" in card["verdict"]
    assert card["trained_on"] == ["blobs"]  # what these weights were trained on
    assert card["tile"] == 64


def test_training_that_never_was_better_is_not_judged_twice(begin, monkeypatch):
    # A rate at which nothing is learned but harm.
    run = begin()
    wild = run.record.training.model_copy(update={"learning_rate": 5.0, "average": 0.0})
    run = type(run)(run.folder, run.record.model_copy(update={"training": wild}))
    verdict = run_here(run)
    assert not verdict.better
    assert verdict.base == verdict.tuned
    assert verdict.text.startswith("no better than the base model on 3 held-out slices")
    assert same(run.model, run.base)


def test_left_off_and_gone_on_with_it_is_the_same_to_the_last_bit(begin, tmp_path):
    whole, parted = begin(), begin(folder=tmp_path / "parted")
    run_here(whole)
    for after in (0, 12):  # the state counts as good every 10 steps
        cancel = Flag()
        breaks = Breaks(StepDone, cancel, after)
        with pytest.raises(Cancelled):
            run_here(parted, breaks, cancel)
    assert parted.share == 0.5
    assert "50 % done" in str(parted)
    verdict = run_here(parted)
    assert verdict == whole.verdict
    assert same(whole.model, parted.model)


def test_stopped_it_keeps_the_best_and_says_so(begin):
    run, stop = begin(steps=1000), Flag()
    breaks = Breaks(StepDone, stop, 3)
    verdict = run_here(run, breaks, None, stop)
    assert steps(breaks.events) == [1, 2, 3, 4]
    assert verdict.reason == "Training was stopped after step 4."
    assert run.verdict == verdict
    assert min(verdict.tuned[key] - verdict.base[key] for key in ("psnr", "ssim")) >= 0 or same(
        run.model, run.base
    )


def test_left_off_while_judging_only_that_is_done_again(begin):
    run, cancel = begin(), Flag()
    with pytest.raises(Cancelled):
        run_here(run, Breaks(Judging, cancel), cancel)
    assert run.verdict is None
    assert run.share == 1
    events: list = []
    assert run_here(run, events.append).better
    assert steps(events) == []
    assert any(isinstance(event, Judging) for event in events)


@pytest.mark.parametrize(
    "place",
    ["training.result.save_model", "finetune.work.save_model", "finetune.work.write_atomically"],
)
def test_a_full_disk_at_the_end_loses_nothing(begin, monkeypatch, place):
    run = begin()

    def fail(*arguments):
        raise FULL

    with monkeypatch.context() as full:
        full.setattr(f"napari_ssan.{place}", fail)
        with pytest.raises(
            BadInput, match=r"could not be written.*No space left.*free some disk space"
        ):
            run_here(run)
    events: list = []
    assert run_here(run, events.append).better
    assert steps(events) == []


def test_no_room_for_a_checkpoint_is_said_before_training(begin, monkeypatch):
    run = begin()

    def fail(*arguments):
        raise FULL

    with monkeypatch.context() as full:
        full.setattr("napari_ssan.training.checkpoint.serialize", fail)
        with pytest.raises(
            BadInput, match=r"checkpoint .* cannot be written .*free some disk space"
        ):
            run_here(run)
    assert run_here(run).better


def test_a_disk_that_is_full_later_does_not_end_training(begin, monkeypatch):
    run, events = begin(), []
    with monkeypatch.context() as full:

        def report(event) -> None:
            events.append(event)
            if isinstance(event, StepDone):
                full.setattr("napari_ssan.training.checkpoint.serialize", fail)

        def fail(*arguments):
            raise FULL

        verdict = run_here(run, report)
    assert verdict.better
    notices = [str(event) for event in events if isinstance(event, Notice)]
    assert any("The checkpoint cannot be written (No space left" in text for text in notices)


def _nan(image, target, epsilon):
    return (image - target).abs().mean() * np.nan


def test_a_loss_that_is_no_number_now_and_then_is_got_over(begin, monkeypatch):
    from napari_ssan.losses.pixel import charbonnier

    run, events, calls = begin(), [], []

    def sometimes(image, target, epsilon):
        calls.append(1)
        return (_nan if len(calls) in (5, 9) else charbonnier)(image, target, epsilon)

    monkeypatch.setattr("napari_ssan.losses.total.charbonnier", sometimes)
    assert run_here(run, events.append).reason == ""
    assert sum(isinstance(event, RolledBack) for event in events) == 2


def test_a_loss_that_stays_no_number_ends_in_a_verdict_and_the_base(begin, monkeypatch):
    run = begin()
    monkeypatch.setattr("napari_ssan.losses.total.charbonnier", _nan)
    verdict = run_here(run)
    assert not verdict.better
    assert "lower the learning rate" in verdict.reason or "mark sections" in verdict.reason
    assert same(run.model, run.base)


def test_when_the_gpus_memory_is_full_training_goes_on_with_less(begin, monkeypatch):
    from napari_ssan.losses.pixel import charbonnier

    run, events = begin(), []

    def greedy(image, target, epsilon):
        if len(image) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return charbonnier(image, target, epsilon)

    monkeypatch.setattr("napari_ssan.losses.total.charbonnier", greedy)
    assert run_here(run, events.append).better
    notices = [str(event) for event in events if isinstance(event, Notice)]
    assert any("continues with 2 triplets per step" in text for text in notices)


def test_when_nothing_fits_into_memory_it_ends_in_a_sentence(begin, monkeypatch):
    run = begin()

    def full(image, target, epsilon):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("napari_ssan.losses.total.charbonnier", full)
    verdict = run_here(run)
    assert not verdict.better
    assert "close other programs" in verdict.reason
    assert same(run.model, run.base)


def test_memory_that_is_full_before_training_is_said_and_the_run_stays(begin, monkeypatch):
    run = begin()

    def full(*arguments, **settings):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    with monkeypatch.context() as greedy:
        greedy.setattr("napari_ssan.finetune.work.load_model", full)
        with pytest.raises(BadInput, match="not enough memory"):
            run_here(run)
    assert isinstance(run_here(run), Verdict)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
def test_the_gpus_memory_is_back_after_a_run(begin):
    before = torch.cuda.memory_reserved()
    run_here(begin(device="cuda"))
    # What libraries keep for themselves is a few MiB.
    assert torch.cuda.memory_reserved() <= before + 32 * 2**20


def test_natural_texture_without_vgg16_is_trained_as_faithful(begin):
    run, events = begin(loss="L_s"), []
    assert (run.config.loss, run.aim) == ("L_s", "faithful")
    verdict = run_here(run, events.append)
    assert "natural" not in verdict.text
    card = read_info(run.model).card
    assert card["fine_tuning"]["loss"] == "L_1"
    assert "natural" not in card.get("summary", "")
    losses = next(event for event in events if isinstance(event, StepDone)).losses
    assert set(losses) == {"pixel", "structure", "total"}
