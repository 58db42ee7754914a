"""How long a repaired section takes, against optical flow, and where the network's time goes.

One run: all methods take turns on one section of 1024 x 1024 pixels between two others, by the
whole of :func:`napari_ssan.repair`, expected error included, and medians are compared. Networks
are loaded anew in each call, as in the command line, but torch is there already. `ceiling_share`
is that of ``benchmarks/inference.py`` for a tile of 512 x 512. With ``--sizes``, the time a pixel
and the memory above the imports are measured for sections of other sizes, too; with ``--layers``,
the time of each of the network's operations.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import inference
import numpy as np
import torch
from attention import alternate
from memory import resident_bytes
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

import napari_ssan
from napari_ssan.engine.methods import METHODS
from napari_ssan.network.inference import Runner
from napari_ssan.network.model_file import load_model
from napari_ssan.stack.phantom import phantom

CPU = torch.device("cpu")
#: What everything is compared with.
FLOW = "tvl1"
TILE = 512


def three_sections(side: int) -> np.ndarray:
    """Three sections of `side` x `side`, 8 bits, of the phantom, which is repeated as need be."""
    stack = phantom((20, min(side, 512), min(side, 512))).clean[:3]
    times = -(-side // stack.shape[1])
    return np.tile(stack, (1, times, times))[:, :side, :side]


def repairing(stack: np.ndarray, **how: Any) -> Callable[[], object]:
    """Something that repairs the middle section."""
    return lambda: napari_ssan.repair(stack, [1], device="cpu", **how)[1]


def prepared(side: int, method: str, model: str) -> Callable[[], object]:
    """For a process of its own: a repair, with everything imported and a small one done.

    Pixels go to a folder, as in the command line and the dock.
    """
    options = {"method": method} if method != "ssan" else {"model": model}
    repairing(three_sections(64), **options)()
    stack = three_sections(side)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            napari_ssan.repair(stack, [1], device="cpu", scratch=Path(folder), **options)

    return run


def methods(models: list[str]) -> dict[str, dict[str, Any]]:
    """Options of :func:`napari_ssan.repair` by name."""
    rows: dict[str, dict[str, Any]] = {name: {"method": name} for name in METHODS if name != "ssan"}
    rows |= {name: {"model": name} for name in models}
    return rows | {f"{models[0]}, 8 views": {"model": models[0], "views": 8}}


def layers(model: str) -> list[dict[str, Any]]:
    """Milliseconds of each operation for one tile, most first."""
    runner = Runner(load_model(model).network, CPU)
    previous, following = torch.rand(2, 1, 1, TILE, TILE)
    runner.synthesis(previous, following)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        for _ in range(3):
            runner.synthesis(previous, following)
    rows = [
        {
            "operation": event.key.removeprefix("aten::"),
            "shapes": [shape for shape in event.input_shapes if shape][:2],
            "calls": event.count // 3,
            "ms": event.self_cpu_time_total / 3000,
        }
        for event in profiler.key_averages(group_by_input_shape=True)
    ]
    return sorted(rows, key=lambda row: -row["ms"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--side", type=int, default=1024, help="height and width, pixels")
    parser.add_argument(
        "--model", action="append", help="models to measure (default: the bundled ones)"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5, help="measured runs of each method")
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="e.g. 512 2048 8192")
    parser.add_argument("--layers", action="store_true", help="time of each operation of a tile")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    torch.set_num_threads(options.threads)
    models = options.model or ["ssan-fidelity", "ssan-realistic"]
    rows = methods(models)
    stack = three_sections(options.side)
    runs = [repairing(stack, **how) for how in rows.values()]
    seconds = dict(zip(rows, alternate(runs, options.repeats, CPU, None), strict=True))
    ceiling = inference.measure("half", TILE, options.repeats, CPU)
    result: dict[str, Any] = {
        "side": options.side,
        "threads": options.threads,
        "methods": {
            name: {"seconds": taken, "ratio": taken / seconds[FLOW]}
            for name, taken in seconds.items()
        },
        "ceiling_share": ceiling["ceiling_share"],
        "precision": ceiling["precision"],
        "sizes": {
            name: [size(side, how) for side in options.sizes]
            for name, how in rows.items()
            if name in ("average", *models)
        },
    }
    if options.layers:
        result["layers"] = layers(models[0])
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


def size(side: int, how: dict[str, Any]) -> dict[str, Any]:
    """Time a pixel and memory for a section of `side` x `side`."""
    (taken,) = alternate([repairing(three_sections(side), **how)], 2, CPU, None)
    memory = resident_bytes(prepared, side, how.get("method", "ssan"), how.get("model", ""))
    return {
        "side": side,
        "seconds": taken,
        "seconds_per_megapixel": taken / side**2 * 2**20,
        "resident_mb": None if memory is None else memory / 2**20,
    }


def show(result: dict[str, Any]) -> None:
    console = Console()
    table = Table(title=f"A section of {result['side']} x {result['side']}")
    for column in ("method", "seconds", "of TV-L1's time"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, row in result["methods"].items():
        table.add_row(name, f"{row['seconds']:.2f}", f"{row['ratio']:.3f}")
    console.print(table)
    share, precision = result["ceiling_share"], result["precision"]
    console.print(f"The network reaches {share:.2f} of the convolution ceiling, in {precision}")
    for name, sizes in result["sizes"].items():
        for row in sizes:
            memory = "" if row["resident_mb"] is None else f", {row['resident_mb']:.0f} MB"
            console.print(
                f"{name}, {row['side']}: {row['seconds']:.2f} s, "
                f"{row['seconds_per_megapixel']:.2f} s a megapixel{memory}"
            )
    for row in result.get("layers", [])[:25]:
        console.print(f"{row['ms']:7.2f} ms  {row['calls']:3} x {row['operation']} {row['shapes']}")


if __name__ == "__main__":
    main()
