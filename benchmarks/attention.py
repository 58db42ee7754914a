"""The paper's Table 2: what dense, interlaced sparse and multi-level attention cost.

Ours is the layer as inference calls it; the reference is the same layer in its
plain form, with logits and softmax of the whole map in memory. Both get the
same contiguous float32 input of 64 channels; their runs alternate and the
medians are compared.

``peak_bytes`` is what ours has allocated at its worst above the input, output
included. On a CPU it is the running sum of torch's allocations as
``torch.profiler`` reports them in a run of its own, without what MKL and oneDNN
take for themselves; on a GPU it is what the caching allocator counted. Dense
self-attention (SA) is counted and not run: its ``peak_bytes`` are those of
the affinity matrix alone, and its times are null. A reference that would not
fit into free memory is not run either.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from napari_ssan.network.attention import AttentionAwareLayer

CHANNELS = 64
#: Seconds after which a measurement makes do with the turns that it has.
PATIENCE = 30.0
SYSTEMS: dict[str, tuple[int, ...]] = {"sa": (), "ssa": (8,), "aal": (8, 4)}
#: Table 2 at 512 x 512: memory (GB), FLOPs (G), parameters (M), run time on a P40 (ms).
PAPER = {
    "sa": ("256.0", "6599", "0.0052", "-"),
    "ssa": ("9.775", "81.24", "0.0104", "327"),
    "aal": ("2.331", "10.42", "0.0156", "275"),
}


@dataclass(frozen=True)
class Cost:
    """What one system costs; None is not measured."""

    params: int
    macs: int
    seconds: float | None
    reference_seconds: float | None
    ratio: float | None
    peak_bytes: int


def alternate(runs: list[Callable[[], object]], repeats: int, device: torch.device) -> list[float]:
    """Median seconds of each of several runs that take turns.

    The first turn warms up and is dropped. No turn begins after `PATIENCE`
    seconds; what takes that long needs no warming up.
    """
    seconds: list[list[float]] = [[] for _ in runs]
    began = time.perf_counter()
    for _ in range(repeats + 1):
        for run, taken in zip(runs, seconds, strict=True):
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - start)
        if time.perf_counter() - began > PATIENCE:
            break
    return [statistics.median(taken[1:] or taken) for taken in seconds]


def measure(name: str, size: int, repeats: int, device: torch.device) -> Cost:
    layer = AttentionAwareLayer(CHANNELS, SYSTEMS[name]).to(device).eval()
    params = sum(p.numel() for p in layer.parameters())
    macs = layer.macs(size, size)
    if name == "sa":
        return Cost(params, macs, None, None, None, 4 * size**4)
    for stage in layer.stages:
        torch.nn.init.constant_(stage.gamma, 0.5)
    x = torch.randn(1, CHANNELS, size, size, device=device)

    def ours() -> Tensor:
        return layer(x)

    def reference() -> Tensor:
        y = x
        for stage in layer.stages:
            y = stage(y)
        return y

    largest = max(stage.lattice.group_size(size, size) for stage in layer.stages)
    fits = (2 * largest + 8 * CHANNELS) * 4 * size**2 < free_bytes(device)
    with torch.no_grad():
        seconds, *others = alternate([ours, reference] if fits else [ours], repeats, device)
        peak = peak_bytes(ours, device)
    plain = others[0] if others else None
    return Cost(params, macs, seconds, plain, seconds / plain if plain else None, peak)


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """Most bytes that a run holds at once above what was there before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    events = [event for event in events if event["name"] == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def free_bytes(device: torch.device) -> int:
    """Memory that can be taken without swapping; 8 GiB where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 8 * 2**30
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def table(costs: dict[str, Cost], size: int) -> Table:
    result = Table(title=f"Attention upon 1 x {CHANNELS} x {size} x {size} (paper: 512, P40)")
    for column in ("", "", "Memory (GiB)", "GMAC", "Params (M)", "ms", "plain ms", "Ratio"):
        result.add_column(column, justify="right", no_wrap=True)
    for name, cost in costs.items():
        result.add_row(name.upper(), "paper", *PAPER[name])
        result.add_row(
            "",
            "here",
            f"{cost.peak_bytes / 2**30:.3f}",
            f"{cost.macs / 1e9:.2f}",
            f"{cost.params / 1e6:.4f}",
            _or_dash(cost.seconds, 1e3, 0),
            _or_dash(cost.reference_seconds, 1e3, 0),
            _or_dash(cost.ratio, 1, 3),
        )
    return result


def _or_dash(value: float | None, factor: float, digits: int) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", type=int, default=512, help="height and width, pixels")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5, help="measured runs of each form")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    options = parser.parse_args()
    if options.size % 32 or options.size < 32:
        parser.error("--size must be a multiple of 32")
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    costs = {name: measure(name, options.size, options.repeats, device) for name in SYSTEMS}
    if options.json:
        print(json.dumps({name: asdict(cost) for name, cost in costs.items()}))
    else:
        Console().print(table(costs, options.size))


if __name__ == "__main__":
    main()
