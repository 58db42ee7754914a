"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from napari_ssan.losses.total import TotalLoss
from napari_ssan.network.device import autocast
from napari_ssan.network.ssan import SSAN
from napari_ssan.stack.triplets import Triplet, TripletSampler
from napari_ssan.training.config import TrainingConfig


@dataclass(frozen=True)
class StepDone:
    """After each step.

    Attributes
    ----------
    step : int
        Steps done.
    share : float
        Of the budget that is spent, 0 to 1.
    losses : dict of str to float
        Terms of this step's loss as they enter it, and their ``total``.
    gammas : tuple of float
        How much each stage of the attention contributes.
    network : SSAN
        Moving average of the weights so far; copy it to keep it.
    """

    step: int
    share: float
    losses: dict[str, float]
    gammas: tuple[float, ...]
    network: SSAN


def train(
    network: SSAN,
    sampler: TripletSampler,
    config: TrainingConfig,
    loss: TotalLoss,
    device: torch.device,
    on_step: Callable[[StepDone], bool | None],
) -> SSAN:
    """Train a network on triplets.

    Parameters
    ----------
    network : SSAN
        Where to start from; it is trained in place.
    sampler : TripletSampler
        Endless triplets.
    config : TrainingConfig
        Budget and settings.
    loss : TotalLoss
        What to make small.
    device : torch.device
        Where to train.
    on_step : callable
        Called after each step; training ends early if it returns True.

    Returns
    -------
    SSAN
        Moving average of the weights, in evaluation mode, on the CPU.

    Raises
    ------
    FloatingPointError
        If the loss is not finite.
    """
    network.to(device).train()
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    average = deepcopy(network).eval().requires_grad_(False)
    loss.to(device)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, betas=(0.9, 0.999))
    triplets = iter(sampler)
    begin, step, share = time.monotonic(), 0, 0.0
    while share < 1:
        for group in optimizer.param_groups:
            group["lr"] = config.rate(share)
        previous, target, following, position = _batch(triplets, config.batch, device)
        with autocast(device, True):
            synthesis = network(previous, following, position)
        total, terms = loss(synthesis.image, target, previous, following)
        if not torch.isfinite(total):
            raise FloatingPointError(f"the loss became {total.item()} at step {step}")
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
        step += 1
        _follow(average, network, min(config.average, step / (step + 10)))
        spent = step / config.steps if config.steps else _minutes(begin) / (config.minutes or 1)
        share = min(spent, 1.0)
        gammas = tuple(
            float(p.detach()) for name, p in network.named_parameters() if name.endswith("gamma")
        )
        if on_step(StepDone(step, share, terms | {"total": total.item()}, gammas, average)):
            break
    return average.cpu()


def _batch(
    triplets: Iterator[Triplet], size: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    drawn = list(islice(triplets, size))
    frames = np.stack([[t.previous, t.target, t.following] for t in drawn])
    previous, target, following = torch.from_numpy(frames).to(device).unsqueeze(2).unbind(1)
    position = torch.tensor([t.position for t in drawn], device=device)
    return previous, target, following, position


@torch.no_grad()
def _follow(average: SSAN, network: SSAN, decay: float) -> None:
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def _minutes(begin: float) -> float:
    return (time.monotonic() - begin) / 60
