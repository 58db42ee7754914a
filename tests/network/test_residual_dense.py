import pytest
import torch
from torch.nn import functional

from napari_ssan.network.residual_dense import (
    ResidualDenseBlock,
    ResidualDenseNetwork,
    convolution,
)


def parameters_of(in_channels, features, blocks, layers, growth):
    """Counted by hand: two shallow convolutions, the blocks, 1x1 and 3x3 global fusion."""
    shallow = features * (9 * in_channels + 1) + features * (9 * features + 1)
    dense = sum(growth * (9 * (features + i * growth) + 1) for i in range(layers))
    fusion = features * (features + layers * growth + 1)
    top = features * (blocks * features + 1) + features * (9 * features + 1)
    return shallow + blocks * (dense + fusion) + top


@pytest.mark.parametrize("shape", [(9, 64, 4, 3, 32), (2, 16, 2, 2, 8)])
def test_network_has_the_parameters_of_its_shape(shape):
    network = ResidualDenseNetwork(*shape)
    assert sum(p.numel() for p in network.parameters()) == parameters_of(*shape)


def test_block_feeds_each_convolution_with_all_before_it():
    torch.manual_seed(0)
    block = ResidualDenseBlock(8, 2, 4, batch_norm=False)
    x = torch.randn(1, 8, 9, 7)
    first, second = block.convolutions
    a = functional.conv2d(x, first.weight, first.bias, padding=1).clamp(min=0)
    b = functional.conv2d(torch.cat((x, a), 1), second.weight, second.bias, padding=1).clamp(min=0)
    joined = torch.cat((x, a, b), dim=1)
    fused = torch.einsum("oc,bchw->bohw", block.fusion.weight[:, :, 0, 0], joined)
    expected = x + fused + block.fusion.bias.view(1, -1, 1, 1)
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_block_with_silent_fusion_passes_its_input_on():
    block = ResidualDenseBlock(8, 3, 4, batch_norm=False)
    torch.nn.init.zeros_(block.fusion.weight)
    torch.nn.init.zeros_(block.fusion.bias)
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(block(x), x)


def test_global_residual_reaches_past_the_blocks():
    network = ResidualDenseNetwork(2, 8, 2, 2, 4)
    for parameter in network.fusion[-1].parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 2, 12, 10)
    assert torch.equal(network(x), network.shallow1(x))


def test_global_fusion_sees_every_block():
    network = ResidualDenseNetwork(2, 8, 3, 1, 4)
    network(torch.randn(1, 2, 8, 8)).square().sum().backward()
    shares = network.fusion[0].weight.grad.view(8, 3, 8).abs().sum(dim=(0, 2))
    assert (shares > 0).all()


def test_height_and_width_are_kept():
    assert ResidualDenseNetwork(2, 8, 1, 1, 4)(torch.zeros(3, 2, 13, 6)).shape == (3, 8, 13, 6)


def test_batch_normalization_is_in_every_convolution_of_the_blocks():
    network = ResidualDenseNetwork(2, 8, 2, 3, 4, batch_norm=True)
    count = sum(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    assert count == 2 * 3
    assert not any(
        isinstance(m, torch.nn.BatchNorm2d) for m in ResidualDenseNetwork(2, 8, 2, 3, 4).modules()
    )


def test_normalized_convolution_normalizes():
    torch.manual_seed(0)
    y = convolution(3, 5, batch_norm=True)(10 + 7 * torch.randn(4, 3, 16, 16))
    assert y.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (y.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-2
