from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import napari_ssan
from napari_ssan.engine.error_network import EVIDENCE, ErrorEstimator, ErrorNetwork, evidence_of
from napari_ssan.engine.methods import METHODS, Network, make_method
from napari_ssan.network.ssan import Synthesis
from napari_ssan.stack.phantom import phantom

CPU = torch.device("cpu")


def tiles(seed: int = 0, batch: int = 2, height: int = 64, width: int = 64) -> np.ndarray:
    """Both neighbours, (2, batch, height, width), normalized: structure that moves, and grain."""
    random = np.random.default_rng(seed)
    structure = gaussian_filter(random.standard_normal((2, batch, height, width)), (1, 0, 4, 4))
    grain = random.normal(0, 0.3, structure.shape)
    return (0.5 + (structure / structure.std() + grain) / 6).astype("f4")


def synthesis(previous: torch.Tensor, following: torch.Tensor) -> Synthesis:
    mask = torch.sigmoid(4 * previous)
    return Synthesis(mask * previous + (1 - mask) * following, previous, following, mask)


def tensors(**options: int) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = (torch.from_numpy(part).unsqueeze(1) for part in tiles(**options))
    return first, second


def test_evidence_does_not_depend_on_which_neighbour_comes_first():
    first, second = tensors()
    made = synthesis(first, second)
    swapped = Synthesis(made.image, made.warp1, made.warp0, 1 - made.mask)
    forward, backward = evidence_of(first, second, made), evidence_of(second, first, swapped)
    assert forward.shape == (2, EVIDENCE, 64, 64)
    torch.testing.assert_close(forward, backward)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 47), (32, 5), (4, 4)])
def test_any_height_and_width_will_do(height, width):
    first, second = tensors(batch=1, height=height, width=width)
    error = ErrorEstimator(CPU)(first, second, synthesis(first, second))
    assert error.shape == (1, 1, height, width)
    assert (error > 0).all()


def test_each_pixel_is_judged_by_itself_and_its_surroundings():
    torch.manual_seed(0)
    network = ErrorNetwork()
    evidence = torch.rand(1, EVIDENCE, 64, 64)
    changed = evidence.clone()
    changed[:, :, 30, 30] += 5
    with torch.no_grad():
        moved = (network(changed) - network(evidence)).abs()[0, 0]
    assert moved.argmax() == 30 * 64 + 30
    assert moved[31, 33] > 0
    assert not moved[:8, :8].any()


def test_errors_stay_finite_far_outside_of_what_was_ever_seen():
    first, second = tensors()
    first[0, 0, 10, 10], second[1, 0, :, 30] = 1e4, -1e4
    error = ErrorEstimator(CPU)(first, second, synthesis(first, second))
    assert error.isfinite().all()
    assert error.max() <= 1


def test_disagreement_is_expected_to_be_error():
    """What comes along has learnt so much: neighbours that differ more mean a larger error."""
    first, second = tensors()
    estimator = ErrorEstimator(CPU)
    alike = estimator(first, first.clone(), synthesis(first, first)).mean()
    unlike = estimator(first, second, synthesis(first, second)).mean()
    assert unlike > 1.3 * alike


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_how_wrong_it_may_be(name, tiny_model):
    method = make_method(name, tiny_model, "cpu" if name == "ssan" else "auto")
    previous, following = tiles()
    image, error = method.with_error(previous, following, 0.5)
    np.testing.assert_allclose(image, method.synthesize(previous, following, 0.5), atol=1e-5)
    assert error.shape == image.shape
    assert error.dtype == np.float32
    assert (error > 0).all()


def test_errors_do_not_depend_on_the_batch(tiny_model):
    method = Network.load(tiny_model, "cpu")
    previous, following = tiles(batch=3)
    _, together = method.with_error(previous, following, 0.5)
    alone = [
        method.with_error(a[None], b[None], 0.5)[1][0]
        for a, b in zip(previous, following, strict=True)
    ]
    np.testing.assert_allclose(together, alone, rtol=0.02)


@pytest.mark.parametrize("method", ["copy", "average", "registered"])
def test_on_a_stack_that_it_never_saw_it_tells_how_large_errors_are(method):
    clean = phantom((18, 192, 192), seed=5).clean
    repaired = napari_ssan.repair(clean, [4, 9], method=method)
    for z in (4, 9):
        expected = repaired.expected_error[z]
        true = np.abs(repaired[z].astype(float) - clean[z])
        assert 0.5 < expected.mean() / true.mean() < 2
