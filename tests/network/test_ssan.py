import pytest
import torch
from pydantic import ValidationError
from torch.utils.flop_counter import FlopCounterMode

from napari_ssan.network.ssan import SSAN, SSANConfig, displace, preset

SMALL = {"features": 16, "blocks": 2, "layers": 2, "growth": 8}
PRESETS = ["half", "paper", "paper-bn"]


def random_network(seed=0, **config):
    """A network in which no parameter is zero, so that every path carries something."""
    torch.manual_seed(seed)
    network = SSAN(SSANConfig(**{**SMALL, **config})).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for stage in network.attention.stages:
            stage.gamma.fill_(0.8)
    return network


def sections(*shape, seed=1):
    torch.manual_seed(seed)
    return torch.rand(shape), torch.rand(shape)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("warp", ["residual", "displaced"])
@pytest.mark.parametrize("position", [None, 0.3])
def test_swapping_the_inputs_swaps_the_warps_and_keeps_the_image(scale, warp, position):
    network = random_network(scale=scale, warp=warp)
    previous, following = sections(2, 1, 64, 128)
    here = there = None
    if position is not None:
        here = torch.tensor([position, 0.5])
        there = 1 - here
    with torch.no_grad():
        one = network(previous, following, here)
        other = network(following, previous, there)
    assert torch.allclose(one.warp0, other.warp1, atol=1e-5)
    assert torch.allclose(one.warp1, other.warp0, atol=1e-5)
    assert torch.allclose(one.mask, 1 - other.mask, atol=1e-5)
    assert torch.allclose(one.image, other.image, atol=1e-5)
    assert (one.warp0 - one.warp1).abs().max() > 1e-2


@pytest.mark.parametrize("scale", [1, 2])
def test_every_output_pixel_depends_on_every_input_pixel(scale):
    network = random_network(scale=scale)
    inputs = [x.requires_grad_() for x in sections(1, 1, 64 * scale, 32 * scale)]
    for y, x in [(0, 0), (-1, -1), (29, 17)]:
        image = network(*inputs).image
        for gradient in torch.autograd.grad(image[0, 0, y, x], inputs):
            assert (gradient != 0).all()


def test_without_attention_an_output_pixel_sees_its_neighbourhood_only():
    torch.manual_seed(0)
    network = SSAN(SSANConfig(**SMALL, scale=1, attention=None))
    previous, following = (x.requires_grad_() for x in sections(1, 1, 64, 64))
    network(previous, following).image[0, 0, 0, 0].backward()
    assert not previous.grad[0, 0, -20:, -20:].any()
    assert previous.grad[0, 0, 0, 0] != 0


def test_image_is_the_masked_sum_of_both_warps():
    with torch.no_grad():
        result = random_network()(*sections(1, 1, 64, 64))
    assert torch.equal(result.image, result.mask * result.warp0 + (1 - result.mask) * result.warp1)
    assert result.mask.min() >= 0
    assert result.mask.max() <= 1
    assert result.mask.std() > 1e-3


@pytest.mark.parametrize("name", PRESETS)
def test_untrained_network_starts_from_the_sections_themselves(name):
    previous, following = sections(1, 1, 64, 64)
    with torch.no_grad():
        result = SSAN(preset(name)).eval()(previous, following)
    assert torch.allclose(result.warp0, previous, atol=1e-4)
    assert torch.allclose(result.warp1, following, atol=1e-4)


def test_between_equal_sections_the_untrained_mask_goes_by_position():
    section, _ = sections(1, 1, 64, 64)
    with torch.no_grad():
        result = SSAN(SSANConfig(**SMALL, position_input=False))(
            section.expand(3, -1, -1, -1),
            section.expand(3, -1, -1, -1),
            torch.tensor([0.2, 0.5, 0.9]),
        )
    expected = torch.tensor([0.8, 0.5, 0.1]).view(3, 1, 1, 1).expand(result.mask.shape)
    assert torch.allclose(result.mask, expected, atol=1e-5)


