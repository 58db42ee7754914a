from __future__ import annotations

import io
import warnings

import pytest
import torch

from napari_ssan.export.torchscript import to_torchscript
from napari_ssan.network.ssan import SSAN, SSANConfig

SMALL = {"features": 8, "blocks": 1, "layers": 1, "growth": 8, "attention": (2, 2)}


def load(content: bytes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(io.BytesIO(content))


@pytest.fixture
def make():
    def build(**changes) -> SSAN:
        torch.manual_seed(0)
        network = SSAN(SSANConfig(**{**SMALL, **changes})).eval().requires_grad_(False)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        return network

    return build


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scale": 1},
        {"warp": "residual"},
        {"position_input": False},
        {"attention": ()},
        {"attention": None},
        {"normalization": "batch"},
    ],
    ids=str,
)
def test_a_recorded_network_gives_what_the_network_gives(make, changes):
    network = make(**changes)
    recorded = load(to_torchscript(network))
    for height, width in ((16, 16), (48, 32)):
        pair = torch.rand(2, 1, 1, height, width)
        with torch.no_grad():
            wanted, made = network(*pair).image, recorded(*pair)
        assert (wanted - pair.mean(0)).abs().max() > 0.05  # it does something
        assert torch.allclose(made, wanted, atol=2e-5)


@pytest.mark.parametrize("changes", [{}, {"warp": "residual"}], ids=str)
def test_a_recorded_network_is_tied_to_no_device(make, changes):
    graph = str(load(to_torchscript(make(**changes))).inlined_graph)
    assert "aten::conv" in graph or "aten::_convolution" in graph
    assert "Device" not in graph


def test_recording_leaves_the_network_and_gradients_as_they_were(make):
    network = make()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        to_torchscript(network)
        assert not torch.is_grad_enabled()
    assert not network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
