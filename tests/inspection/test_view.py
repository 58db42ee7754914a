from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.inspection.view import View
from napari_ssan.stack.sections import SliceStack


def stack(*shape: int) -> SliceStack:
    return SliceStack(np.broadcast_to(np.uint8(7), shape))


def test_a_large_section_is_binned(volume):
    large = np.kron(volume[:2].astype(np.uint16), np.ones((1, 34, 34), np.uint16))
    view = View(SliceStack(large))
    assert view.factor > 1
    assert max(view.shape[1:]) < 2048
    assert min(view.shape[1:]) < 1024
    n = view.factor
    height, width = view.shape[1:]
    blocks = large[1, : height * n, : width * n].reshape(height, n, width, n)
    np.testing.assert_allclose(view.read(1), blocks.mean(axis=(1, 3)), rtol=1e-5)


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [(None, 2), (4.0, 2), (8.0, 2), (16.0, 2), (32.0, 1), (64.0, 0), (200.0, 0)],
)
def test_the_level_is_chosen_by_the_size_of_pixels(pixel, expected):
    levels = [stack(5, n, n) for n in (2400, 1200, 600, 300)]
    assert View(levels[0], levels, pixel).level == expected


@pytest.mark.parametrize("pixel", [None, 0.5, 4.0])
def test_a_pyramid_of_small_sections_is_looked_at_where_small_defects_show(pixel):
    levels = [stack(5, n, n) for n in (512, 256, 128, 64)]
    assert View(levels[0], levels, pixel).level == 0


def test_a_level_can_be_named_and_must_exist():
    levels = [stack(5, n, n) for n in (400, 200)]
    assert View(levels[0], levels, level=1).shape == (5, 200, 200)
    with pytest.raises(BadInput, match="no level 2: the stack has 2 levels"):
        View(levels[0], levels, level=2)


def test_a_level_with_fewer_sections_is_not_used():
    levels = [stack(8, 1200, 1200), stack(4, 600, 600)]
    assert View(levels[0], levels, 40.0).level == 0
