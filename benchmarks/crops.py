"""How many crops of 128 x 128 pixels a second training can draw, and how long its steps wait.

``python benchmarks/crops.py STACK ... --json`` draws triplets from stacks, named as for
``napari-ssan train``, in this process (by its own CPU time) and by workers (by the clock), with
the default augmentation and with all of it. Then it trains a network of the preset ``half`` for a
few steps and says what share of them passed in waiting for triplets.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch

from napari_ssan.cli.sources import parse_source
from napari_ssan.losses.total import TotalLoss
from napari_ssan.network.device import choose_device, device_name
from napari_ssan.network.ssan import SSAN, preset
from napari_ssan.stack.augmentation import Augmentation
from napari_ssan.stack.decoded import decoded
from napari_ssan.stack.source import Source
from napari_ssan.stack.triplets import TripletSampler
from napari_ssan.training.batches import Batches
from napari_ssan.training.config import TrainingConfig
from napari_ssan.training.events import StepDone
from napari_ssan.training.loop import Training
from napari_ssan.training.machine import spare_workers
from napari_ssan.training.state import TrainingState
from napari_ssan.training.validation import Validation

SIZE = 128
VARIED = {
    "default": Augmentation(),
    "all": Augmentation(motion=16, uneven=0.2, noise=0.3, blur=0.7, grain=1),
}


def rate(sampler: TripletSampler, workers: int, seconds: float) -> float:
    """Crops a second: of this process's CPU time, or of the clock with workers."""
    batches = Batches(sampler, torch.device("cpu"), workers)
    for _ in range(2 * max(workers, 1)):  # what the workers drew ahead does not count
        batches.draw(4)
    clock = time.perf_counter if workers else time.process_time
    begin, crops = clock(), 0
    while clock() - begin < seconds:
        batches.draw(4)
        crops += 4
    took = clock() - begin
    batches.close()
    return crops / took


def waiting(
    sources: list[Source], sampler: TripletSampler, device: torch.device, workers: int, steps: int
) -> dict[str, Any]:
    """Train a few steps; returns their time, and how much of it they waited for triplets."""
    config = TrainingConfig(steps=steps, validate_every=1, preview_every=1e9)
    state = TrainingState(SSAN(preset("half")), config, device)
    validation = Validation(sources[:1], state.network.config.multiple, sections=1, closely=False)
    before = validation.preview(state.average)[1]

    begin = ended = time.perf_counter()

    def report(event: object) -> None:
        nonlocal ended
        if isinstance(event, StepDone):
            ended = time.perf_counter()

    training = Training(
        state, sampler, config, steps, TotalLoss(config.loss).to(device), validation, before,
        report, workers=workers,
    )  # fmt: skip
    training.run()
    took = ended - begin
    return {
        "workers": workers,
        "threads": torch.get_num_threads(),
        "milliseconds_a_step": 1000 * took / steps,
        "waiting": training.waited / took,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("stacks", nargs="+", metavar="STACK")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    parser.add_argument("--steps", type=int, default=20, help="of training; 0 leaves it out")
    parser.add_argument("--threads", type=int, default=1, help="of training")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)

    def show(name: str, result: Any) -> None:
        print(json.dumps({name: result}) if options.json else f"{name}: {result}", flush=True)

    show("device", device_name(device))
    opened: dict[str, Any] = {}
    begin = time.perf_counter()
    sources = decoded([parse_source(text, opened=opened) for text in options.stacks])
    sampler = TripletSampler(sources, SIZE, 0, select=False)
    show("seconds_to_read", time.perf_counter() - begin)
    for name, vary in VARIED.items():
        sampler.augmentation = vary
        rates = {n: rate(sampler, n, options.seconds) for n in (0, *options.workers)}
        show("crops_a_second", {"augmentation": name, "by_workers": rates})
    if options.steps:
        for workers in (0, spare_workers(device.type)):
            show("training", waiting(sources, sampler, device, workers, options.steps))


if __name__ == "__main__":
    main()
