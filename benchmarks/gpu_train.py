"""Trains a faithful model and then a natural one in a few minutes of a GPU, in one command.

First pack the stacks where they are, then train where the GPU is; only the package, this folder
and the packed file are needed there:

    python benchmarks/gpu_train.py --pack stacks.zip
    python benchmarks/gpu_train.py --data stacks.zip --minutes 8 --output trained

The largest network that sees enough crops in the time is trained, so throughput is measured
first. The best weights are written every half minute, the curves after each validation: a run
that is cut off leaves both. It works without a GPU, too, with the network for CPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_data import pack, unpack
from safetensors import safe_open
from torch import nn

from napari_ssan.atomic import write_atomically
from napari_ssan.losses.config import LossConfig
from napari_ssan.losses.total import TotalLoss
from napari_ssan.network.device import choose_device, device_name
from napari_ssan.network.model_file import load_model, save_model
from napari_ssan.network.ssan import SSAN, SSANConfig, preset
from napari_ssan.stack.augmentation import Augmentation
from napari_ssan.stack.intensity import UNKNOWN, Float
from napari_ssan.stack.source import Source
from napari_ssan.stack.triplets import TripletSampler
from napari_ssan.training.batches import Batches
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.events import Checkpointed, Event, Finished, StepDone, Validated
from napari_ssan.training.loop import Training
from napari_ssan.training.machine import spare_workers
from napari_ssan.training.run import run
from napari_ssan.training.state import TrainingState
from napari_ssan.training.validation import METRICS, Check, HeldOut, Validation

#: Networks from the largest to the smallest, and the crops a second that make one worth while:
#: it then sees what the bundled models saw. The smallest is for machines without a GPU.
NETWORKS: tuple[tuple[str, SSANConfig, float], ...] = (
    ("large, full resolution", preset("large").model_copy(update={"scale": 1}), 500.0),
    ("large", preset("large"), 500.0),
    ("half", preset("half"), 0.0),
)
CROP = 128
#: Crops in a step on a GPU and on a CPU.
BATCH = {"cuda": 48, "cpu": 4}
#: Seconds of the measurement of throughput, and the most of the whole time that it may take.
MEASURE, PART = 30.0, 1 / 12
#: Share of what is left for the faithful model; the natural one learns from it.
FAITHFUL = 0.65
#: Share of the time that is kept for preparation of a run and for writing.
RESERVE = 0.08
#: Seconds between two files of the best weights.
KEEP_EVERY = 30.0
#: How triplets vary, for both models.
VARIED = Augmentation(zoom=2, motion=16, uneven=0.1, noise=0.3, blur=0.5)


@dataclass
class Curves:
    """What is known of a run, as JSON, written whenever something is added."""

    path: Path
    known: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, value: Any) -> None:
        """Add a figure, or an entry to a list of them."""
        if isinstance(self.known.get(name), list):
            self.known[name].append(value)
        else:
            self.known[name] = value
        write_atomically(self.path, json.dumps(self.known, indent=1))


class Unjudged(Validation):
    """A validation that costs nothing, for a training that is only timed."""

    def __init__(self) -> None:
        self.held_out = []

    def score(self, network: nn.Module, check: Check = lambda: None) -> dict[str, float]:
        """Return zeros."""
        return dict.fromkeys(METRICS, 0.0)

    def preview(self, network: nn.Module) -> tuple[HeldOut, Float]:
        """Return nothing to see."""
        nothing = np.zeros((2, 2), np.float32)
        return HeldOut(0, 0, nothing, nothing, nothing, UNKNOWN), nothing


def measure(
    sampler: TripletSampler, config: TrainingConfig, seconds: float, device: torch.device,
    workers: int, compiled: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """Measure crops a second: those that are drawn, and those that each network trains on."""
    networks = NETWORKS if device.type == "cuda" else NETWORKS[-1:]
    share = seconds / (len(networks) + 1)
    batches = Batches(sampler, torch.device("cpu"), workers)
    batches.draw(config.batch)
    begin, crops = time.perf_counter(), 0
    while (took := time.perf_counter() - begin) < share:
        batches.draw(config.batch)
        crops += config.batch
    batches.close()
    rows: list[dict[str, Any]] = [{"what": "drawn", "crops_a_second": crops / took}]
    for name, shape, _ in networks:
        timed = config.model_copy(update={"minutes": share / 60, "validate_every": 1.0})
        state = TrainingState(SSAN(shape), timed, device)
        seen: list[tuple[float, int]] = []

        def listen(event: object, seen: list[tuple[float, int]] = seen) -> None:
            if isinstance(event, StepDone):
                seen.append((time.perf_counter(), event.step))

        training = Training(
            state, sampler, timed, None, TotalLoss(timed.loss).to(device), Unjudged(),
            np.zeros((2, 2), np.float32), listen, workers=workers, compiled=compiled,
        )  # fmt: skip
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        begin = time.perf_counter()
        training.run()
        # The first step allocates and starts processes; where there is only one, it counts.
        first = seen[0] if len(seen) > 1 else (begin, 0)
        rate = (seen[-1][1] - first[1]) * state.facts.batch / (seen[-1][0] - first[0])
        waiting = training.waited / state.facts.seconds
        row = {"what": name, "crops_a_second": rate, "waiting": waiting}
        if device.type == "cuda":
            row["peak_gb"] = torch.cuda.max_memory_allocated(device) / 2**30
        rows.append(row)
    return rows


def choose(rows: Sequence[dict[str, Any]]) -> tuple[str, SSANConfig]:
    """The largest network that trains on enough crops a second."""
    rates = {row["what"]: row["crops_a_second"] for row in rows}
    for name, shape, needed in NETWORKS:
        if rates.get(name, 0.0) >= needed and name in rates:
            return name, shape
    raise AssertionError("the smallest network needs nothing")


class Keeper:
    """Writes the best weights of a run whenever its checkpoint is written, and its curves."""

    def __init__(self, name: str, shape: SSANConfig, output: Path, card: Any, curves: Curves):
        self.name, self.shape, self.card, self.curves = name, shape, card, curves
        self.path = output / f"{name}-best.safetensors"
        curves.known[f"{name}_curve"] = []

    def __call__(self, event: Event) -> None:
        """Take an event of the run."""
        if isinstance(event, Validated):
            entry = {"step": event.step, "best": event.best, **event.scores}
            self.curves.add(f"{self.name}_curve", entry)
            print(json.dumps({self.name: entry}), flush=True)
        elif isinstance(event, Checkpointed):
            self._keep(event.path)
        elif isinstance(event, StepDone):
            self.curves.known[f"{self.name}_steps"] = event.step
            self.curves.known[f"{self.name}_losses"] = event.losses
        elif isinstance(event, Finished):
            self.curves.add(f"{self.name}_result", asdict(event))

    def _keep(self, checkpoint: Path) -> None:
        with safe_open(checkpoint, framework="pt") as file:
            best = {
                key.removeprefix("best."): file.get_tensor(key)
                for key in file.keys()  # noqa: SIM118
                if key.startswith("best.")
            }
        if best:
            network = SSAN(self.shape)
            network.load_state_dict(best)
            save_model(self.path, network, self.card)


def train(
    name: str,
    start: SSAN,
    config: TrainingConfig,
    data: tuple[list[Source], list[Source]],
    output: Path,
    card: dict[str, Any],
    curves: Curves,
    **options: Any,
) -> SSAN:
    """One run of the product's training; returns the network that was best."""
    card = card | {"tile": config.crop, "match": config.match}
    keeper = Keeper(name, start.config, output, card, curves)
    path = output / f"{name}.safetensors"
    run(config, *data, start, path, card, report=keeper, overwrite=True, keep_start=True, **options)
    keeper.path.unlink(missing_ok=True)  # the model itself is there now
    return load_model(path).network


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pack", type=Path, metavar="FILE", help="pack the stacks, and end")
    parser.add_argument("--data", type=Path, default=Path("stacks.zip"), help="the packed stacks")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all of it")
    parser.add_argument("--output", type=Path, default=Path("trained"), help="a folder")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, help="crops in a step")
    parser.add_argument("--workers", type=int, help="processes that draw crops")
    parser.add_argument("--compile", action="store_true", help="compile the networks")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    if options.pack:
        size = pack(Path(os.environ["NAPARI_SSAN_DATA"]), options.pack)
        print(json.dumps({"packed": str(options.pack), "mb": size / 1e6}))
        return
    options.output.mkdir(parents=True, exist_ok=True)
    device = choose_device(options.device)
    workers = spare_workers(device.type) if options.workers is None else options.workers
    batch = options.batch or BATCH.get(device.type, BATCH["cpu"])
    train_on, held, stacks, vgg = unpack(options.data, options.output)
    curves = Curves(options.output / "curves.json")
    curves.add("device", device_name(device))
    sampler = TripletSampler(train_on, CROP, 0, VARIED, select=False)
    seconds = min(MEASURE, PART * 60 * options.minutes)
    timed = TrainingConfig(minutes=1, crop=CROP, batch=batch, augmentation=VARIED)
    rows = measure(sampler, timed, seconds, device, workers, options.compile)
    name, shape = choose(rows)
    curves.add("throughput", rows)
    curves.add("network", name)
    print(json.dumps({"throughput": rows, "network": name}), flush=True)
    total = 60 * options.minutes * (1 - RESERVE)
    card = {"trained_on": stacks, "validated_on": ["held-out parts of the same stacks"]}
    common = {
        "crop": CROP, "batch": batch, "augmentation": VARIED, "sections": 1,
        # To measure and align all sections takes a minute; real defects are marked in the pack.
        "inspect": False, "select": False,
        "checkpoint_every": KEEP_EVERY, "preview_every": 1e9, "validate_every": 0.04,
    }  # fmt: skip
    more = {"device": device, "workers": workers, "compiled": options.compile}

    def left() -> float:
        return max(total - (time.monotonic() - began), 3.0) / 60

    torch.manual_seed(0)
    faithful = train(
        "faithful",
        SSAN(shape),
        TrainingConfig(minutes=FAITHFUL * left(), loss=LossConfig(structure=0.1), **common),
        (train_on, held), options.output, card, curves, **more,
    )  # fmt: skip
    natural = LossConfig(preset="L_s", structure=0.1, scales=(1, 2))
    train(
        "natural",
        faithful,
        TrainingConfig(
            minutes=left(), loss=natural, learning_rate=3e-4, schedule="warm", **common
        ),
        (train_on, held), options.output, card | {"base": "faithful"}, curves, vgg=vgg, **more,
    )  # fmt: skip
    curves.add("minutes", (time.monotonic() - began) / 60)
    print(json.dumps({"done": sorted(path.name for path in options.output.iterdir())}))


if __name__ == "__main__":
    main()
