from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_ssan.losses.total import TotalLoss
from napari_ssan.network.ssan import SSAN, SSANConfig
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.triplets import Source, TripletSampler
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.loop import StepDone, train
from napari_ssan.training.validation import validate

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source() -> Source:
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((8, 96, 96)), (1.0, 2, 2))
    volume = (128 + 40 * structure / structure.std()).clip(0, 255).astype(np.uint8)
    return Source(SliceStack(volume), 0, 8)


def run(source: Source, steps: int, **options) -> tuple[SSAN, list[StepDone]]:
    torch.manual_seed(0)
    network = SSAN(SSANConfig(features=8, blocks=1, layers=1, growth=8))
    config = TrainingConfig(steps=steps, crop=64, batch=2, average=0.9, **options)
    events: list[StepDone] = []
    sampler = TripletSampler([source], 64, 0)
    return train(network, sampler, config, TotalLoss(config.loss), CPU, events.append), events


def test_the_loss_falls_and_attention_wakes(source):
    network, events = run(source, 60, learning_rate=3e-3)
    losses = [event.losses["total"] for event in events]
    assert np.mean(losses[-15:]) < 0.97 * np.mean(losses[:15])
    assert events[0].gammas == pytest.approx((0, 0, 0), abs=0.01)
    assert max(map(abs, events[-1].gammas)) > 0.001
    assert [event.share for event in events] == pytest.approx(np.arange(1, 61) / 60)
    assert not network.training


def test_a_seed_makes_a_model(source):
    first, again = (run(source, 4)[0].state_dict() for _ in range(2))
    for key, value in first.items():
        torch.testing.assert_close(value, again[key], rtol=0, atol=0)


def test_training_can_be_stopped(source):
    torch.manual_seed(0)
    network = SSAN(SSANConfig(features=8, blocks=1, layers=1, growth=8))
    seen = []

    def stop(event: StepDone) -> bool:
        seen.append(event.step)
        return event.step == 3

    config = TrainingConfig(steps=100, crop=64, batch=1)
    train(network, TripletSampler([source], 64, 0), config, TotalLoss(config.loss), CPU, stop)
    assert seen == [1, 2, 3]


def test_a_loss_that_is_not_finite_is_an_error(source, monkeypatch):
    monkeypatch.setattr(
        "napari_ssan.losses.total.charbonnier", lambda image, *rest: image.mean() * np.nan
    )
    with pytest.raises(FloatingPointError, match="step 0"):
        run(source, 3)


def test_validation_of_an_untrained_network_is_that_of_the_average(source):
    network, _ = run(source, 1, learning_rate=1e-9)
    stack = source.stack
    averages = []
    for z in (1, 2, 3, 4):
        mean = (stack.read(z - 1).astype(float) + stack.read(z + 1))[16:80, 16:80] / 2
        error = np.square(mean - stack.read(z)[16:80, 16:80]).mean()
        averages.append(10 * np.log10(255**2 / error))
    assert validate(network, [source]) == pytest.approx(np.mean(averages), abs=0.3)
