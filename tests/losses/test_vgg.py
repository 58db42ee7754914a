from __future__ import annotations

import pytest
import tifffile
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from napari_ssan.losses.vgg import VGG16
from napari_ssan.losses.vgg_file import BLOCKS, CAFFE


def raw_caffe(grey: torch.Tensor, tensors: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """What Caffe's weights were trained on: 0 to 255, blue, green, red, the mean subtracted."""
    mean = torch.tensor([103.939, 116.779, 123.68], dtype=grey.dtype).view(1, 3, 1, 1)
    x = 255 * grey.repeat(1, 3, 1, 1) - mean
    activations = []
    for block, numbers in enumerate(BLOCKS.values(), 1):
        if f"conv{block}_1.weight" not in tensors:
            break
        x = F.max_pool2d(x, 2) if block > 1 else x
        for place in range(1, len(numbers) + 1):
            weight, bias = (tensors[f"conv{block}_{place}.{part}"] for part in ("weight", "bias"))
            x = torch.relu(F.conv2d(x, weight.to(x.dtype), bias.to(x.dtype), padding=1))
        activations.append(x)
    return activations


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_taps_are_those_whose_weights_are_there(tensors, tmp_path, count):
    path = tmp_path / "vgg.safetensors"
    save_file(tensors(list(BLOCKS)[count - 1]), path)
    network = VGG16(path)
    assert network.taps == ("relu1_2", "relu2_2", "relu3_3", "relu4_3")[:count]
    shapes = [tuple(a.shape) for a in network(torch.rand(2, 1, 16, 24))]
    assert shapes == [(2, 8, 16, 24), (2, 12, 8, 12), (2, 16, 4, 6), (2, 20, 2, 3)][:count]
    assert not any(p.requires_grad for p in network.parameters())


def test_grey_is_repeated_and_normalized_as_torchvision_does(tensors, vgg):
    grey, weights = torch.rand(1, 1, 8, 8), tensors("relu3_3")
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (grey.repeat(1, 3, 1, 1) - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    for number in (0, 2):
        weight, bias = weights[f"features.{number}.weight"], weights[f"features.{number}.bias"]
        x = torch.relu(F.conv2d(x, weight, bias, padding=1))
    network = VGG16(vgg)
    assert network.convention == "torchvision"
    torch.testing.assert_close(network(grey)[0], x)


def test_weights_of_caffe_see_what_they_were_trained_on(tensors, tmp_path):
    # Unlike channels and strong biases, so that neither order nor scale can go unseen.
    weights = {
        k: (30 * v if k.endswith("bias") else v) for k, v in tensors("relu4_3", CAFFE).items()
    }
    save_file(weights, tmp_path / "vgg.safetensors")
    network = VGG16(tmp_path / "vgg.safetensors").double()
    network.mean = torch.tensor(CAFFE.mean, dtype=torch.float64).view(1, 3, 1, 1)
    grey = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    assert network.convention == "caffe"
    for found, raw in zip(network(grey), raw_caffe(grey, weights), strict=True):
        torch.testing.assert_close(255 * found, raw, rtol=1e-5, atol=1e-4)


def test_real_weights_of_caffe(data_folder):
    path = data_folder / "weights" / "vgg16_imagenet_conv1_1-conv2_2_fp32.safetensors"
    network = VGG16(path)
    assert network.taps == ("relu1_2", "relu2_2")
    torch.manual_seed(0)
    grey = torch.rand(1, 1, 40, 40)
    raw = raw_caffe(grey, load_file(path))
    for found, expected in zip(network(grey), raw, strict=True):
        torch.testing.assert_close(255 * found, expected, rtol=1e-3, atol=1e-2)


def test_real_weights_of_torchvision(data_folder):
    path = data_folder / "weights" / "vgg16_ssd300_features_to_conv3_3_fp32.safetensors"
    network = VGG16(path)
    assert network.taps == ("relu1_2", "relu2_2", "relu3_3")
    stack = tifffile.imread(data_folder / "data" / "isbi2012_test_volume.tif")
    section = torch.from_numpy(stack[3, :256, :256]).float()[None, None]
    unit = (section - section.mean()) / (6 * section.std()) + 0.5
    activations = network(unit)
    assert [a.shape[1] for a in activations] == [64, 128, 256]
    # Hardly a channel is dead, and neither all nor nothing passes.
    for activation in activations:
        assert (activation.amax((0, 2, 3)) > 0).float().mean() > 0.95
        assert 0.05 < (activation > 0).float().mean() < 0.6
