from __future__ import annotations

import numpy as np
import pytest
import turned
from scipy.ndimage import gaussian_filter

from napari_ssan.engine import synthesis
from napari_ssan.stack.registration import find_placement


@pytest.fixture
def texture():
    noise = np.random.default_rng(0).standard_normal((300, 300))
    return np.clip(128 + 200 * gaussian_filter(noise, 3), 0, 255).astype(np.uint8)


def test_a_section_is_turned_about_its_middle(texture):
    assert (turned.bent(texture, 0, 0) == texture).all()
    quarter = turned.bent(texture, 90, 0)
    assert quarter.dtype == texture.dtype
    inner = np.s_[5:-5, 5:-5]
    off = [np.abs(quarter.astype(int) - np.rot90(texture, k))[inner].mean() for k in (1, 3)]
    assert min(off) < 1


def test_stretching_moves_rows_and_columns_apart(texture):
    longer = turned.bent(texture, 0, 0.1)
    back = texture[150 + 50, 150], longer[150 + 55, 150]
    assert abs(int(back[0]) - int(back[1])) < 12


def test_turned_neighbours_are_compared_and_the_engine_left_as_it_was(texture):
    average = turned.make_method("average", "", "auto", print)
    stack = turned.SliceStack(np.stack([texture] * 3))
    flow, shifted, registered = turned.figures(stack, 1, 3, 0, average, average)
    assert flow == shifted
    assert registered[0] > shifted[0] + 3
    assert registered[1] > shifted[1]
    assert synthesis.find_placement is find_placement
