from __future__ import annotations

import pytest
from pydantic import ValidationError

from napari_ssan.finetune.config import AIMS, FineTuneConfig, aim_of, default_minutes


def test_round_trip():
    config = FineTuneConfig(base="mine", loss="L_s", minutes=3.5, style=2e4, seed=4)
    assert FineTuneConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    "wrong", [{"minutes": 0}, {"share": 0}, {"share": 0.9}, {"loss": "L_2"}, {"steps": 0}, {"x": 1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        FineTuneConfig(**wrong)


def test_aims_are_losses_in_plain_words():
    assert {aim: aim_of(loss) for aim, loss in AIMS.items()} == {
        "faithful": "faithful",
        "natural": "natural",
    }
    assert aim_of("L_f") == "L_f"


def test_a_short_run_has_a_short_memory_and_is_validated_at_least_twice():
    short, long = (
        FineTuneConfig(minutes=minutes).training(128, 1, "mean", 1) for minutes in (1, 60)
    )
    assert 0.9 <= short.average < long.average < 1
    assert 1 / (1 - short.average) < FineTuneConfig(minutes=1).expected_steps(1) / 4
    assert (short.validate_every, long.validate_every) == (0.5, 0.1)


def test_training_gets_what_was_asked_for():
    config = FineTuneConfig(loss="L_s", style=3.0, minutes=2, seed=7)
    training = config.training(64, 3, "histogram", None)
    assert (training.crop, training.match, training.seed) == (64, "histogram", 7)
    assert (training.minutes, training.steps) == (2, None)
    assert (training.loss.preset, training.loss.style) == ("L_s", 3.0)
    assert training.sections * 3 == 6
    assert training.loss.scales == (1, 2)
    steps = config.model_copy(update={"steps": 9}).training(64, 1, "mean", 1)
    assert (steps.minutes, steps.steps) == (None, 9)
    faithful = FineTuneConfig(loss="L_1").training(64, 1, "mean", 1)
    assert faithful.loss.scales == (1,)


def test_more_threads_do_more_steps_and_vgg16_does_fewer():
    config = FineTuneConfig(minutes=10)
    assert config.expected_steps(1) < config.expected_steps(2) < 2 * config.expected_steps(1)
    assert FineTuneConfig(loss="L_s").expected_steps(2) < config.expected_steps(2)


@pytest.mark.parametrize(("device", "minutes"), [("cpu", 10), ("cuda:0", 5), ("mps", 5)])
def test_minutes_fit_the_device(device, minutes):
    assert default_minutes(device) == minutes


def test_minutes_fit_the_device_that_is_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert default_minutes("auto") == 5
