"""Training of any system, by the package's own loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_ssan.errors import BadInput
from napari_ssan.losses.config import LossConfig
from napari_ssan.losses.total import TotalLoss
from napari_ssan.network.ssan import SSANConfig
from napari_ssan.stack.source import Source
from napari_ssan.stack.triplets import TripletSampler
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.data import hold_out, source_record
from napari_ssan.training.events import Event, StepDone
from napari_ssan.training.loop import Training
from napari_ssan.training.state import TrainingState
from napari_ssan.training.validation import Validation
from systems.registry import CANONICAL, build
from systems.store import load_system, read_card, save_system

#: Of each training stack's sections, kept apart for the loop's validation.
HELD_OUT = 0.15


@dataclass(frozen=True)
class Trained:
    """A system that has spent its budget.

    Attributes
    ----------
    network : Module
        On the CPU, in evaluation mode.
    card : dict
        What it is and how it was trained: ``system``, ``loss``, ``config``,
        ``taps``, ``tile``, ``match``, ``parameters``, ``steps``, ``seconds``, ``recipe``.
    """

    network: nn.Module
    card: dict[str, Any]


class Trainer:
    """Trains systems on the same triplets in the same order, with the same settings.

    Parameters
    ----------
    sources : sequence of Source
        Sections to train on; the loop holds some of them back.
    network : SSANConfig
        What the systems have in common.
    training : TrainingConfig
        Budget and settings; its loss gives the weights of the terms.
    taps : int
        Length of estimated kernels along an axis.
    vgg : Path or None
        Weights of VGG16, for losses that need them.
    device : torch.device
        Where to train.
    folder : Path or None
        Where systems are kept; one that is there already is not trained again.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        network: SSANConfig,
        training: TrainingConfig,
        taps: int,
        vgg: Path | None,
        device: torch.device,
        folder: Path | None,
    ) -> None:
        self.network, self.training, self.taps = network, training, taps
        self.vgg, self.device, self.folder = vgg, device, folder
        train, held = hold_out(sources, HELD_OUT)
        self._described = [source_record(source) for source in sources]
        self._sampler = TripletSampler(
            train, training.crop, training.seed, training.augmentation, training.select,
            match=training.match,
        )  # fmt: skip
        self._stream = self._sampler.state()
        self._validation = Validation(held, training.crop, match=training.match, sections=1)

    def train(
        self, system: str, loss: str, report: Callable[[Event], None] = lambda event: None
    ) -> Trained:
        """Train a system, or take it from the folder.

        Parameters
        ----------
        system : str
            As :func:`build` takes it.
        loss : {"L_1", "L_f", "L_s"}
            What to make small.
        report : callable
            Events of the loop.

        Raises
        ------
        BadInput
            If the folder holds a system of that name that was trained otherwise, if
            the loss needs VGG16 and there is none, or if training broke off.
        """
        system = CANONICAL.get(system, system)
        losses = self.training.loss.model_copy(update={"preset": loss})
        recipe = self._recipe(losses)
        path = None if self.folder is None else self.folder / f"{system}-{loss}.safetensors"
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        if path is not None and path.exists():
            return self._kept(path, recipe)
        if loss != "L_1" and self.vgg is None:
            raise BadInput(f"{loss} needs the weights of VGG16: give them by --vgg.")
        torch.manual_seed(self.training.seed)
        start = build(system, self.network, self.taps)
        network, steps, seconds = self._run(start, losses, report)
        card = {
            "system": system,
            "loss": loss,
            "config": self.network.model_dump(mode="json"),
            "taps": self.taps,
            "tile": self.training.crop,
            "match": self.training.match,
            "parameters": sum(p.numel() for p in network.parameters()),
            "steps": steps,
            "seconds": seconds,
            "recipe": recipe,
        }
        if path is not None:
            save_system(path, network, card)
        return Trained(network, card)

    def _run(
        self, start: nn.Module, losses: LossConfig, report: Callable[[Event], None]
    ) -> tuple[nn.Module, int, float]:
        config = self.training.model_copy(update={"loss": losses})
        self._sampler.restore(self._stream)
        state = TrainingState(start, config, self.device)
        steps, seconds = 0, 0.0

        def count(event: Event) -> None:
            nonlocal steps, seconds
            if isinstance(event, StepDone):
                steps, seconds = event.step, time.perf_counter() - begin
            report(event)

        training = Training(
            state,
            self._sampler,
            config,
            config.steps,
            TotalLoss(losses, self.vgg).to(self.device),
            self._validation,
            self._validation.preview(state.average)[1],
            count,
        )
        begin = time.perf_counter()
        reason = training.run()
        if reason:
            raise BadInput(reason)
        return state.average.cpu(), steps, seconds

    def _recipe(self, losses: LossConfig) -> dict[str, Any]:
        """All that a trained system depends on, beside its name."""
        settings = self.training.model_copy(update={"loss": losses})
        return {
            "network": self.network.model_dump(mode="json"),
            "training": settings.model_dump(mode="json"),
            "taps": self.taps,
            "data": self._described,
            "vgg": None if losses.preset == "L_1" or self.vgg is None else self.vgg.name,
        }

    @staticmethod
    def _kept(path: Path, recipe: dict[str, Any]) -> Trained:
        card = read_card(path)
        if card is None or card["recipe"] != recipe:
            raise BadInput(
                f"{path} was trained with other settings or on other data: "
                "choose another folder for --models, or remove the file."
            )
        return Trained(load_system(path)[0], card)
