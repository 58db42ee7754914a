from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_ssan.losses.membranes import membrane_loss


class Dark(nn.Module):
    """Finds membranes where a section is darker than most of it, the surer the darker."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -4 * (x + 1)


def sections() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    target = torch.rand(2, 1, 12, 10, dtype=torch.float64)
    return 0.6 * target + 0.4 * torch.rand_like(target), target


def test_it_is_one_minus_the_soft_dice_of_each_section():
    image, target = sections()
    expected = []
    for made, real in zip(image, target, strict=True):
        a, b = ((x - real.mean()) / (real.std() + 1e-6) for x in (made, real))
        a, b = (torch.sigmoid(-4 * (x + 1)).float() for x in (a, b))
        expected.append(1 - (2 * (a * b).sum() + 1) / (a.sum() + b.sum() + 1))
    found = membrane_loss(image, target, Dark()).item()
    assert found == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def test_by_hand():
    # Two sure membrane pixels of four in the target, one of them in the image.
    target = torch.tensor([[[[-1.0, -1.0, 1.0, 1.0]]]])
    image = torch.tensor([[[[-1.0, 1.0, 1.0, 1.0]]]])
    sure = nn.Module()
    sure.forward = lambda x: torch.where(x < 0, 100.0, -100.0)
    assert membrane_loss(image, target, sure).item() == pytest.approx(1 - (2 * 1 + 1) / (1 + 2 + 1))
    assert membrane_loss(target, target, sure).item() == pytest.approx(0)


def test_gradient_against_finite_differences():
    class Exact(Dark):
        def forward(self, x):
            return super().forward(x).double()

    image, target = sections()
    image.requires_grad_()

    def loss(x):
        return membrane_loss(x, target, Exact())

    (found,) = torch.autograd.grad(loss(image), image)
    step = torch.zeros_like(image)
    for where in ((0, 0, 3, 4), (1, 0, 11, 9)):
        step.zero_()[where] = 1e-2
        with torch.no_grad():
            ends = [loss(image + s * step).item() for s in (1, -1)]
        assert found[where].item() == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=0.02)


def test_a_membrane_that_fades_and_one_that_is_invented_cost_alike():
    target = torch.ones(1, 1, 16, 16)
    target[..., 4] = 0
    faded, invented = torch.ones_like(target), target.clone()
    invented[..., 11] = 0
    same, without, more = (
        membrane_loss(x, target, Dark()).item() for x in (target, faded, invented)
    )
    assert without - same > 0.1
    assert more - same > 0.1


def test_a_flat_section_gives_a_number():
    flat = torch.full((1, 1, 8, 8), 0.5)
    assert torch.isfinite(membrane_loss(flat, flat, Dark()))
