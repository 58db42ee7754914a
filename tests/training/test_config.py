from __future__ import annotations

import pytest
from pydantic import ValidationError

from napari_ssan.training.config import TrainingConfig


def test_round_trip():
    config = TrainingConfig(minutes=3.5, crop=64, schedule="paper")
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config


def test_exactly_one_budget():
    for wrong in ({}, {"minutes": 1, "steps": 1}, {"minutes": 0}, {"steps": 0}):
        with pytest.raises(ValidationError):
            TrainingConfig(**wrong)


def test_the_papers_schedule_is_in_two_stages():
    config = TrainingConfig(steps=50, schedule="paper")
    assert [config.rate(epoch / 50) for epoch in (0, 29, 30, 49)] == [1e-3, 1e-3, 1e-4, 1e-4]


def test_the_cosine_falls_to_a_hundredth():
    config = TrainingConfig(steps=50)
    rates = [config.rate(done / 10) for done in range(11)]
    assert rates[0] == 1e-3
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(1e-5)
