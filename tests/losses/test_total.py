"""Covers: napari_ssan.losses.config"""

from __future__ import annotations

import contextlib

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from napari_ssan.losses.config import CALIBRATED, LossConfig
from napari_ssan.losses.membranes import membrane_loss
from napari_ssan.losses.perceptual import feature_loss, style_balance, style_loss
from napari_ssan.losses.pixel import charbonnier
from napari_ssan.losses.structure import structure_loss
from napari_ssan.losses.total import TotalLoss
from napari_ssan.losses.vgg import VGG16
from napari_ssan.losses.vgg_file import CAFFE

SIGNED = {"style_0", "style_1", "style_2"}


def sections(size: int = 16) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.rand(2, 1, size, size) for _ in range(4)]


@pytest.fixture
def full_precision(monkeypatch) -> None:
    monkeypatch.setattr("napari_ssan.losses.total.autocast", lambda *args: contextlib.nullcontext())


def numbers(found):
    """A loss, and its terms as plain numbers."""
    total, terms = found
    assert all(value.shape == () and not value.requires_grad for value in terms.values())
    return total, {name: value.item() for name, value in terms.items()}


@pytest.mark.parametrize(
    ("preset", "names"),
    [
        ("L_1", {"pixel"}),
        ("L_f", {"pixel", "feature"}),
        ("L_s", {"pixel", "feature", "style"}),
    ],
)
@pytest.mark.parametrize("structure", [0.0, 0.3])
def test_presets_have_their_terms(vgg, preset, names, structure):
    loss = TotalLoss(LossConfig(preset=preset, style=100.0, structure=structure), vgg)
    image, target, before, after = sections()
    total, terms = numbers(loss(image.requires_grad_(), target, before, after))
    names = names | ({"structure"} if structure else set())
    assert set(terms) == names | (SIGNED if "style" in names else set())
    assert set(loss.weights) == names
    assert (loss.vgg is None) == (preset == "L_1")
    assert total.item() == pytest.approx(sum(terms[name] for name in names), rel=1e-5)
    total.backward()
    assert torch.isfinite(image.grad).all()


def test_terms_are_those_losses_times_their_weights(vgg, full_precision):
    config = LossConfig(
        preset="L_s", style=70.0, feature=0.2, pixel=0.5, structure=0.3, epsilon_squared=1e-4
    )
    loss = TotalLoss(config, vgg)
    image, target, before, after = sections()
    terms = numbers(loss(image, target, before, after))[1]
    network = VGG16(vgg)
    made, real, previous, following = (network(x) for x in (image, target, before, after))
    balance = style_balance(made, real, previous, following)
    expected = {
        "pixel": 0.5 * charbonnier(image, target, 1e-4).item(),
        "structure": 0.3 * structure_loss(image, target).item(),
        "feature": 0.2 * feature_loss(made, real).item(),
        "style": 70 * balance.loss.item(),
    } | {f"style_{j}": 70 * float(value) for j, value in enumerate(balance.signed)}
    # The balanced parts of the style are small differences: processors round them otherwise.
    assert terms == pytest.approx(expected, rel=1e-4)


def test_without_balance_it_is_plain_style_reconstruction(vgg, full_precision):
    image, target, before, after = sections()
    loss = TotalLoss(LossConfig(preset="L_s", style=50.0, balance=False), vgg)
    terms = numbers(loss(image, target, before, after))[1]
    network = VGG16(vgg)
    expected = 50 * style_loss(network(image), network(target)).item()
    assert terms["style"] == pytest.approx(expected, rel=1e-5)
    assert not SIGNED & set(terms)


def test_scales_add_the_loss_of_binned_sections(vgg, full_precision):
    config = LossConfig(preset="L_s", style=70.0, structure=0.3)
    frames = sections(32)
    binned = [x.unflatten(3, (-1, 2)).mean(4).unflatten(2, (-1, 2)).mean(3) for x in frames]
    total, terms = numbers(TotalLoss(config.model_copy(update={"scales": (1, 2)}), vgg)(*frames))
    parts = [numbers(TotalLoss(config, vgg)(*each)) for each in (frames, binned)]
    assert total.item() == pytest.approx(sum(part[0].item() for part in parts), rel=1e-5)
    assert terms == pytest.approx(
        {name: parts[0][1][name] + parts[1][1][name] for name in terms}, rel=1e-4, abs=1e-9
    )
    alone = numbers(TotalLoss(config.model_copy(update={"scales": (2,)}), vgg)(*frames))
    assert alone[1] == pytest.approx(parts[1][1], rel=1e-5)


def test_gradient_against_finite_differences(vgg, full_precision):
    config = LossConfig(preset="L_s", style=30.0, structure=0.2)
    loss = TotalLoss(config, vgg).double()
    image, target, before, after = (x[:1, :, :12, :12].double() for x in sections())
    image.requires_grad_()
    (found,) = torch.autograd.grad(loss(image, target, before, after)[0], image)
    step = torch.zeros_like(image)
    for where in ((0, 0, 3, 4), (0, 0, 6, 1), (0, 0, 11, 11)):
        step.zero_()[where] = 1e-6
        with torch.no_grad():
            ends = [loss(image + s * step, target, before, after)[0].item() for s in (1, -1)]
        assert found[where].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-8)


