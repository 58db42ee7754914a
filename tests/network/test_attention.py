import math

import pytest
import torch

from napari_ssan.network.attention import (
    AttentionAwareLayer,
    Lattice,
    SelfAttention,
    decompose,
    lattices,
)

SIZE = 512
PAPER_LATTICES = [Lattice(32, None), Lattice(8, 4), Lattice(1, 8)]


def random_layer(channels=16, factors=(8, 4), seed=0):
    torch.manual_seed(seed)
    layer = AttentionAwareLayer(channels, factors)
    for stage in layer.stages:
        torch.nn.init.uniform_(stage.gamma, 0.3, 1.5)
    return layer.requires_grad_(False)


def dense_attention(stage, x, together):
    """Attention of every position to all, with whatever is not `together` masked."""
    channels = x.shape[1]
    flat = x.flatten(2)  # (batch, C, N)

    def project(conv):
        return torch.einsum("oc,bcn->bon", conv.weight[:, :, 0, 0], flat) + conv.bias[:, None]

    q, k, v = (project(conv) for conv in (stage.query, stage.key, stage.value))
    logits = torch.einsum("bcm,bcn->bmn", q, k) / math.sqrt(channels / 2)
    logits = logits.masked_fill(~together, -math.inf)
    out = torch.einsum("bmn,bcn->bcm", torch.softmax(logits, dim=-1), v)
    return (stage.gamma * out + flat).view(x.shape)


def same_group(height, width, key):
    """(N, N), true where two positions have the same `key` along both axes."""
    groups = [(key(y, height), key(x, width)) for y in range(height) for x in range(width)]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    labels = torch.tensor([numbers[group] for group in groups])
    return labels[:, None] == labels[None, :]


# What method and paper say of the three stages, in terms of single coordinates.
STAGE_KEYS = [
    lambda i, length: i % 32,  # everything 32 apart
    lambda i, length: (i // 32, i % 8),  # 4 positions 8 apart
    lambda i, length: i // 8,  # 8 adjacent positions
]


@pytest.mark.parametrize(
    ("factors", "parameters"),
    [((), 5201), ((8,), 10402), ((8, 4), 15603)],
    ids=["SA", "SSA", "AAL"],
)
def test_parameters_are_those_of_table_2(factors, parameters):
    layer = AttentionAwareLayer(64, factors)
    assert sum(p.numel() for p in layer.parameters()) == parameters


def test_paper_layer_attends_far_then_nearer():
    assert lattices((8, 4)) == PAPER_LATTICES
    assert [lattice.group_size(SIZE, SIZE) for lattice in PAPER_LATTICES] == [256, 16, 64]
    assert [lattice.group_size(SIZE, SIZE) for lattice in lattices((8,))] == [4096, 64]
    assert [lattice.group_size(SIZE, SIZE) for lattice in lattices(())] == [SIZE**2]


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("shape", [(2, 16, 32, 64), (1, 16, 64, 32)])
def test_stage_is_masked_dense_attention(stage, shape):
    layer = random_layer().double()
    x = torch.randn(shape, dtype=torch.float64)
    together = same_group(*shape[2:], STAGE_KEYS[stage])
    module = layer.stages[stage]
    expected = dense_attention(module, x, together)
    assert (module(x) - expected).abs().max() < 1e-5
    assert (expected - x).abs().max() > 1e-2, "the attention adds nothing, so nothing is compared"
    fast = module.fast_(x.clone(memory_format=torch.channels_last))
    assert (fast - expected).abs().max() < 1e-5


def test_dense_attention_has_one_group():
    layer = random_layer(factors=()).double()
    x = torch.randn(2, 16, 8, 24, dtype=torch.float64)
    expected = dense_attention(layer.stages[0], x, torch.ones(192, 192, dtype=torch.bool))
    assert (layer.stages[0](x) - expected).abs().max() < 1e-5


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 96)])
@pytest.mark.parametrize("corner", [(0, 0), (-1, -1), (13, 29)])
def test_every_position_sees_every_other(height, width, corner):
    layer = random_layer()
    x = torch.randn(1, 16, height, width, requires_grad=True)
    layer(x)[0, :, corner[0], corner[1]].sum().backward()
    assert (x.grad.abs().sum(dim=1) > 0).all()


