from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Notice
from napari_ssan.losses.total import TotalLoss
from napari_ssan.stack.triplets import TripletSampler
from napari_ssan.training import loop
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.events import Event, Preview, RolledBack, StepDone, Validated
from napari_ssan.training.loop import ROLLBACKS, Training
from napari_ssan.training.state import Checkpoint, TrainingState
from napari_ssan.training.validation import Validation

from .conftest import CPU, make_config, make_network


@pytest.fixture
def begin(source, events):
    """``begin(steps=20)``: a run that has not begun, its events kept."""

    def call(vgg=None, **settings) -> Training:
        config = make_config(**settings)
        state = TrainingState(make_network(), config, CPU)
        sampler = TripletSampler([source], config.crop, config.seed, config.augmentation)
        validation = Validation([source], 8, sections=1)
        before = validation.preview(state.average)[1]
        loss = TotalLoss(config.loss, vgg)
        return Training(
            state, sampler, config, config.budget(100), loss, validation, before, events.append
        )

    return call


def of(events: list[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("preset", ["L_1", "L_f", "L_s"])
def test_each_loss_trains(begin, events, vgg, preset):
    """The network learns to be brighter, which all terms feel."""
    weights = {"preset": preset, "structure": 0.1}
    training = begin(vgg, steps=30, learning_rate=5e-3, loss=weights)
    drawn = training.sampler.triplet
    training.sampler.triplet = lambda number: replace(t := drawn(number), target=t.target + 0.5)
    assert training.run() == ""
    losses = [event.losses for event in of(events, StepDone)]
    wanted = {"pixel", "structure", "total"}
    wanted |= {"feature"} if preset != "L_1" else set()
    wanted |= {"style", "style_0", "style_1", "style_2"} if preset == "L_s" else set()
    assert losses[0].keys() == wanted
    for term in wanted - {"style_0", "style_1", "style_2", "structure"}:
        first, last = (np.mean([each[term] for each in part]) for part in (losses[:8], losses[-8:]))
        assert last < 0.9 * first, term


def test_events_of_a_run(begin, events):
    training = begin(steps=12, preview_every=1e-9)
    training.run()
    steps = of(events, StepDone)
    assert [event.step for event in steps] == list(range(1, 13))
    assert [event.share for event in steps] == pytest.approx(np.arange(1, 13) / 12)
    assert steps[-1].seconds_left == 0
    assert steps[0].learning_rate == training.config.learning_rate
    assert len(steps[0].gammas) == 3
    assert [event.step for event in of(events, Validated)] == [6, 12]
    assert of(events, Validated)[0].best
    preview = of(events, Preview)[-1]
    assert preview.real.dtype == preview.now.dtype == np.float32
    assert preview.before.shape == preview.real.shape
    assert not np.array_equal(preview.before, preview.now)
    curve = training.state.facts.curve
    assert [entry["step"] for entry in curve] == [6, 12]
    means = [np.mean([event.losses["total"] for event in part]) for part in (steps[:6], steps[6:])]
    assert [entry["total"] for entry in curve] == pytest.approx(means)
    assert curve[0]["psnr"] == of(events, Validated)[0].scores["psnr"]


def test_the_average_trails_the_network(begin):
    training = begin(steps=5, average=0.9)
    start = {k: v.clone() for k, v in training.state.network.state_dict().items()}
    training.run()
    key = "warp_head.out.bias"
    now, mean = (n.state_dict()[key] for n in (training.state.network, training.state.average))
    assert 0 < float((mean - start[key]).norm()) < float((now - start[key]).norm())


def test_the_best_is_kept_not_the_last(begin, events, monkeypatch):
    training = begin(steps=10, validate_every=0.2)
    values = iter([20.0, 23.0, 22.0, 23.0, 21.0])
    weights = []

    def score(network: nn.Module, check) -> dict[str, float]:
        weights.append({k: v.clone() for k, v in network.state_dict().items()})
        return {"psnr": next(values)}

    monkeypatch.setattr(training.validation, "score", score)
    training.run()
    assert [event.best for event in of(events, Validated)] == [True, True, False, False, False]
    state = training.state
    assert state.facts.best_step == 4
    assert all(torch.equal(state.best[key], value) for key, value in weights[1].items())


def test_a_budget_of_minutes_is_one_of_time(begin, events):
    training = begin(minutes=2 / 60, validate_every=1)
    begun = time.monotonic()
    training.run()
    assert time.monotonic() - begun >= 2
    assert training.share == 1
    assert training.state.facts.seconds >= 2
    assert of(events, StepDone)[0].learning_rate > of(events, StepDone)[-1].learning_rate


def test_validations_take_a_small_part_of_the_time(begin, events, monkeypatch):
    training = begin(minutes=1.2 / 60, validate_every=0.01)
    score = training.validation.score
    spent = 0.0

    def slow(network: nn.Module, check) -> dict[str, float]:
        nonlocal spent
        begun = time.monotonic()
        time.sleep(0.02)
        scores = score(network, check)
        spent += time.monotonic() - begun
        return scores

    monkeypatch.setattr(training.validation, "score", slow)
    training.run()
    assert len(of(events, Validated)) >= 2
    assert spent < 0.5 * training.state.facts.seconds
    assert of(events, Validated)[-1].step == training.state.facts.step


def test_time_of_an_earlier_part_counts(begin, events):
    training = begin(minutes=1)
    training.state.facts.seconds = 60 - 1e-6  # less than a step takes
    training.run()
    assert len(of(events, StepDone)) == 1


@pytest.mark.parametrize("where", ["draw", "network", "loss"])
def test_cancel_works_within_a_step(begin, events, where, monkeypatch):
    training = begin(steps=100)
    kept: list[Checkpoint] = []
    training.keep = kept.append

    def set_at_step_13(part):
        def wrapped(*arguments):
            if training.state.facts.step == 13:
                training.cancel.set()
            return part(*arguments)

        return wrapped

    if where == "draw":
        sampler = training.sampler
        monkeypatch.setattr(sampler, "triplet", set_at_step_13(sampler.triplet))
    elif where == "network":
        network = training.state.network
        monkeypatch.setattr(network, "forward", set_at_step_13(network.forward))
    else:
        monkeypatch.setattr(training, "loss", set_at_step_13(training.loss))
    with pytest.raises(Cancelled):
        training.run()
    assert [event.step for event in of(events, StepDone)][-1] == 13
    # What is kept is a state between two steps, with the triplets that come next.
    assert kept[-1].facts.step == 10
    assert kept[-1].facts.sampler != training.sampler.state()


def test_cancel_works_from_another_thread_and_in_a_validation(begin):
    training = begin(steps=10**6)
    timer = threading.Timer(0.3, training.cancel.set)
    timer.start()
    with pytest.raises(Cancelled):
        training.run()
    timer.join()
    training = begin(steps=2)
    monitor = training.validation.score
    training.validation.score = lambda network, check: (
        training.cancel.set(),
        monitor(network, check),
    )
    with pytest.raises(Cancelled):
        training.run()


def test_stop_keeps_the_best_so_far(begin, events):
    training = begin(steps=100, validate_every=0.05)

    def stop(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepDone) and event.step == 13:
            training.stop.set()

    training.report = stop
    assert "stopped after step 13" in training.run()
    assert training.state.facts.best_step in (5, 10)
    assert [event.step for event in of(events, Validated)] == [5, 10]


def test_stop_before_the_first_validation_judges_what_there_is(begin, events):
    training = begin(steps=100, validate_every=1)

    def stop(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepDone) and event.step == 3:
            training.stop.set()

    training.report = stop
    training.run()
    assert [event.step for event in of(events, Validated)] == [3]
    assert training.state.best


class Fails(nn.Module):
    """A loss that is no number, or whose gradient is none, or that finds no memory, at times."""

    def __init__(self, how: str, at: set[int]) -> None:
        super().__init__()
        self.how, self.at, self.calls = how, at, 0
        self.real = TotalLoss(make_config().loss)

    def forward(self, image, *rest):
        self.calls += 1
        if self.calls in self.at:
            if self.how == "memory":
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB.")
            if self.how == "gradient":
                zero = image.sum() * 0
                return zero.abs().sqrt(), {"pixel": 0.0}
            return image.mean() * float(self.how), {"pixel": 0.0}
        return self.real(image, *rest)


@pytest.mark.parametrize("how", ["nan", "inf", "gradient"])
def test_training_goes_back_from_what_is_no_number(begin, events, how):
    training = begin(steps=16, schedule="paper")
    training.loss = Fails(how, {14})
    good: list[dict[str, torch.Tensor]] = []
    rewind = training.state.rewind

    def watched(checkpoint: Checkpoint) -> None:
        rewind(checkpoint)
        good.append({k: v.clone() for k, v in training.state.network.state_dict().items()})
        assert checkpoint.facts.step == 10
        assert all(torch.equal(v, checkpoint.tensors[f"network.{k}"]) for k, v in good[0].items())

    training.state.rewind = watched
    assert training.run() == ""
    assert len(good) == 1
    (event,) = of(events, RolledBack)
    assert event.step == 13
    assert "half the learning rate" in event.reason
    rates = {event.step: event.learning_rate for event in of(events, StepDone)}
    assert rates[14] == pytest.approx(rates[13] / 2)
    assert len(rates) == 16
    assert all(p.isfinite().all() for p in training.state.average.parameters())


def test_training_that_keeps_failing_ends_with_the_best_so_far(begin, events):
    training = begin(steps=40, validate_every=0.25)
    training.loss = Fails("nan", set(range(13, 99)))
    reason = training.run()
    assert len(of(events, RolledBack)) == ROLLBACKS == 3
    assert "ended after step 12" in reason
    assert "lower the learning rate" in reason
    assert training.state.facts.best_step == 10
    assert all(value.isfinite().all() for value in training.state.best.values())


def test_a_smaller_batch_where_memory_does_not_suffice(begin, events):
    training = begin(steps=14, batch=4)
    training.loss = Fails("memory", {3, 12})
    assert training.run() == ""
    notes = [str(event) for event in of(events, Notice)]
    assert [note.split(": ")[1] for note in notes] == [
        "training continues with 2 triplets per step.",
        "training continues with 1 triplets per step.",
    ]
    assert training.state.facts.batch == 1
    assert training.state.facts.step == 14
    training = begin(steps=14, batch=2)
    training.loss = Fails("memory", set(range(5, 99)))
    reason = training.run()
    assert "even with a single triplet of 32 pixels" in reason
    assert training.state.facts.best_step == 4


def test_other_errors_are_not_hidden(begin, monkeypatch):
    training = begin()
    monkeypatch.setattr(training, "loss", lambda *rest: (_ for _ in ()).throw(RuntimeError("bug")))
    with pytest.raises(RuntimeError, match="bug"):
        training.run()


def test_checkpoints_are_due_by_time_and_at_the_end(begin):
    steps: list[int] = []
    training = begin(steps=35, checkpoint_every=1e-9)
    training.keep = lambda checkpoint: steps.append(checkpoint.facts.step)
    training.run()
    assert steps == [10, 20, 30, 35]
    steps.clear()
    training = begin(steps=35, checkpoint_every=1e9)
    training.keep = lambda checkpoint: steps.append(checkpoint.facts.step)
    training.run()
    assert steps == [35]


def test_shares_that_are_crossed():
    hits = [step for step in range(1, 21) if loop._crosses((step - 1) / 20, step / 20, 0.15)]
    assert hits == [3, 6, 9, 12, 15, 18, 20]
    assert not loop._crosses(0.5, 0.5, 0.5)
    assert not loop._crosses(1.0, 1.0, 0.3)


def test_weights_that_become_infinite_end_training_without_a_best(begin, events):
    training = begin(steps=16)
    weight = next(training.state.network.parameters())
    training.state.optimizer.step = lambda: weight.data.fill_(torch.inf)
    assert "A weight became infinite or NaN again" in training.run()
    assert len(of(events, RolledBack)) == ROLLBACKS
    assert not training.state.best
    assert all(p.isfinite().all() for p in training.state.average.parameters())


def test_results_that_become_infinite_end_training_in_a_sentence(begin, monkeypatch):
    training = begin(steps=16)
    monkeypatch.setattr(TrainingConfig, "rate", lambda config, done: 1e30)
    with pytest.raises(BadInput, match="results became infinite or NaN, so no model is written"):
        training.run()
    assert not training.state.best


# As on a GPU, where no step may wait to be looked at.


def test_steps_that_are_looked_at_later_train_the_same(begin, events):
    here, there = begin(steps=25, validate_every=0.12), begin(steps=25, validate_every=0.12)
    there._look_after = loop.GOOD_AFTER
    for training in (here, there):
        training.run()
    for key, value in here.state.network.state_dict().items():
        assert torch.equal(value, there.state.network.state_dict()[key])
    curves = [training.state.facts.curve for training in (here, there)]
    for entry in (*curves[0], *curves[1]):
        del entry["minutes"]
    assert curves[0] == curves[1]


@pytest.mark.parametrize("how", ["nan", "gradient"])
def test_what_is_no_number_is_found_before_a_state_is_kept(begin, events, how):
    training = begin(steps=40, validate_every=0.5)
    training._look_after = loop.GOOD_AFTER
    training.loss = Fails(how, {14})
    kept: list[Checkpoint] = []
    training.keep = kept.append
    training.config = training.config.model_copy(update={"checkpoint_every": 1e-9})
    assert training.run() == ""
    (event,) = of(events, RolledBack)
    assert event.step == 19
    for checkpoint in kept:
        assert all(v.isfinite().all() for v in checkpoint.tensors.values() if v.is_floating_point())
    assert [checkpoint.facts.step for checkpoint in kept] == [10, 20, 30, 40]
    curve = training.state.facts.curve
    assert all(np.isfinite(entry["total"]) for entry in curve)


def test_no_step_fetches_its_losses(begin, events, monkeypatch):
    training = begin(steps=9, validate_every=1)
    training._look_after = loop.GOOD_AFTER
    monkeypatch.setattr(loop, "TELL_EVERY", 1e9)
    fetched: list[int] = []
    for name in ("item", "tolist", "__bool__", "__float__", "numpy", "cpu"):
        known = getattr(torch.Tensor, name)

        def watched(tensor, *rest, known=known):
            fetched.append(training.state.facts.step)
            return known(tensor, *rest)

        monkeypatch.setattr(torch.Tensor, name, watched)
    training.run()
    assert not {step for step in fetched if 1 < step < 8}
    assert {0, 8, 9} & set(fetched)


def test_events_of_steps_come_ten_times_a_second_at_most(begin, events, monkeypatch):
    monkeypatch.setattr(loop, "TELL_EVERY", 0.1)
    training = begin(steps=60, validate_every=1)
    began = time.monotonic()
    training.run()
    told = of(events, StepDone)
    assert len(told) <= 2 + 10 * (time.monotonic() - began)
    assert len(told) < 60
    assert told[-1].step == 60
    assert training.state.facts.curve[-1]["total"] > 0


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_result(begin, workers):
    alone, helped = begin(steps=12, batch=2), begin(steps=12, batch=2)
    helped.sampler.drawn = 0
    helped.workers = workers
    helped.__post_init__()
    for training in (alone, helped):
        training.run()
    assert alone.sampler.state() == helped.sampler.state()
    for key, value in alone.state.network.state_dict().items():
        assert torch.equal(value, helped.state.network.state_dict()[key])
