"""The parts in their fast form against the plain ones, and what they keep from tile to tile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest
import torch

from napari_ssan.network.fast import make_fast
from napari_ssan.network.inference import Runner
from napari_ssan.network.ssan import SSAN, SSANConfig, Synthesis

CPU = torch.device("cpu")
SMALL = {"features": 16, "blocks": 2, "layers": 2, "growth": 8}
CONFIGS = {
    "half": SSANConfig(**SMALL),
    "full-resolution": SSANConfig(**SMALL, scale=1),
    "batch-norm": SSANConfig(**SMALL, normalization="batch"),
    "full-batch-norm": SSANConfig(**SMALL, scale=1, normalization="batch", warp="residual"),
    "no-attention": SSANConfig(**SMALL, attention=None),
    "full-no-attention": SSANConfig(**SMALL, scale=1, attention=None, position_input=False),
    "dense-attention": SSANConfig(**SMALL, attention=()),
    "one-of-each": SSANConfig(features=8, blocks=1, layers=1, growth=1),
    "deep-and-odd": SSANConfig(features=24, blocks=3, layers=4, growth=5),
    "wide": SSANConfig(features=40, blocks=2, layers=2, growth=48),
}


def trained_alike(config: SSANConfig) -> SSAN:
    """A network with nothing left at its initial zero, and batch statistics of its own."""
    torch.manual_seed(0)
    network = SSAN(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(0.5)
            elif name.startswith("warp_head.out"):
                parameter.normal_(std=0.05)
        network.train()
        for _ in range(3):
            network(*torch.rand(2, 2, 1, 64, 64))
    return network.eval().requires_grad_(False)


def pair(height: int = 64, width: int = 128, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(height + width)
    first, second = torch.rand(2, batch, 1, height, width)
    return first, second


def buffers(network: torch.nn.Module) -> set[int]:
    """Addresses of what a network keeps from tile to tile."""
    return {
        buffer.data_ptr()
        for module in network.modules()
        for lent in getattr(getattr(module, "_memory", None), "_free", [])
        for buffer in lent
    }


def assert_alike(made: Synthesis, wanted: Synthesis) -> None:
    for name in ("image", "warp0", "warp1", "mask"):
        assert (getattr(made, name) - getattr(wanted, name)).abs().max() < 1e-3, name


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_whole_network_gives_the_plain_values(config):
    network = trained_alike(config)
    previous, following = pair()
    position = torch.tensor([0.5, 0.2])
    made = Runner(network, CPU, "float32").synthesis(previous, following, position)
    assert_alike(made, network(previous, following, position))


@pytest.mark.parametrize("cheap_products", [False, True])
@pytest.mark.parametrize(
    "name", [name for name, config in CONFIGS.items() if config.normalization == "none"]
)
def test_each_part_gives_the_plain_values(name, cheap_products):
    network = trained_alike(CONFIGS[name])
    fast = deepcopy(network)
    make_fast(fast, cheap_products=cheap_products)
    config = network.config
    frames = network.extractor.shallow1.in_channels
    torch.manual_seed(2)
    own, other = torch.rand(2, 2, 1, 64, 64)
    distance = torch.tensor([0.5, 0.2]).view(-1, 1, 1, 1)
    side = 64 // config.scale
    x = torch.rand(2, frames, side, side)
    with torch.no_grad():
        features = network.extractor(x)
        attended = network.attention(features)
        warped = network.warp_head(attended, own, other, distance)
        votes = network.hybrid(attended, warped, own)
        # The stand-ins may write into what they are given.
        held = attended.to(memory_format=torch.channels_last)
        parts = {
            "extractor": (fast.extractor(x), features),
            "attention": (
                fast.attention(features.clone(memory_format=torch.channels_last)),
                attended,
            ),
            "warp head": (fast.warp_head(held, own, other, distance), warped),
            "hybrid network": (fast.hybrid(held, warped, own), votes),
        }
    for part, (made, wanted) in parts.items():
        assert made.shape == wanted.shape, part
        assert (made - wanted).abs().max() < 1e-3, part
        assert wanted.std() > 1e-3, part


def test_a_tile_leaves_no_trace_in_the_next():
    network = trained_alike(CONFIGS["half"])
    runner = Runner(network, CPU, "float32")
    first = runner.synthesis(*pair()).image
    kept = first.clone()
    runner.synthesis(*(-5 * x for x in pair()))
    assert torch.equal(first, kept)  # the result is no buffer
    assert torch.equal(runner.synthesis(*pair()).image, kept)


def test_buffers_are_used_again():
    runner = Runner(trained_alike(CONFIGS["half"]), CPU, "float32")
    assert not buffers(runner._network)
    runner.synthesis(*pair())
    kept = buffers(runner._network)
    assert kept
    runner.synthesis(*pair())
    assert buffers(runner._network) == kept


def test_the_size_may_change_from_tile_to_tile():
    network = trained_alike(CONFIGS["batch-norm"])
    runner = Runner(network, CPU, "float32")
    for height, width, batch in ((64, 64, 1), (128, 64, 1), (64, 192, 3), (64, 64, 1)):
        given = pair(height, width, batch)
        assert_alike(runner.synthesis(*given), network(*given))


@pytest.mark.parametrize("name", ["half", "full-resolution", "no-attention"])
def test_threads_share_a_runner(name):
    runner = Runner(trained_alike(CONFIGS[name]), CPU, "float32")
    jobs = [pair(64, 64 * (1 + n % 3), 1) for n in range(12)]
    wanted = [runner.synthesis(*job).image for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda job: runner.synthesis(*job).image, jobs))
    for found, expected in zip(made, wanted, strict=True):
        assert (found - expected).abs().max() < 1e-5


def test_bfloat16_stays_near_the_plain_values():
    network = trained_alike(CONFIGS["half"])
    fast = deepcopy(network)
    make_fast(fast, cheap_products=True)
    fast.to(torch.bfloat16)
    with torch.no_grad():
        made, wanted = (each(*pair()).image for each in (fast, network))
    assert (made - wanted).abs().mean() < 0.02