def test_position_is_seen_by_the_features():
    network = random_network(warp="residual")
    previous, following = sections(1, 1, 64, 64)
    with torch.no_grad():
        near = network(previous, following, torch.tensor([0.25])).warp0
        far = network(previous, following, torch.tensor([0.75])).warp0
        middle = network(previous, following, torch.tensor([0.5])).warp0
        unsaid = network(previous, following).warp0
    assert (near - far).abs().max() > 1e-3
    assert torch.equal(unsaid, middle)


def test_samples_of_a_batch_do_not_touch():
    network = random_network()
    previous, following = sections(2, 1, 64, 64)
    position = torch.tensor([0.3, 0.6])
    with torch.no_grad():
        both = network(previous, following, position).image
        alone = network(previous[1:], following[1:], position[1:]).image
    assert torch.allclose(both[1:], alone, atol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_run_and_train(name):
    torch.manual_seed(0)
    network = SSAN(preset(name)).train()
    for parameter in (*network.warp_head.out.parameters(), *network.attention.parameters()):
        torch.nn.init.normal_(parameter, std=0.1)
    # The smallest size at which no stage has groups of a single position.
    previous, following = sections(1, 1, 128, 64)
    result = network(previous, following)
    assert result.image.shape == (1, 1, 128, 64)
    (result.image - following).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        if key.endswith("weight"):
            assert parameter.grad.any(), key


def test_presets_are_what_they_say():
    half, paper, normalized = map(preset, PRESETS)
    assert (half.scale, half.multiple) == (2, 64)
    assert (paper.scale, paper.multiple, paper.normalization) == (1, 32, "none")
    assert normalized == paper.model_copy(update={"normalization": "batch"})
    assert half.attention == paper.attention == (8, 4)
    with pytest.raises(KeyError):
        preset("double")


def test_paper_extractor_costs_what_was_settled():
    with torch.device("meta"):
        extractor = SSAN(preset("paper")).extractor
        with FlopCounterMode(display=False) as counter:
            extractor(torch.empty(2, 2, 512, 512))
    assert round(counter.get_total_flops() / 2e9) == 243
    assert round(sum(p.numel() for p in extractor.parameters()) / 1e6, 2) == 0.46


def test_configuration_round_trips_to_json():
    config = SSANConfig(scale=1, attention=(8,), warp="residual", displacement=3.5)
    assert SSANConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    "wrong", [{"scale": 3}, {"features": 12}, {"blocks": 0}, {"displacement": 0}, {"wings": 2}]
)
def test_impossible_configurations_are_refused(wrong):
    with pytest.raises(ValidationError):
        SSANConfig(**wrong)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (0, -2), (-5, 4)])
def test_displacing_by_whole_pixels_moves_them_unchanged(dx, dy):
    image, _ = sections(2, 1, 20, 30)
    field = torch.tensor([dx, dy], dtype=torch.float32).view(1, 2, 1, 1).expand(2, 2, 20, 30)
    moved = displace(image, field)
    y, x = torch.arange(20) + dy, torch.arange(30) + dx
    expected = image[:, :, y.clamp(0, 19)][..., x.clamp(0, 29)]
    assert torch.allclose(moved, expected, atol=1e-5)


def test_every_pixel_is_displaced_on_its_own():
    image, _ = sections(1, 1, 16, 16)
    field = torch.zeros(1, 2, 16, 16)
    field[0, 0, 4, 5] = 6
    field[0, 1, 9, 2] = -3
    expected = image.clone()
    expected[0, 0, 4, 5] = image[0, 0, 4, 11]
    expected[0, 0, 9, 2] = image[0, 0, 6, 2]
    assert torch.allclose(displace(image, field), expected, atol=1e-5)


def test_displacement_stays_within_its_limit():
    limit = 4.0
    network = SSAN(SSANConfig(**SMALL, displacement=limit)).eval()
    with torch.no_grad():
        network.warp_head.out.bias.copy_(torch.tensor([0.0, 1e6, -1e6]))
        previous, following = sections(1, 1, 64, 64)
        result = network(previous, following)
    assert torch.allclose(result.warp0[..., 4:, :-4], previous[..., :-4, 4:], atol=1e-4), (
        "a middle section moves by the limit at most"
    )
