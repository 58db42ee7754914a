"""What synthesizing one tile costs, against the plain network and the processor's best.

Ours is ``Runner(..., "auto")``. The reference is the same network in its plain
form: float32, contiguous, one branch after the other, plain attention. Their
runs alternate, with the runs of the ceiling between them, and medians are
compared. The ceiling is the best throughput that a 3x3 convolution of 64 to 64
channels reaches in the same minutes at the network's working resolution, over
both precisions and layouts. A multiply-accumulate counts as two operations.
"""

from __future__ import annotations

import argparse
import json
from itertools import product

import torch
from attention import alternate
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from napari_ssan.network.device import choose_device
from napari_ssan.network.inference import Runner
from napari_ssan.network.ssan import SSAN, preset


def plain(network: SSAN, previous: Tensor, following: Tensor) -> Tensor:
    """Synthesize a section, one branch after the other."""
    distance = previous.new_full((len(previous), 1, 1, 1), 0.5)
    warp0, votes0 = network.branch(previous, following, distance)
    warp1, votes1 = network.branch(following, previous, distance)
    mask = torch.sigmoid(votes0 - votes1)
    return mask * warp0 + (1 - mask) * warp1


class PlainAttention(nn.Module):
    """The attention's stages in their plain form, with logits and softmax of the whole map."""

    def __init__(self, stages: nn.ModuleList) -> None:
        super().__init__()
        self.stages = stages

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, C, H, W) to the same shape."""
        for stage in self.stages:
            x = stage(x)
        return x


def multiply_accumulates(network: SSAN, tile: int) -> int:
    """Multiply-accumulates of convolutions and matrix products for one tile."""
    section = torch.empty(1, 1, tile, tile, device="meta")
    with FlopCounterMode(display=False) as counter:
        SSAN(network.config).to("meta")(section, section)
    return counter.get_total_flops() // 2


def measure(name: str, tile: int, repeats: int, device: torch.device) -> dict[str, float | str]:
    network = SSAN(preset(name)).eval().to(device)
    runner = Runner(network, device)
    if network.config.attention is not None:
        network.attention = PlainAttention(network.attention.stages)
    previous, following = torch.rand(2, 1, 1, tile, tile, device=device)

    width = tile // network.config.scale
    precisions = (torch.float32, torch.bfloat16)
    layouts = (torch.contiguous_format, torch.channels_last)
    convolutions = []
    for precision, layout in product(precisions, layouts):
        x = torch.randn(2, 64, width, width, device=device, dtype=precision)
        x = x.contiguous(memory_format=layout)
        weight = torch.randn(64, 64, 3, 3, device=device, dtype=precision)
        weight = weight.contiguous(memory_format=layout)
        convolutions.append(lambda x=x, w=weight: functional.conv2d(x, w, padding=1))

    with torch.no_grad():
        seconds, reference, *ceilings = alternate(
            [
                lambda: runner.synthesis(previous, following).image,
                lambda: plain(network, previous, following),
                *convolutions,
            ],
            repeats,
            device,
        )
    macs = multiply_accumulates(network, tile)
    rate = 2 * macs / seconds / 1e9
    ceiling = 2 * 2 * width**2 * 64 * 64 * 9 / min(ceilings) / 1e9
    return {
        "seconds": seconds,
        "reference_seconds": reference,
        "ratio": seconds / reference,
        "gmacs": macs / 1e9,
        "gflops_per_second": rate,
        "ceiling_gflops_per_second": ceiling,
        "ceiling_share": rate / ceiling,
        "threads": torch.get_num_threads(),
        "precision": str(runner.dtype).removeprefix("torch."),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--preset", default="half")
    parser.add_argument("--tile", type=int, default=512, help="height and width, pixels")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5, help="measured runs of each form")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    options = parser.parse_args()
    multiple = preset(options.preset).multiple
    if options.tile % multiple or options.tile < multiple:
        parser.error(f"--tile must be a multiple of {multiple}")
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    result = measure(options.preset, options.tile, options.repeats, choose_device(options.device))
    if options.json:
        print(json.dumps(result))
        return
    table = Table(title=f"Preset {options.preset}, one tile of {options.tile} x {options.tile}")
    table.add_column("")
    table.add_column("", justify="right")
    for key, value in result.items():
        table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
