from __future__ import annotations

import pytest
import torch
from systems.depth_aware import FlowNetwork, project
from systems.registry import METHODS, SYSTEMS, build
from systems.store import load_system, save_system
from systems.unet import UNet
from torch.nn.functional import avg_pool2d

from napari_ssan.errors import BadInput
from napari_ssan.network.ssan import SSAN

#: Those whose two branches are one network, so that the order of the sections means nothing.
SIAMESE = set(SYSTEMS) - {"U-Net", "RDN", "SepConv", "DAIN"}
SIZE = 32


def stirred(name, config, seed=0):
    """A system whose every parameter is felt."""
    torch.manual_seed(seed)
    system = build(name, config, taps=5)
    with torch.no_grad():
        for parameter in system.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return system


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_parameter_learns(name, tiny):
    system = stirred(name, tiny)
    previous, following, target = torch.rand(3, 2, 1, SIZE, SIZE)
    synthesis = system(previous, following, torch.tensor([0.5, 0.25]))
    for part in (synthesis.image, synthesis.warp0, synthesis.warp1, synthesis.mask):
        assert part.shape == (2, 1, SIZE, SIZE)
        assert torch.isfinite(part).all()
    (synthesis.image - target).square().mean().backward()
    still = [
        key for key, parameter in system.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]  # fmt: skip
    # A bias of all queries' partners alike moves no softmax.
    assert not [key for key in still if not key.endswith("key.bias")]


@pytest.mark.parametrize("name", SYSTEMS)
def test_without_a_position_the_middle_is_meant(name, tiny):
    system = stirred(name, tiny).eval()
    previous, following = torch.rand(2, 1, 1, SIZE, SIZE)
    with torch.no_grad():
        middle = system(previous, following).image
        said = system(previous, following, torch.tensor([0.5])).image
        elsewhere = system(previous, following, torch.tensor([0.2])).image
    assert torch.equal(middle, said)
    assert not torch.allclose(middle, elsewhere)


@pytest.mark.parametrize("name", SYSTEMS)
def test_swapping_the_sections_changes_what_is_not_siamese(name, tiny):
    system = stirred(name, tiny).eval()
    previous, following = torch.rand(2, 1, 1, SIZE, SIZE)
    with torch.no_grad():
        there = system(previous, following, torch.tensor([0.3])).image
        back = system(following, previous, torch.tensor([0.7])).image
    assert torch.allclose(there, back, atol=1e-5) == (name in SIAMESE)


@pytest.mark.parametrize("name", SYSTEMS)
def test_between_two_equal_sections_an_unlearned_system_finds_the_same(name, tiny):
    torch.manual_seed(0)
    section = torch.rand(1, 1, SIZE, SIZE)
    with torch.no_grad():
        image = build(name, tiny, taps=5).eval()(section, section).image
    torch.testing.assert_close(image, section, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["U-Net", "RDN", "KEL", *METHODS])
def test_a_system_learns_to_move_what_moves(name, tiny):
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    system = build(name, tiny, taps=5)
    optimizer = torch.optim.Adam(system.parameters(), 3e-3)
    errors = []
    for _ in range(60):
        noise = torch.randn(2, 1, SIZE + 4, SIZE + 6, generator=random)
        texture = avg_pool2d(noise, 3, stride=1)
        # Two pixels to the right, from section to section.
        previous, target, following = (
            texture[..., 1 : SIZE + 1, start : start + SIZE] for start in (4, 2, 0)
        )
        error = (system(previous, following).image - target).square().mean()
        still = ((previous + following) / 2 - target).square().mean()
        errors.append((error / still).item())
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert sum(errors[-5:]) / 5 < 0.8


def test_what_the_tables_call_ours_is_the_network_of_the_package(tiny):
    networks = [build(name, tiny) for name in ("SRDN", "AAL", "SSAN")]
    assert all(isinstance(each, SSAN) and each.config == tiny for each in networks)
    stages = {name: len(build(name, tiny).attention.stages) for name in ("SA", "SSA", "AAL")}
    assert stages == {"SA": 1, "SSA": 2, "AAL": 3}


def test_an_unknown_system_is_refused(tiny):
    with pytest.raises(KeyError):
        build("V-Net", tiny)


def test_unet_has_four_levels_and_sees_far():
    network = UNet(3, 8, width=4)
    assert [stage[0].out_channels for stage in network.down] == [4, 8, 16, 32]
    x = torch.rand(1, 3, 48, 16, requires_grad=True)
    network(x)[0, :, 24, 8].sum().backward()
    reached = x.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    assert network(x).shape == (1, 8, 48, 16)
    assert reached.min() <= 4
    assert reached.max() >= 44


def test_flow_starts_at_rest():
    flow = FlowNetwork(4, 8)(torch.rand(1, 4, 16, 24), torch.rand(1, 4, 16, 24))
    assert flow.shape == (1, 2, 16, 24)
    assert not flow.any()


def test_a_constant_flow_is_projected_back():
    flow = torch.zeros(1, 2, 12, 12)
    flow[:, 0], flow[:, 1] = 4.0, -2.0
    back = project(flow, torch.rand(1, 1, 12, 12) + 0.5, torch.full((1, 1, 1, 1), 0.25))
    # Also where no flow arrives.
    torch.testing.assert_close(back[:, 0], torch.full((1, 12, 12), -1.0))
    torch.testing.assert_close(back[:, 1], torch.full((1, 12, 12), 0.5))


def test_the_nearer_of_two_flows_that_meet_prevails():
    flow = torch.zeros(1, 2, 1, 8)
    flow[0, 0, 0, 2], flow[0, 0, 0, 6] = 4.0, -4.0  # half way, both are at 4
    weight = torch.full((1, 1, 1, 8), 1e-6)
    weight[..., 2], weight[..., 6] = 100.0, 1.0
    back = project(flow, weight, torch.full((1, 1, 1, 1), 0.5))
    assert back[0, 0, 0, 4] == pytest.approx(-0.5 * (100 * 4 - 4) / 101, abs=1e-3)


def test_a_system_is_found_again_as_it_was(tiny, tmp_path):
    system = stirred("SepConv", tiny).eval()
    card = {"system": "SepConv", "config": tiny.model_dump(mode="json"), "taps": 5, "tile": SIZE}
    save_system(tmp_path / "one.safetensors", system, card)
    again, said = load_system(tmp_path / "one.safetensors")
    sections = torch.rand(2, 1, 1, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(again(*sections).image, system(*sections).image)
    assert said == card


def test_a_file_that_holds_no_system_is_refused(tiny_model, tmp_path):
    from pathlib import Path

    with pytest.raises(BadInput, match="none of the systems"):
        load_system(Path(tiny_model))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no")
    with pytest.raises(BadInput, match="cannot be read"):
        load_system(broken)
