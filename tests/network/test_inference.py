from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from napari_ssan.network import inference
from napari_ssan.network.inference import Runner
from napari_ssan.network.ssan import SSAN, SSANConfig, preset

CPU = torch.device("cpu")
SMALL = {"features": 16, "blocks": 2, "layers": 2, "growth": 8}


def trained_alike(config):
    """A network with nothing left at its initial zero, and batch statistics of its own."""
    torch.manual_seed(0)
    network = SSAN(config)
    with torch.no_grad():
        for stage in network.attention.stages if config.attention is not None else ():
            stage.gamma.uniform_(-1, 1)
        for parameter in network.warp_head.out.parameters():
            parameter.normal_(std=0.05)
        network.train()
        for _ in range(3):
            network(*(3 * torch.rand(2, 2, 1, 64, 64)))
    return network.eval()


def sections(*shape):
    torch.manual_seed(1)
    return torch.rand(shape), torch.rand(shape)


@pytest.fixture
def fast_bfloat16(monkeypatch):
    monkeypatch.setattr(inference, "has_fast_bfloat16", lambda device: True)


@pytest.mark.parametrize(
    "config",
    [
        preset("half"),
        preset("paper"),
        preset("paper-bn"),
        SSANConfig(**SMALL, normalization="batch"),
        SSANConfig(**SMALL, attention=None),
        SSANConfig(features=16, attention=(8,), layers=1, blocks=1),
    ],
    ids=["half", "paper", "paper-bn", "half-bn", "no-attention", "shallow"],
)
def test_float32_gives_the_values_of_the_plain_network(config):
    network = trained_alike(config)
    previous, following = sections(2, 1, 64, 128)
    position = torch.tensor([0.5, 0.25])
    plain = network(previous, following, position)  # with gradients: the plain form
    fast = Runner(network, CPU, "float32").synthesis(previous, following, position)
    for name in ("image", "warp0", "warp1", "mask"):
        assert (getattr(fast, name) - getattr(plain, name)).abs().max() < 1e-4, name


def test_bfloat16_stays_within_two_grey_levels(fast_bfloat16):
    network = trained_alike(preset("half"))
    previous, following = sections(1, 1, 128, 128)
    runner = Runner(network, CPU)
    assert runner.dtype == torch.bfloat16
    with torch.no_grad():
        plain = network(previous, following).image
    off = 255 * (runner.synthesis(previous, following).image - plain).abs()
    assert off.mean() < 0.5
    assert off.flatten().quantile(0.99) < 2


def test_bfloat16_is_used_only_where_it_is_fast(monkeypatch):
    monkeypatch.setattr(inference, "has_fast_bfloat16", lambda device: False)
    assert Runner(SSAN(SSANConfig(**SMALL)), CPU).dtype == torch.float32


def test_float32_is_kept_on_request(fast_bfloat16):
    assert Runner(SSAN(SSANConfig(**SMALL)), CPU, "float32").dtype == torch.float32


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_sections_come_back_in_float32_free_of_gradients(fast_bfloat16, precision):
    runner = Runner(SSAN(SSANConfig(**SMALL)), CPU, precision)
    previous, following = sections(1, 1, 64, 64)
    image = runner.synthesis(previous.double(), following.double(), torch.tensor([0.5])).image
    assert image.dtype == torch.float32
    assert image.shape == (1, 1, 64, 64)
    assert not image.requires_grad
    image.mul_(2)  # an ordinary tensor, which its receiver may change


@pytest.mark.parametrize("mode", [True, False])
def test_network_of_the_caller_stays_as_it_is(fast_bfloat16, mode):
    network = SSAN(SSANConfig(**SMALL, normalization="batch")).train(mode)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    kinds = [type(module) for module in network.modules()]
    Runner(network, CPU).synthesis(*sections(1, 1, 64, 64))
    assert network.state_dict().keys() == state.keys()
    for key, value in network.state_dict().items():
        assert value.dtype == state[key].dtype
        assert torch.equal(value, state[key]), key
    assert [type(module) for module in network.modules()] == kinds
    assert network.training is mode
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_later_changes_of_the_network_do_not_reach_the_runner():
    network = trained_alike(SSANConfig(**SMALL))
    runner = Runner(network, CPU, "float32")
    pair = sections(1, 1, 64, 64)
    before = runner.synthesis(*pair).image
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(runner.synthesis(*pair).image, before)


@pytest.mark.parametrize("shape", [(1, 1, 64, 64), (2, 1, 64, 128)])
def test_views_are_mirrored_turned_put_back_and_averaged(shape):
    network, pair = trained_alike(SSANConfig(**SMALL)), sections(*shape)
    position = torch.full(shape[:1], 0.25)
    alone = Runner(network, CPU, "float32")
    views = [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]
    made = []
    for turns, mirrored in views:
        seen = [x.flip(-1) if mirrored else x for x in pair]
        seen = [torch.rot90(x, turns, (2, 3)) for x in seen]
        back = torch.rot90(alone.synthesis(*seen, position).image, -turns, (2, 3))
        made.append(back.flip(-1) if mirrored else back)
    for count in (1, 2, 4, 8):
        found = Runner(network, CPU, "float32", views=count).synthesis(*pair, position).image
        expected = torch.stack(made[:count]).mean(0)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (made[1] - made[0]).abs().max() > 1e-3


def test_with_all_views_a_turned_section_is_synthesized_turned():
    runner = Runner(trained_alike(SSANConfig(**SMALL)), CPU, "float32", views=8)
    pair = sections(1, 1, 64, 64)
    upright = runner.synthesis(*pair)
    turned = runner.synthesis(*(torch.rot90(x, 1, (2, 3)) for x in pair))
    for name in ("image", "warp0", "warp1", "mask"):
        expected = torch.rot90(getattr(upright, name), 1, (2, 3))
        torch.testing.assert_close(getattr(turned, name), expected, atol=1e-5, rtol=0)


def test_inputs_are_spared_and_repetition_changes_nothing():
    runner = Runner(trained_alike(SSANConfig(**SMALL)), CPU, "float32")
    pair = sections(1, 1, 64, 64)
    kept = [x.clone() for x in pair]
    first = runner.synthesis(*pair).image
    again = first.clone()
    runner.synthesis(pair[1], pair[0])
    assert torch.equal(first, again), "a result must not live in memory that is used again"
    assert torch.equal(runner.synthesis(*pair).image, again)
    assert all(map(torch.equal, pair, kept))


def test_threads_may_share_a_runner():
    runner = Runner(trained_alike(SSANConfig(**SMALL)), CPU, "float32")
    pairs = [torch.rand(2, 1, 1, 64, 64 * (1 + i % 2)) for i in range(8)]
    expected = [runner.synthesis(*pair).image for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda pair: runner.synthesis(*pair).image, pairs)
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(found, expected, strict=True))
