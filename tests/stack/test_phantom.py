from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.stack.phantom import BLANK, DIRTY, SMEARED, phantom


@pytest.fixture(scope="module")
def sample():
    return phantom((18, 128, 160), seed=3)


def test_only_what_is_marked_is_broken(sample):
    whole = slice(0, 128), slice(0, 160)
    masks = [sample.marks.mask(z, whole) for z in range(18)]
    marked = np.stack([np.zeros((128, 160), bool) if mask is None else mask for mask in masks])
    np.testing.assert_array_equal(sample.broken[~marked], sample.clean[~marked])
    assert set(np.flatnonzero(marked.any((1, 2)))) == {BLANK, SMEARED, DIRTY}
    assert (sample.broken[BLANK] == 0).all()


def test_adjacent_sections_are_alike_and_distant_ones_are_not(sample):
    def correlation(a: int, b: int) -> float:
        return float(np.corrcoef(sample.clean[a].ravel(), sample.clean[b].ravel())[0, 1])

    assert correlation(0, 1) > 0.3 > correlation(0, 15)


def test_a_seed_makes_a_stack():
    small = (18, 64, 64)
    np.testing.assert_array_equal(phantom(small, 1).broken, phantom(small, 1).broken)
    assert not np.array_equal(phantom(small, 1).broken, phantom(small, 2).broken)
    with pytest.raises(BadInput):
        phantom((5, 64, 64))
