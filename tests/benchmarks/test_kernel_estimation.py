from __future__ import annotations

import pytest
import torch
from attention import CHANNELS, KernelLayer, multiply_accumulates
from systems.kernel_estimation import TAPS, KernelEstimation, separable_convolution
from torch.utils.flop_counter import FlopCounterMode

SIZE = 512


def by_hand(image, vertical, horizontal):
    """Eq. of Niklaus et al., pixel by pixel, the border repeated."""
    batch, taps, height, width = vertical.shape
    rows = []
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                ys = torch.arange(y - taps // 2, y + taps // 2 + 1).clamp(0, height - 1)
                xs = torch.arange(x - taps // 2, x + taps // 2 + 1).clamp(0, width - 1)
                window = image[b, 0][ys][:, xs]
                rows.append(vertical[b, :, y, x] @ window @ horizontal[b, :, y, x])
    return torch.stack(rows).view(batch, 1, height, width)


@pytest.mark.parametrize(("taps", "shape"), [(5, (2, 1, 6, 9)), (7, (1, 1, 5, 3))])
def test_each_pixel_has_its_own_kernel(taps, shape):
    torch.manual_seed(0)
    image = torch.randn(shape, requires_grad=True)
    lines = [torch.randn(shape[0], taps, *shape[2:], requires_grad=True) for _ in range(2)]
    weights = torch.randn(shape)
    made, expected = separable_convolution(image, *lines), by_hand(image, *lines)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)
    wanted = torch.autograd.grad((expected * weights).sum(), [image, *lines])
    found = torch.autograd.grad((made * weights).sum(), [image, *lines])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_under_autocast_kernels_are_applied_in_float32():
    torch.manual_seed(0)
    image, down, along = torch.randn(1, 1, 8, 8), torch.randn(1, 5, 8, 8), torch.randn(1, 5, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        made = separable_convolution(image, down, along)
    assert torch.equal(made, separable_convolution(image, down, along))


@pytest.mark.parametrize("scale", [1, 2])
def test_an_unlearned_kernel_leaves_the_section_as_it_is(scale):
    layer = KernelEstimation(8, scale, 5)
    section = torch.rand(2, 1, 8, 12)
    torch.testing.assert_close(layer(torch.randn(2, 8, 8 // scale, 12 // scale), section), section)


def test_an_even_number_of_taps_is_refused():
    with pytest.raises(ValueError, match="no middle"):
        KernelEstimation(8, 1, 4)


def test_counted_multiply_accumulates_agree_with_torch():
    layer = KernelLayer()
    height, width = 8, 6
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(1, CHANNELS, height, width), torch.zeros(2, 1, height, width))
    # Counted by torch: also windows of the columns that are cut off again, but not the sum along y.
    border = 2 * height * (TAPS - 1) * TAPS**2
    along_y = 2 * height * width * TAPS
    assert (
        multiply_accumulates(layer, height, width)
        == counter.get_total_flops() // 2 - border + along_y
    )


def test_table_2_counts_kernel_estimation_on_three_grey_channels():
    layer = KernelLayer()
    macs = multiply_accumulates(layer, SIZE, SIZE)
    assert f"{macs / 1e9:.2f}" == "134.05"
    assert sum(p.numel() for p in layer.parameters()) == 506_972
    # The printed 138.4 G fit these estimators with their biases, and sections of grey repeated
    # to three channels, for which each kernel of 51 x 51 taps is multiplied out once.
    biases = 4 * (64 + 64 + 51 + 51)
    convolution = 2 * TAPS * (TAPS + 1)
    theirs = macs / SIZE**2 + biases - convolution + 2 * (1 + 3) * TAPS**2
    assert f"{theirs * SIZE**2 / 1e9:.1f}" == "138.4"
