from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from napari_ssan.losses.structure import structure_loss


def pair(size: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    real = torch.rand(2, 1, size, size + 3, dtype=torch.float64)
    return 0.7 * real + 0.3 * torch.rand_like(real), real


def test_it_is_one_minus_the_similarity_of_scikit_image():
    image, target = pair()
    expected = [
        structural_similarity(
            a[0].numpy(),
            b[0].numpy(),
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(image, target, strict=True)
    ]
    assert structure_loss(image, target).item() == pytest.approx(1 - np.mean(expected), rel=1e-9)
    single = structure_loss(image.float(), target.float()).item()
    assert single == pytest.approx(1 - np.mean(expected), rel=1e-4)


def test_constants_by_hand():
    # No variance: only the luminance is left.
    image, target = torch.full((1, 1, 11, 11), 0.2), torch.full((1, 1, 11, 11), 0.6)
    expected = 1 - (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert structure_loss(image, target).item() == pytest.approx(expected, rel=1e-4)


def test_the_same_section_costs_nothing_and_an_inverted_one_the_most():
    _, target = pair()
    assert structure_loss(target, target).item() == pytest.approx(0, abs=1e-12)
    assert structure_loss(1 - target, target).item() > 1.5


def test_faint_contrast_on_bright_ground_loses_no_digits():
    torch.manual_seed(0)
    real = 0.9 + 0.001 * torch.randn(1, 1, 20, 20, dtype=torch.float64)
    made = 0.9 + 0.001 * torch.randn_like(real)
    expected = structure_loss(made, real).item()
    assert structure_loss(made.float(), real.float()).item() == pytest.approx(expected, rel=0.01)


def test_gradient_against_finite_differences():
    image, target = (x[:1, :, :12, :13].contiguous() for x in pair())
    assert torch.autograd.gradcheck(
        lambda x: structure_loss(x, target), image.requires_grad_(), atol=1e-7
    )