def test_gradients_reach_the_image_only(vgg):
    loss = TotalLoss(LossConfig(preset="L_s"), vgg)
    image, *known = (x.requires_grad_() for x in sections())
    loss(image, known[0].detach(), *known[1:])[0].backward()
    assert image.grad.abs().sum() > 0
    assert known[1].grad is None
    assert known[2].grad is None
    assert all(p.grad is None for p in loss.parameters())


@pytest.mark.parametrize("last", ["relu2_2", "relu3_3", "relu4_3"])
def test_weights_that_are_not_given_are_the_calibrated_ones(tensors, tmp_path, last):
    path, weights = tmp_path / "vgg.safetensors", (6e3, 0.004)
    save_file(tensors(last), path)
    loss = TotalLoss(LossConfig(preset="L_s"), path)
    assert (loss.weights["style"], loss.weights["feature"]) == weights
    assert CALIBRATED[loss.vgg.convention] == weights
    own = LossConfig(preset="L_s", style=weights[0], feature=weights[1])
    assert TotalLoss(own, path).weights == loss.weights
    feature = TotalLoss(LossConfig(preset="L_f"), path).weights
    assert feature == {"pixel": 1.0, "feature": weights[1]}


def test_weights_of_caffe_have_their_own_calibration(tensors, tmp_path):
    path = tmp_path / "vgg.safetensors"
    save_file(tensors("relu2_2", CAFFE), path)
    loss = TotalLoss(LossConfig(preset="L_s"), path)
    assert loss.weights == {"pixel": 1.0, "feature": 1.0, "style": 1.5e6}


def test_weights_that_are_given_are_used_zero_included(vgg):
    loss = TotalLoss(LossConfig(preset="L_s", style=0.0, feature=0.5), vgg)
    assert loss.weights == {"pixel": 1.0, "feature": 0.5, "style": 0.0}
    assert loss(*sections())[1]["style"] == 0


def test_the_configuration_round_trips_and_refuses_what_it_does_not_know():
    config = LossConfig(preset="L_s", structure=0.1)
    assert LossConfig.model_validate_json(config.model_dump_json()) == config
    for wrong in (
        {"style": -1.0},
        {"structure": -0.1},
        {"membranes": -0.1},
        {"preset": "L_2"},
        {"epsilon_squared": 0},
        {"scales": ()},
        {"scales": (0,)},
    ):
        with pytest.raises(ValidationError):
            LossConfig.model_validate(wrong)


def test_membranes_are_looked_for_once_and_by_a_segmenter_that_stays_as_it_is(full_precision):
    segmenter = torch.nn.Conv2d(1, 1, 3, padding=1)
    config = LossConfig(membranes=0.4, scales=(1, 2))
    loss = TotalLoss(config, segmenter=segmenter)
    image, *known = sections()
    total, terms = numbers(loss(image.requires_grad_(), *known))
    assert loss.weights == {"pixel": 1.0, "membranes": 0.4}
    expected = 0.4 * membrane_loss(image, known[0], segmenter).item()
    assert terms["membranes"] == pytest.approx(expected, rel=1e-6)
    assert total.item() == pytest.approx(terms["pixel"] + terms["membranes"], rel=1e-6)
    total.backward()
    assert image.grad.abs().sum() > 0
    assert all(p.grad is None for p in (*segmenter.parameters(), *loss.parameters()))
    assert all(p.requires_grad for p in segmenter.parameters())


def test_membranes_without_a_segmenter_are_an_error_and_a_segmenter_alone_is_not_used():
    with pytest.raises(ValueError, match="segmenter"):
        TotalLoss(LossConfig(membranes=0.1))
    assert TotalLoss(LossConfig(), segmenter=torch.nn.Identity()).segmenter is None


def test_style_without_weights_is_an_error():
    with pytest.raises(ValueError, match="VGG16"):
        TotalLoss(LossConfig(preset="L_s"))


def test_the_calibrated_style_term_weighs_on_blur_and_not_on_a_real_neighbour(data_folder):
    import tifffile
    from scipy.ndimage import gaussian_filter

    weights = data_folder / "weights" / "vgg16_ssd300_features_to_conv3_3_fp32.safetensors"
    stack = tifffile.imread(data_folder / "data" / "isbi2012_test_volume.tif")[8:11, :128, :128]
    unit = (stack - stack.mean((1, 2), keepdims=True)) / (6 * stack.std()) + 0.5
    before, target, after = (torch.from_numpy(x).float()[None, None] for x in unit)
    blurred = torch.from_numpy(gaussian_filter(unit[1], 1.5)).float()[None, None]
    loss = TotalLoss(LossConfig(preset="L_s"), weights)
    blur, copy = (loss(x, target, before, after)[1] for x in (blurred, before))
    assert blur["style"] > blur["pixel"]
    assert copy["style"] < 0.25 * copy["pixel"]
