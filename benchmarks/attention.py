"""The paper's Table 2: what kernel estimation, and dense, sparse and multi-level attention cost.

Attention is measured in two forms. ``plain`` is the layer as the paper has it,
with logits and softmax of the whole map in memory (the reference). ``ours``
works through its groups in chunks, as inference on a CPU does; on a GPU
inference takes the plain form, and both are measured all the same. All get the
same contiguous float32 input of 64 channels; their runs alternate and the
medians are compared.

``peak_bytes`` is what a form has allocated at its worst above the input, output
included, as torch counts it; ``resident_bytes`` is how far the memory of a
process of its own rises in one run (CPU). What would not fit into free memory
is counted and not run: its times are null, and for dense attention (SA)
``peak_bytes`` are those of the affinity matrix alone. Kernel estimation (KEL) is
the four estimators of 51 taps and the convolution of both sections.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from memory import free_bytes, peak_bytes, resident_bytes
from rich.console import Console
from rich.table import Table
from systems.kernel_estimation import KernelEstimation
from systems.output import write_json
from torch import Tensor, nn

from napari_ssan.network.attention import AttentionAwareLayer

CHANNELS = 64
#: Seconds after which a measurement makes do with the turns that it has.
PATIENCE = 30.0
SYSTEMS: dict[str, tuple[int, ...]] = {"sa": (), "ssa": (8,), "aal": (8, 4)}
#: Table 2 at 512 x 512: memory (GB), FLOPs (G), parameters (M), run time on a P40 (ms).
PAPER = {
    "kel": ("-", "138.4", "-", "6160"),
    "sa": ("256.0", "6599", "0.0052", "-"),
    "ssa": ("9.775", "81.24", "0.0104", "327"),
    "aal": ("2.331", "10.42", "0.0156", "275"),
}
Run = Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """What one system costs; None is not measured."""

    params: int
    macs: int
    seconds: float | None
    reference_seconds: float | None
    ratio: float | None
    peak_bytes: int
    reference_peak_bytes: int | None
    resident_bytes: int | None
    reference_resident_bytes: int | None


def alternate(
    runs: list[Run], repeats: int, device: torch.device, patience: float | None = PATIENCE
) -> list[float]:
    """Median seconds of each of several runs that take turns.

    The first turn warms up and is dropped. No turn begins after `patience`
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
        if patience is not None and time.perf_counter() - began > patience:
            break
    return [statistics.median(taken[1:] or taken) for taken in seconds]


class KernelLayer(nn.Module):
    """KEL as Table 2 measures it: from features to both sections, convolved."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = nn.ModuleList(KernelEstimation(CHANNELS, 1) for _ in range(2))

    def forward(self, x: Tensor, sections: Tensor) -> list[Tensor]:
        """Map (1, 64, H, W) and (2, 1, H, W) to two of (1, 1, H, W)."""
        pairs = zip(self.kernels, sections.split(1), strict=True)
        return [kernels(x, section) for kernels, section in pairs]


def multiply_accumulates(layer: AttentionAwareLayer | KernelLayer, height: int, width: int) -> int:
    """Multiply-accumulates on a map of height x width, as Table 2 counts them."""
    if isinstance(layer, KernelLayer):
        return sum(kernels.macs(height, width) for kernels in layer.kernels)
    total = 0
    for stage in layer.stages:
        channels, depth = stage.value.out_channels, stage.query.out_channels
        attention = stage.lattice.group_size(height, width) * (depth + channels)
        projections = channels * (2 * depth + channels)
        residual = channels
        total += height * width * (attention + projections + residual)
    return total


def layer(name: str) -> AttentionAwareLayer | KernelLayer:
    """A row of Table 2."""
    if name == "kel":
        return KernelLayer()
    made = AttentionAwareLayer(CHANNELS, SYSTEMS[name])
    for stage in made.stages:
        torch.nn.init.constant_(stage.gamma, 0.5)
    return made


def forms(name: str, size: int, device: torch.device) -> dict[str, Run]:
    """A system's forms, ready to run without gradients: ``ours`` and, for attention, ``plain``."""
    torch.manual_seed(0)
    made = layer(name).to(device).eval().requires_grad_(False)
    x = torch.randn(1, CHANNELS, size, size, device=device)
    if isinstance(made, KernelLayer):
        sections = torch.rand(2, 1, size, size, device=device)
        return {"ours": lambda: made(x, sections)}

    def plain() -> Tensor:
        y = x
        for stage in made.stages:
            y = stage(y)
        return y

    return {
        "ours": lambda: made.fast_(x.clone(memory_format=torch.channels_last)),
        "plain": plain,
    }


def prepare(name: str, form: str, size: int, threads: int) -> Run:
    """One form on the CPU, for a process of its own."""
    torch.set_num_threads(threads)
    return forms(name, size, torch.device("cpu"))[form]


def needs(name: str, form: str, size: int) -> int:
    """Bytes that a form takes at least at its worst."""
    if name == "kel":
        return 8 * CHANNELS * 4 * size**2
    largest = max(s.lattice.group_size(size, size) for s in layer(name).stages)
    # The chunks of ours hold one group's affinities at least: all there are, for SA.
    affinities = 2 * largest * size**2 if form == "plain" else largest**2
    return 4 * (affinities + 8 * CHANNELS * size**2)


