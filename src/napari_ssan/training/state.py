"""Everything that a training run changes: taken as a checkpoint, and restored from one.

Writing a checkpoint to disk is left to :mod:`~napari_ssan.training.checkpoint`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_ssan.training.config import TrainingConfig

#: The average follows faster at first: after n steps it remembers about a tenth of them.
EARLY = 10


class Facts(BaseModel):
    """The state of a run, except its tensors; round-trips to JSON.

    Attributes
    ----------
    step : int
        Steps done.
    seconds : float
        Time spent in the training loop.
    batch : int
        Triplets per step; fewer than in the settings if memory was full.
    slowdown : float
        Factor on the learning rate, halved at each rollback.
    rollbacks : int
        How often training went back.
    best_step : int or None
        Step of the best network.
    best_scores, start_scores : dict of str to float
        Scores of the best network, and of the one that training started from.
    baselines : dict of str to dict of str to float
        Scores of the baselines.
    sums, counted : dict of str to float, int
        Sums of the losses since the last validation, and the number of steps in them.
    curve : list of dict
        An entry for each validation.
    sampler : dict
        Place in the stream of triplets.
    """

    model_config = ConfigDict(extra="forbid")

    step: int = 0
    seconds: float = 0.0
    batch: int
    slowdown: float = 1.0
    rollbacks: int = 0
    best_step: int | None = None
    best_scores: dict[str, float] = {}
    start_scores: dict[str, float] = {}
    baselines: dict[str, dict[str, float]] = {}
    sums: dict[str, float] = {}
    counted: int = 0
    curve: list[dict[str, Any]] = []
    sampler: dict[str, Any] = {}


@dataclass(frozen=True)
class Checkpoint:
    """A run at one moment, in memory."""

    tensors: dict[str, Tensor]
    facts: Facts


class TrainingState:
    """A network in training.

    Parameters
    ----------
    start : nn.Module
        The network to start from: an SSAN, or a module with the same call. It is copied.
    config : TrainingConfig
        Settings of the optimizer and the moving average.
    device : torch.device
        Where to train.

    Attributes
    ----------
    network, average : nn.Module
        The network in training, and the moving average of its weights, in evaluation mode.
    optimizer : torch.optim.Adam
        Optimizer of the network.
    best : dict of str to Tensor
        Weights of the best average so far; empty before the first validation.
    facts : Facts
        Everything else.
    """

    def __init__(self, start: nn.Module, config: TrainingConfig, device: torch.device) -> None:
        self.device = device
        self.network = copy.deepcopy(start).to(device).train().requires_grad_(True)
        convert_conv2d_weight_memory_format(self.network, torch.channels_last)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        # One kernel for all weights; Apple's GPUs have none.
        self._fused = device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), config.learning_rate, betas=config.betas, fused=self._fused
        )
        self.best: dict[str, Tensor] = {}
        self.facts = Facts(batch=config.batch)
        self._decay = config.average

    @torch.no_grad()
    def follow(self) -> None:
        """Count a step, and update the moving average."""
        self.facts.step += 1
        decay = min(self._decay, self.facts.step / (self.facts.step + EARLY))
        kept, new = (list(n.state_dict().values()) for n in (self.average, self.network))
        floating = [value.dtype.is_floating_point for value in kept]
        follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        follow(list(compress(kept, floating)), list(compress(new, floating)), None)
        for old, value in zip(kept, new, strict=True):
            if not old.dtype.is_floating_point:
                old.copy_(value)

    def gammas(self) -> tuple[float, ...]:
        """Gamma of each stage of the attention: how much the stage contributes."""
        named = self.network.named_parameters()
        gammas = [p.detach().reshape(()) for name, p in named if name.endswith("gamma")]
        return tuple(torch.stack(gammas).tolist()) if gammas else ()

    def keep_best(self, scores: dict[str, float]) -> None:
        """Keep the average as the best network so far."""
        self.best = {k: v.detach().clone() for k, v in self.average.state_dict().items()}
        self.facts.best_scores, self.facts.best_step = scores, self.facts.step

    def checkpoint(self, sampler: dict[str, Any]) -> Checkpoint:
        """Copy the current state, with the stream of triplets at `sampler`."""
        self.facts.sampler = sampler
        tensors = {name: tensor.detach().clone() for name, tensor in self._tensors()}
        # The best weights are never changed in place, so no copy is needed.
        tensors |= {f"best.{key}": value for key, value in self.best.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return Checkpoint(tensors, self.facts.model_copy(deep=True))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take the state of a checkpoint of the same network."""
        self.rewind(checkpoint)
        self.facts = checkpoint.facts.model_copy(deep=True)
        tensors = checkpoint.tensors.items()
        self.best = {k.removeprefix("best."): v for k, v in tensors if k.startswith("best.")}
        torch.set_rng_state(checkpoint.tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in checkpoint.tensors:
            torch.cuda.set_rng_state(checkpoint.tensors["random.cuda"], self.device)

    @torch.no_grad()
    def rewind(self, checkpoint: Checkpoint) -> None:
        """Restore weights, average and optimizer, but not steps, triplets and best."""
        self.optimizer.state.clear()
        for number, parameter in enumerate(self.network.parameters()):
            if f"steps.{number}" in checkpoint.tensors:
                self.optimizer.state[parameter] = {
                    "step": torch.zeros((), device=self.device if self._fused else "cpu"),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        # Copied in place, to keep memory layouts; results would differ in the last bits else.
        for name, tensor in self._tensors():
            tensor.copy_(checkpoint.tensors[name])

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for key, value in self.network.state_dict().items():
            yield f"network.{key}", value
        for key, value in self.average.state_dict().items():
            yield f"average.{key}", value
        for number, parameter in enumerate(self.network.parameters()):
            if state := self.optimizer.state.get(parameter):
                yield f"steps.{number}", state["step"]
                yield f"first.{number}", state["exp_avg"]
                yield f"second.{number}", state["exp_avg_sq"]
