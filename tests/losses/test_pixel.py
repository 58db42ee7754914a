from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ssan.losses.pixel import charbonnier


def test_charbonnier_by_hand():
    image, target = torch.tensor([0.0, 3.0]), torch.tensor([0.0, 1.0])
    expected = (1e-3 + np.sqrt(4 + 1e-6)) / 2
    assert charbonnier(image, target).item() == pytest.approx(expected)
    assert charbonnier(image, target, 1e-12).item() == pytest.approx(1 + 5e-7)


def test_gradient_against_finite_differences():
    torch.manual_seed(0)
    image = torch.rand(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    target = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: charbonnier(x, target), image)