def measure(name: str, size: int, repeats: int, device: torch.device) -> Cost:
    """All figures of a row of Table 2."""
    made = layer(name)
    params = sum(p.numel() for p in made.parameters())
    macs = multiply_accumulates(made, size, size)
    runs = {
        form: run
        for form, run in forms(name, size, device).items()
        if needs(name, form, size) < free_bytes(device)
    }
    if "ours" not in runs:
        return Cost(params, macs, None, None, None, 4 * size**4, None, None, None)
    resident: dict[str, int | None] = {}
    if device.type == "cpu":
        threads = torch.get_num_threads()
        resident = {form: resident_bytes(prepare, name, form, size, threads) for form in runs}
    times = alternate(list(runs.values()), repeats, device)
    seconds = dict(zip(runs, times, strict=True))
    peaks = {form: peak_bytes(run, device) for form, run in runs.items()}
    plain = seconds.get("plain")
    return Cost(
        params,
        macs,
        seconds["ours"],
        plain,
        seconds["ours"] / plain if plain else None,
        peaks["ours"],
        peaks.get("plain"),
        resident.get("ours"),
        resident.get("plain"),
    )


def compare(aal: Cost, ssa: Cost) -> dict[str, dict[str, float | None]]:
    """AAL's memory and time over SSA's, by the forms that are compared."""

    def over(a: float | None, b: float | None) -> float | None:
        return a / b if a is not None and b is not None else None

    return {
        "ours over plain": {
            "peak": over(aal.peak_bytes, ssa.reference_peak_bytes),
            "resident": over(aal.resident_bytes, ssa.reference_resident_bytes),
            "seconds": over(aal.seconds, ssa.reference_seconds),
        },
        "both plain": {
            "peak": over(aal.reference_peak_bytes, ssa.reference_peak_bytes),
            "resident": over(aal.reference_resident_bytes, ssa.reference_resident_bytes),
            "seconds": over(aal.reference_seconds, ssa.reference_seconds),
        },
        "both ours": {
            "peak": over(aal.peak_bytes, ssa.peak_bytes),
            "resident": over(aal.resident_bytes, ssa.resident_bytes),
            "seconds": over(aal.seconds, ssa.seconds),
        },
    }


def table(costs: dict[str, Cost], size: int) -> Table:
    """The costs beside the paper's."""
    result = Table(title=f"Attention upon 1 x {CHANNELS} x {size} x {size} (paper: 512, P40)")
    for column in ("", "", "Memory (GiB)", "Process (GiB)", "GMAC", "Params (M)", "ms"):
        result.add_column(column, justify="right", no_wrap=True)
    for name, cost in costs.items():
        memory, macs, params, ms = PAPER[name]
        result.add_row(name.upper(), "paper", memory, "-", macs, params, ms)
        result.add_row(
            "",
            "ours" if cost.seconds else "counted",
            f"{cost.peak_bytes / 2**30:.3f}",
            _or_dash(cost.resident_bytes, 2**-30, 3),
            f"{cost.macs / 1e9:.2f}",
            f"{cost.params / 1e6:.4f}",
            _or_dash(cost.seconds, 1e3, 0),
        )
        if cost.reference_seconds is not None:
            result.add_row(
                "",
                "plain",
                _or_dash(cost.reference_peak_bytes, 2**-30, 3),
                _or_dash(cost.reference_resident_bytes, 2**-30, 3),
                "",
                "",
                _or_dash(cost.reference_seconds, 1e3, 0),
            )
    return result


def comparison_table(comparison: dict[str, dict[str, float | None]]) -> Table:
    """AAL over SSA beside the paper's."""
    result = Table(title="AAL over SSA (goal: memory below .10, time below .33)")
    for column in ("", "Memory", "Process", "Time"):
        result.add_column(column, justify="right")
    result.add_row("paper", "0.238", "-", "0.841")
    for name, ratios in comparison.items():
        result.add_row(name, *(_or_dash(ratio, 1, 3) for ratio in ratios.values()))
    return result


def _or_dash(value: float | None, factor: float, digits: int) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", type=int, default=512, help="height and width, pixels")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5, help="measured runs of each form")
    parser.add_argument("--device", help="default: the CPU, and CUDA if it is there")
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write one JSON object to FILE; without FILE print it and nothing else",
    )
    options = parser.parse_args(arguments)
    if options.size % 32 or options.size < 32:
        parser.error("--size must be a multiple of 32")
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    torch.set_num_threads(options.threads)
    names = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    result: dict[str, Any] = {}
    measured = []
    for name in [options.device] if options.device else names:
        device = torch.device(name)
        with torch.no_grad():
            costs = {each: measure(each, options.size, options.repeats, device) for each in PAPER}
        comparison = compare(costs["aal"], costs["ssa"])
        own = {each: asdict(cost) for each, cost in costs.items()} | {"aal_over_ssa": comparison}
        result = result | {name: own} if result else own  # the first as it is, others by name
        measured.append((costs, comparison))
    if options.json == "-":
        print(json.dumps(result))
        return
    if options.json:
        write_json(options.json, result)
    console = Console()
    for costs, comparison in measured:
        console.print(table(costs, options.size))
        console.print(comparison_table(comparison))


if __name__ == "__main__":
    main()
