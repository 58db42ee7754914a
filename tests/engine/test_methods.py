"""Covers: napari_ssan.engine.warps"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, shift

from napari_ssan.engine.methods import METHODS, MemoryFull, Network, make_method
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.warps import block_flow
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice, Progress
from napari_ssan.network.model_file import load_model, save_model
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack


@pytest.fixture
def moving() -> np.ndarray:
    """A texture at 0, 2 and 4 pixels of displacement, (3, 128, 128)."""
    texture = gaussian_filter(np.random.default_rng(0).standard_normal((128, 160)), 3)
    texture = 0.5 + texture / texture.std() / 6
    return np.stack([shift(texture, (0, s), order=3)[:, 16:144] for s in (0, 2, 4)]).astype("f4")


@pytest.mark.parametrize("name", ["registered", "ilk", "tvl1"])
def test_flow_meets_halfway(moving, name):
    made = make_method(name, "", "auto").synthesize(moving[:1], moving[2:], 0.5)[0]
    inner = slice(16, -16), slice(16, -16)
    error = np.abs(made - moving[1])[inner].mean()
    assert error < 0.3 * np.abs((moving[0] + moving[2]) / 2 - moving[1])[inner].mean()


@pytest.mark.parametrize("name", ["registered", "ilk", "tvl1"])
def test_flow_keeps_to_the_position(moving, name):
    method = make_method(name, "", "auto")
    for position, own in ((0.0, 0), (1.0, 2)):
        made = method.synthesize(moving[:1], moving[2:], position)[0]
        np.testing.assert_allclose(made, moving[own], atol=1e-5)


def test_registered_follows_what_no_single_shift_can():
    """The upper half moves right, the lower one left: the average stays double."""
    texture = gaussian_filter(np.random.default_rng(0).standard_normal((256, 320)), 3)
    texture = 0.5 + texture / texture.std() / 6

    def moved(by: float) -> np.ndarray:
        halves = [shift(texture, (0, s), order=3)[:, 32:288] for s in (by, -by)]
        return np.where(np.arange(256)[:, None] < 128, *halves).astype("f4")

    first, wanted, last = moved(-3), moved(0), moved(3)
    errors = {
        name: np.abs(
            make_method(name, "", "auto").synthesize(first[None], last[None], 0.5)[0] - wanted
        )
        for name in ("average", "registered")
    }
    inner = np.r_[16:96, 160:240]
    mended = errors["registered"][inner, 16:-16].mean()
    assert mended < 0.3 * errors["average"][inner, 16:-16].mean()


def test_block_flow_points_from_the_previous_to_the_following(moving):
    flow = block_flow(moving[0], moving[2])
    assert flow.shape == (2, 128, 128)
    np.testing.assert_allclose(np.median(flow, axis=(1, 2)), (0, 4), atol=0.2)


@pytest.mark.parametrize("shape", [(33, 40), (64, 200)])
def test_block_flow_of_nothing_is_none(shape):
    flat = np.full(shape, 0.5, "f4")
    assert not block_flow(flat, flat).any()


def test_copy_takes_the_nearer_and_average_weighs(moving):
    first, last = moving[:1], moving[2:]
    copied = make_method("copy", "", "auto")
    np.testing.assert_array_equal(copied.synthesize(first, last, 0.3), first)
    np.testing.assert_array_equal(copied.synthesize(first, last, 0.7), last)
    mean = make_method("average", "", "auto").synthesize(first, last, 0.25)
    np.testing.assert_allclose(mean, 0.75 * first + 0.25 * last, rtol=1e-6)


def test_network_tiles_do_not_depend_on_the_batch(tiny_model):
    method = Network.load(tiny_model, "cpu")
    tiles = np.random.default_rng(0).random((2, 3, 64, 64)).astype("f4")
    together = method.synthesize(*tiles, 0.5)
    alone = [method.synthesize(a[None], b[None], 0.5)[0] for a, b in zip(*tiles, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_one_view_is_enough_unless_more_are_asked_for(tiny_model, tmp_path):
    assert Network.load(tiny_model, "cpu").views == 1
    path = tmp_path / "averaging.safetensors"
    loaded = load_model(tiny_model)
    # Models of earlier versions say how many they want. It does not count any more.
    save_model(path, loaded.network, loaded.info.card | {"views": 4})
    assert make_method("ssan", str(path), "cpu").views == 1
    tiles = np.random.default_rng(0).random((2, 1, 64, 64)).astype("f4")
    made = {
        views: make_method("ssan", str(path), "cpu", views=views).synthesize(*tiles, 0.5)
        for views in (None, 1, 4)
    }
    np.testing.assert_array_equal(made[None], made[1])
    assert abs(made[4] - made[1]).max() > 1e-4


def test_unknown_names_are_refused(tiny_model):
    with pytest.raises(BadInput, match="no method"):
        make_method("magic", "", "auto")
    with pytest.raises(BadInput, match="no model"):
        make_method("ssan", "absent", "auto")
    with pytest.raises(BadInput, match="1, 2, 4 or 8 views, not over 3"):
        make_method("ssan", tiny_model, "auto", views=3)
    with pytest.raises(BadInput, match="'tvl1' has no views"):
        make_method("tvl1", "", "auto", views=8)
    with pytest.raises(BadInput, match="device"):
        make_method("ssan", tiny_model, "cuda:99")
    assert METHODS[0] == "ssan"


def test_a_method_cannot_be_changed(tiny_model):
    for method in (make_method("average", "", "auto"), Network.load(tiny_model, "cpu")):
        with pytest.raises(FrozenInstanceError):
            method.match = "histogram"
        assert replace(method, match="histogram").match == "histogram"
        assert method.match == "mean"


class Full:
    """A GPU that has room for so many tiles."""

    device = torch.device("cpu")

    def __init__(self, runner, largest: int) -> None:
        self.runner, self.largest = runner, largest

    def synthesis(self, previous, *rest):
        if len(previous) > self.largest:
            raise torch.cuda.OutOfMemoryError
        return self.runner.synthesis(previous, *rest)


def in_small_tiles(model: str) -> Network:
    """A network on the CPU, in tiles of at most 128 pixels."""
    method = Network.load(model, "cpu")
    return replace(method, tiling=replace(method.tiling, largest=128))


def full(model: str, largest: int) -> Network:
    """A network on such a GPU, four tiles at a time."""
    good = in_small_tiles(model)
    return replace(good, runner=Full(good.runner, largest), batch=4)


def test_a_smaller_method_shares_the_weights(tiny_model):
    method = full(tiny_model, 0)
    half = method.smaller()
    one = half.smaller()
    cpu = one.smaller()
    assert [each.batch for each in (method, half, one, cpu)] == [4, 2, 1, 1]
    assert one.runner is half.runner is method.runner
    assert cpu.runner is not method.runner
    assert all(each.network is method.network for each in (half, one, cpu))
    tiles = np.random.default_rng(0).random((2, 1, 64, 64)).astype("f4")
    with pytest.raises(MemoryFull):
        one.synthesize(*tiles, 0.5)
    made = Network.load(tiny_model, "cpu").synthesize(*tiles, 0.5)
    np.testing.assert_array_equal(cpu.synthesize(*tiles, 0.5), made)


@pytest.mark.parametrize(
    ("largest", "said"),
    [
        (2, ["continues with 2 tiles at a time."]),
        (1, ["continues with 2 tiles at a time.", "continues with 1 tile at a time."]),
        (
            0,
            [
                "continues with 2 tiles at a time.",
                "continues with 1 tile at a time.",
                "even for one tile: work continues on the CPU.",
            ],
        ),
    ],
)
def test_a_full_gpu_means_smaller_batches_and_at_last_the_cpu(tiny_model, largest, said):
    stack = SliceStack(np.random.default_rng(0).integers(0, 255, (5, 200, 280)).astype("u1"))
    marks, method = Marks({1, 3}), full(tiny_model, largest)
    for with_error in (False, True):
        made = [
            list(patches(stack, marks, each, with_error=with_error))
            for each in (in_small_tiles(tiny_model), method)
        ]
        notices = [item.text for item in made[1] if isinstance(item, Notice)]
        # The second section begins with what the first one has found out.
        for text, end in zip(notices, said, strict=True):
            assert text.startswith("The GPU's memory is full")
            assert text.endswith(end)
        tiles = [[item.done for item in each if isinstance(item, Progress)] for each in made]
        assert tiles[0] == tiles[1] == list(range(1, len(tiles[0]) + 1))
        plain, mended = ([item for item in each if isinstance(item, Patch)] for each in made)
        for one, other in zip(plain, mended, strict=True):
            np.testing.assert_allclose(one.pixels.astype(int), other.pixels.astype(int), atol=1)
    assert method.batch == 4
