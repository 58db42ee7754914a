"""Covers: napari_ssan.engine.warps"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, shift

from napari_ssan.engine.methods import METHODS, Network, make_method
from napari_ssan.engine.warps import block_flow
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.network.model_file import load_model, save_model


def quiet(event: object) -> None:
    pass


@pytest.fixture
def moving() -> np.ndarray:
    """A texture at 0, 2 and 4 pixels of displacement, (3, 128, 128)."""
    texture = gaussian_filter(np.random.default_rng(0).standard_normal((128, 160)), 3)
    texture = 0.5 + texture / texture.std() / 6
    return np.stack([shift(texture, (0, s), order=3)[:, 16:144] for s in (0, 2, 4)]).astype("f4")


@pytest.mark.parametrize("name", ["registered", "ilk", "tvl1"])
def test_flow_meets_halfway(moving, name):
    made = make_method(name, "", "auto", quiet).synthesize(moving[:1], moving[2:], 0.5)[0]
    inner = slice(16, -16), slice(16, -16)
    error = np.abs(made - moving[1])[inner].mean()
    assert error < 0.3 * np.abs((moving[0] + moving[2]) / 2 - moving[1])[inner].mean()


@pytest.mark.parametrize("name", ["registered", "ilk", "tvl1"])
def test_flow_keeps_to_the_position(moving, name):
    method = make_method(name, "", "auto", quiet)
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
            make_method(name, "", "auto", quiet).synthesize(first[None], last[None], 0.5)[0]
            - wanted
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
    copied = make_method("copy", "", "auto", quiet)
    np.testing.assert_array_equal(copied.synthesize(first, last, 0.3), first)
    np.testing.assert_array_equal(copied.synthesize(first, last, 0.7), last)
    mean = make_method("average", "", "auto", quiet).synthesize(first, last, 0.25)
    np.testing.assert_allclose(mean, 0.75 * first + 0.25 * last, rtol=1e-6)


def test_network_tiles_do_not_depend_on_the_batch(tiny_model):
    method = Network(tiny_model, "cpu", quiet)
    tiles = np.random.default_rng(0).random((2, 3, 64, 64)).astype("f4")
    together = method.synthesize(*tiles, 0.5)
    alone = [method.synthesize(a[None], b[None], 0.5)[0] for a, b in zip(*tiles, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_views_are_those_of_the_card_unless_others_are_asked_for(tiny_model, tmp_path):
    assert Network(tiny_model, "cpu", quiet).views == 1
    path = tmp_path / "averaging.safetensors"
    loaded = load_model(tiny_model)
    save_model(path, loaded.network, loaded.info.card | {"views": 4})
    assert make_method("ssan", str(path), "cpu", quiet).views == 4
    tiles = np.random.default_rng(0).random((2, 1, 64, 64)).astype("f4")
    made = {
        views: make_method("ssan", str(path), "cpu", quiet, views=views).synthesize(*tiles, 0.5)
        for views in (None, 1, 4)
    }
    np.testing.assert_array_equal(made[None], made[4])
    assert abs(made[4] - made[1]).max() > 1e-4
    for senseless in ("many", 8.0, 3):
        save_model(path, loaded.network, loaded.info.card | {"views": senseless})
        assert make_method("ssan", str(path), "cpu", quiet).views == 1


def test_unknown_names_are_refused(tiny_model):
    with pytest.raises(BadInput, match="no method"):
        make_method("magic", "", "auto", quiet)
    with pytest.raises(BadInput, match="no model"):
        make_method("ssan", "absent", "auto", quiet)
    with pytest.raises(BadInput, match="1, 2, 4 or 8 views, not over 3"):
        make_method("ssan", tiny_model, "auto", quiet, views=3)
    with pytest.raises(BadInput, match="'tvl1' has no views"):
        make_method("tvl1", "", "auto", quiet, views=8)
    with pytest.raises(BadInput, match="device"):
        make_method("ssan", tiny_model, "cuda:99", quiet)
    assert METHODS[0] == "ssan"


def test_a_full_gpu_means_smaller_batches_and_at_last_the_cpu(tiny_model, monkeypatch):
    said: list[Notice] = []
    method = Network(tiny_model, "cpu", said.append)
    good = method._runner

    class Full:
        largest = 0

        def synthesize(self, previous, *rest):
            if len(previous) > self.largest:
                raise torch.cuda.OutOfMemoryError
            return good.synthesize(previous, *rest)

    tiles = np.random.default_rng(0).random((2, 5, 64, 64)).astype("f4")
    expected = method.synthesize(*tiles, 0.5)

    method._runner, method.batch = Full(), 4
    Full.largest = 2
    np.testing.assert_allclose(method.synthesize(*tiles, 0.5), expected, atol=1e-3)
    assert [str(notice) for notice in said] == [
        "The GPU's memory is full: going on with 2 tiles at a time."
    ]

    Full.largest = 0
    np.testing.assert_allclose(method.synthesize(*tiles, 0.5), expected, atol=1e-3)
    assert "on the CPU" in str(said[-1])
    assert not isinstance(method._runner, Full)
