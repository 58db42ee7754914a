from __future__ import annotations

import numpy as np
import pytest
import registration
from scipy.ndimage import gaussian_filter, rotate

from napari_ssan.engine import inputs, survey
from napari_ssan.engine.methods import make_method
from napari_ssan.stack.registration import find_placement
from napari_ssan.stack.sections import SliceStack


@pytest.fixture
def texture():
    noise = np.random.default_rng(0).standard_normal((300, 300))
    return np.clip(128 + 200 * gaussian_filter(noise, 3), 0, 255).astype(np.uint8)


@pytest.fixture
def average():
    return make_method("average", "", "auto")


def test_a_section_is_turned_about_its_middle(texture):
    assert (registration.bent(texture, 0, 0) == texture).all()
    quarter = registration.bent(texture, 90, 0)
    assert quarter.dtype == texture.dtype
    inner = np.s_[5:-5, 5:-5]
    off = [np.abs(quarter.astype(int) - np.rot90(texture, k))[inner].mean() for k in (1, 3)]
    assert min(off) < 1


def test_stretching_moves_rows_apart(texture):
    longer = registration.bent(texture, 0, 0.1)
    assert abs(int(texture[150 + 50, 150]) - int(longer[150 + 55, 150])) < 12


def test_turned_neighbours_are_compared_and_the_engine_left_as_it_was(texture, average):
    stack = SliceStack(np.stack([texture] * 3))
    flow, shifted, registered = registration.figures_of_bent(stack, 1, 3, 0, average, average)
    assert flow == shifted
    assert registered[0] > shifted[0] + 3
    assert registered[1] > shifted[1]
    assert inputs.find_placement is survey.find_placement is find_placement


def test_regions_are_compared_where_blocks_are_believed(texture, average):
    turned = [rotate(texture, angle, reshape=False, mode="reflect") for angle in (-2, 0, 2)]

    def dark(z, section):
        return section < 100

    figures = registration.figures_of_regions(
        SliceStack(np.stack(turned)), 1, average, average, dark, dark
    )
    assert figures is not None
    flow, shifted, registered, flow_registered = figures
    assert flow == shifted
    assert registered == flow_registered
    assert registered[0] > shifted[0] + 3
    assert registered[1] > shifted[1]
    still = SliceStack(np.stack([texture] * 3))
    assert registration.figures_of_regions(still, 1, average, average, dark, dark) is None


def test_regions_are_two_and_a_tenth_each():
    mask = registration.regions_of((500, 700))
    assert mask.mean() == pytest.approx(0.19, abs=0.02)
    assert not mask[:, 350].any()
