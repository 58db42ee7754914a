from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_ssan.errors import BadInput
from napari_ssan.losses.config import LossConfig
from napari_ssan.losses.perceptual import feature_loss, gram, style_balance, style_distance
from napari_ssan.losses.pixel import charbonnier
from napari_ssan.losses.total import TotalLoss
from napari_ssan.losses.vgg import BLOCKS, VGG16

CHANNELS = {0: (3, 8), 2: (8, 8), 5: (8, 16), 7: (16, 16), 10: (16, 16), 12: (16, 16), 14: (16, 16)}


@pytest.fixture
def vgg(tmp_path) -> Path:
    """Weights of a VGG16 with few channels, up to relu3_3."""
    torch.manual_seed(0)
    weights = {}
    for number, (before, after) in CHANNELS.items():
        weights[f"features.{number}.weight"] = (
            torch.randn(after, before, 3, 3) / (3 * before) ** 0.5
        )
        weights[f"features.{number}.bias"] = 0.1 * torch.randn(after)
    save_file(weights, tmp_path / "vgg.safetensors")
    return tmp_path / "vgg.safetensors"


def sections(count: int = 4, size: int = 16) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.rand(2, 1, size, size) for _ in range(count)]


def test_charbonnier_by_hand():
    image, target = torch.tensor([0.0, 3.0]), torch.tensor([0.0, 1.0])
    expected = (1e-3 + np.sqrt(4 + 1e-6)) / 2
    assert charbonnier(image, target).item() == pytest.approx(expected)
    assert charbonnier(image, target, 1e-12).item() == pytest.approx(1 + 5e-7)


def test_gram_by_hand():
    activation = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    expected = torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4
    torch.testing.assert_close(gram(activation), expected)


def test_feature_loss_in_float64():
    a, b = ([torch.rand(2, 3, 5, 5), torch.rand(2, 6, 2, 2)] for _ in range(2))
    expected = sum(((p.double() - q.double()) ** 2).mean() for p, q in zip(a, b, strict=True))
    assert feature_loss(a, b).item() == pytest.approx(expected.item(), rel=1e-6)


def activations(scale: float) -> list[torch.Tensor]:
    return [torch.full((1, 1, 2, 2), scale)]


@pytest.mark.parametrize("made", [0.2, 0.8, 1.0, 1.3])
def test_signs_of_the_style_balance(made):
    # One channel: the Gram matrix of a constant a is a^2, style distances are (a^2 - b^2)^2.
    before, wanted, after = 0.5, 1.0, 1.2

    def distance(a: float, b: float) -> float:
        return (a**2 - b**2) ** 2

    terms, loss = [], 0.0
    for beta, other in zip((0.1, 1.0, 0.1), (before, wanted, after), strict=True):
        own, real = distance(made, other), distance(wanted, other)
        terms.append(beta * np.sign(own - real) * own)
        loss += beta * abs(own - real)
    found = style_balance(*(activations(a) for a in (made, wanted, before, after)))
    assert found.signed == pytest.approx(terms, abs=1e-6)
    assert found.loss.item() == pytest.approx(loss, abs=1e-6)


def test_the_style_balance_has_the_gradient_of_equation_15():
    torch.manual_seed(0)
    wanted, before, after = ([torch.rand(1, 3, 4, 4, dtype=torch.float64)] for _ in range(3))
    image = torch.rand(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    def printed() -> torch.Tensor:
        grams = [[gram(a) for a in each] for each in ([image], before, wanted, after)]
        total = torch.zeros(())
        for beta, other in zip((0.1, 1.0, 0.1), grams[1:], strict=True):
            own, real = style_distance(grams[0], other), style_distance(grams[2], other)
            total = total + (beta * torch.sign(own - real) * own).mean()
        return total

    (expected,) = torch.autograd.grad(printed(), image)
    loss = style_balance([image], wanted, before, after).loss
    (found,) = torch.autograd.grad(loss, image)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-9)


def test_the_taps_are_those_whose_weights_are_there(vgg, tmp_path):
    network = VGG16(vgg)
    assert network.taps == ("relu1_2", "relu2_2", "relu3_3")
    shapes = [tuple(a.shape) for a in network(torch.rand(2, 1, 16, 16))]
    assert shapes == [(2, 8, 16, 16), (2, 16, 8, 8), (2, 16, 4, 4)]
    assert list(BLOCKS)[-1] == "relu4_3"
    assert not any(p.requires_grad for p in network.parameters())


def test_grey_is_repeated_and_normalized_as_the_weights_expect(vgg):
    network = VGG16(vgg)
    grey = torch.rand(1, 1, 8, 8)
    rgb = (grey.repeat(1, 3, 1, 1) - network.mean) / network.std
    first = network.blocks[0]
    expected = torch.relu(first[1](torch.relu(first[0](rgb))))
    torch.testing.assert_close(network(grey)[0], expected)


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_files_without_weights_are_refused(tmp_path, content):
    path = tmp_path / "vgg.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput):
        VGG16(path)
    save_file({"other": torch.zeros(1)}, path)
    with pytest.raises(BadInput, match="no VGG16 weights"):
        VGG16(path)


@pytest.mark.parametrize(
    ("preset", "names"),
    [
        ("L_1", {"pixel"}),
        ("L_f", {"pixel", "feature"}),
        ("L_s", {"pixel", "feature", "style", "style_0", "style_1", "style_2"}),
    ],
)
def test_presets_have_their_terms(vgg, preset, names):
    loss = TotalLoss(LossConfig(preset=preset, style=100.0), vgg)
    image, target, before, after = sections()
    total, terms = loss(image.requires_grad_(), target, before, after)
    assert set(terms) == names
    weighted = sum(terms.get(name, 0.0) for name in ("pixel", "feature", "style"))
    assert total.item() == pytest.approx(weighted, rel=1e-5)
    total.backward()
    assert torch.isfinite(image.grad).all()


def test_gradients_against_finite_differences(vgg):
    loss = TotalLoss(LossConfig(preset="L_s", style=30.0), vgg).double()
    image, target, before, after = (x[:1, :, :8, :8].double() for x in sections(4))
    image.requires_grad_()
    with torch.autocast("cpu", enabled=False), pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "napari_ssan.losses.total.autocast", lambda *a: torch.autocast("cpu", enabled=False)
        )
        total, _ = loss(image, target, before, after)
        (found,) = torch.autograd.grad(total, image)
        step = torch.zeros_like(image)
        for where in ((0, 0, 3, 4), (0, 0, 6, 1)):
            step.zero_()[where] = 1e-3
            with torch.no_grad():
                ends = [loss(image + s * step, target, before, after)[0].item() for s in (1, -1)]
            slope = (ends[0] - ends[1]) / 2e-3
            assert found[where].item() == pytest.approx(slope, rel=0.02, abs=1e-4)


def test_without_balance_only_the_wanted_style_counts(vgg):
    image, target, before, after = sections()
    plain = TotalLoss(LossConfig(preset="L_s", balance=False), vgg)
    terms = plain(image, target, before, after)[1]
    assert terms["style_0"] == terms["style_2"] == 0
    same = plain(image, target, after, before)[1]
    assert terms["style"] == pytest.approx(same["style"])


def test_style_without_weights_is_an_error():
    with pytest.raises(ValueError, match="VGG16"):
        TotalLoss(LossConfig(preset="L_s"))
