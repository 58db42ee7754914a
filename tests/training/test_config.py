from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from napari_ssan.losses.config import LossConfig
from napari_ssan.training.config import TrainingConfig


def test_round_trip():
    config = TrainingConfig(
        minutes=3.5,
        crop=64,
        schedule="paper",
        betas=(0.8, 0.99),
        augmentation={"zoom": 2, "blur": 1.5},
        loss={"preset": "L_s", "style": 3e4},
    )
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config


def test_settings_of_older_versions_are_read():
    config = TrainingConfig(steps=3)
    assert TrainingConfig(steps=3, views=8) == config
    text = json.dumps(config.model_dump(mode="json") | {"views": 8})
    assert TrainingConfig.model_validate_json(text) == config
    assert "views" not in config.model_dump()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"minutes": 1, "steps": 1},
        {"epochs": 1, "steps": 1},
        {"minutes": 0},
        {"epochs": 0},
        {"steps": 0},
    ],
)
def test_exactly_one_budget(wrong):
    with pytest.raises(ValidationError):
        TrainingConfig(**wrong)


@pytest.mark.parametrize("batch", [0, 1025, 2**32])
def test_a_batch_that_no_memory_holds(batch):
    with pytest.raises(ValidationError):
        TrainingConfig(steps=1, batch=batch)


def test_a_checkpoint_loses_less_than_two_minutes_by_default():
    assert TrainingConfig(steps=1).checkpoint_every <= 60


def test_budgets_in_steps():
    assert TrainingConfig(minutes=1).budget(100) is None
    assert TrainingConfig(steps=7).budget(100) == 7
    assert TrainingConfig(epochs=2, batch=8).budget(100) == 25
    assert TrainingConfig(epochs=0.5, batch=3).budget(100) == 17
    assert TrainingConfig(epochs=1e-6).budget(100) == 1


def test_the_papers_schedule_is_in_two_stages():
    config = TrainingConfig(epochs=50, schedule="paper")
    assert [config.rate(epoch / 50) for epoch in (0, 29, 30, 49)] == [1e-3, 1e-3, 1e-4, 1e-4]


def test_the_cosine_falls_to_a_hundredth():
    config = TrainingConfig(steps=50)
    rates = [config.rate(done / 10) for done in range(11)]
    assert rates[0] == 1e-3
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(1e-5)


def test_the_warm_schedule_rises_before_it_falls():
    config = TrainingConfig(steps=50, schedule="warm")
    assert config.rate(0) == pytest.approx(1e-5)
    assert config.rate(0.025) == pytest.approx(5e-4)
    assert config.rate(0.05) == 1e-3
    falling = [config.rate(0.05 + done / 20) for done in range(20)]
    assert falling == sorted(falling, reverse=True)
    assert config.rate(1) == pytest.approx(1e-5)


def test_crops_are_not_binned_to_nothing():
    coarse = LossConfig(scales=(1, 4))
    assert TrainingConfig(steps=1, crop=64, loss=coarse).loss.scales == (1, 4)
    with pytest.raises(ValidationError, match="crops of 32 pixels are too small to be binned by 4"):
        TrainingConfig(steps=1, crop=32, loss=coarse)


@pytest.mark.parametrize("value", ["inf", "nan"])
@pytest.mark.parametrize("key", ["learning_rate", "clip", "minutes", "epochs", "preview_every"])
def test_settings_are_finite(key, value):
    budget = {} if key in ("minutes", "epochs") else {"steps": 1}
    if (key, value) != ("minutes", "inf"):  # until it is stopped
        with pytest.raises(ValidationError):
            TrainingConfig.model_validate({key: float(value)} | budget)
    with pytest.raises(ValidationError, match="finite number"):
        LossConfig(structure=float(value))