def test_single_stages_see_only_their_group():
    layer = random_layer()
    x = torch.randn(1, 16, 64, 64, requires_grad=True)
    layer.stages[1](x)[0, :, 5, 6].sum().backward()
    seen = (x.grad.abs().sum(dim=1)[0] > 0).nonzero().tolist()
    assert seen == [[y, z] for y in (5, 13, 21, 29) for z in (6, 14, 22, 30)]


def test_untrained_layer_is_the_identity():
    layer = AttentionAwareLayer(16)
    x = torch.randn(1, 16, 32, 32)
    assert torch.equal(layer(x), x)
    with torch.no_grad():
        assert torch.equal(layer(x), x)


@pytest.mark.parametrize("factors", [(), (8,), (8, 4), (8, 4, 2)])
@pytest.mark.parametrize("shape", [(1, 16, 64, 64), (2, 16, 64, 192), (3, 16, 128, 64)])
def test_fast_path_gives_the_same_values_and_spares_its_input(factors, shape):
    if not factors:
        shape = (*shape[:2], 16, 48)
    layer = random_layer(factors=factors)
    x = torch.randn(shape)
    before = x.clone()
    plain = layer(x)
    with torch.no_grad():
        fast = layer(x)
        channels_last = x.contiguous(memory_format=torch.channels_last)
        fast_channels_last = layer(channels_last)
    assert torch.equal(x, before)
    assert torch.equal(channels_last, before)
    assert (fast - plain).abs().max() < 1e-4
    assert (fast_channels_last - plain).abs().max() < 1e-4
    assert (plain - x).abs().max() > 1e-2


def test_fast_path_is_taken_only_without_gradients(monkeypatch):
    layer = random_layer()
    calls = []
    fast_ = SelfAttention.fast_
    monkeypatch.setattr(
        SelfAttention, "fast_", lambda self, x: calls.append(self) or fast_(self, x)
    )
    layer(torch.zeros(1, 16, 32, 32))
    assert calls == []
    with torch.no_grad():
        layer(torch.zeros(1, 16, 32, 32))
    assert calls == list(layer.stages)


@pytest.mark.parametrize("chunk_bytes", [1, 2**16, 2**18, 2**30])
def test_fast_path_does_not_depend_on_its_chunks(monkeypatch, chunk_bytes):
    monkeypatch.setattr("napari_ssan.network.attention.CHUNK_BYTES", chunk_bytes)
    layer = random_layer()
    x = torch.randn(2, 16, 64, 96)
    with torch.no_grad():
        assert (layer(x) - random_layer().requires_grad_(True)(x)).abs().max() < 1e-4


def test_fast_path_works_under_autocast():
    layer = random_layer()
    x = torch.randn(1, 16, 64, 64)
    plain = layer(x)
    for given in (x, x.bfloat16()):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            fast = layer(given)
        assert (fast - plain).abs().max() < 0.1


@pytest.mark.parametrize(
    ("size", "threshold", "factors"),
    [
        (512, 512**2, ()),
        (512, 512**2 - 1, (8,)),
        (512, 4096, (8,)),
        (512, 4095, (8, 4)),
        (512, 256, (8, 4)),
        (512, 255, (8, 4, 4)),
        (1024, 256, (8, 4, 4)),
        (256, 256, (8, 4)),
        (128, 256, (8,)),
        (12, 1, ()),  # 8 does not divide 12
        (24, 1, (8,)),  # nor 4 the remaining 3
    ],
)
def test_decomposition_goes_on_while_groups_exceed_the_threshold(size, threshold, factors):
    assert decompose(size, threshold) == factors


def test_larger_maps_are_decomposed_deeper():
    depths = [len(decompose(size, 256)) for size in (16, 128, 512, 2048)]
    assert depths == sorted(depths)
    assert depths[0] < depths[-1]


@pytest.mark.parametrize("shape", [(1, 16, 48, 32), (1, 16, 32, 8)])
def test_maps_that_the_lattice_does_not_tile_are_refused(shape):
    layer = random_layer()
    with pytest.raises(ValueError, match="does not tile"):
        layer(torch.zeros(shape))
    with torch.no_grad(), pytest.raises(ValueError, match="does not tile"):
        layer(torch.zeros(shape))
