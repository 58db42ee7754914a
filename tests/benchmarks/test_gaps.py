from __future__ import annotations

import numpy as np
import pytest
from gaps import Both, Halved, compare

from napari_ssan.engine.tiles import Tiling


class Blend:
    """Weighs both by the position, and counts how often it is asked."""

    name, match, views, batch, model, tiling = "ssan", "mean", 1, 1, None, Tiling(32, 16)

    def __init__(self):
        self.asked = []

    def synthesize(self, previous, following, position):
        self.asked.append(position)
        return (1 - position) * previous + position * following


@pytest.mark.parametrize(
    ("position", "value"), [(0.25, 0.25), (1 / 3, 0.25), (0.5, 0.5), (2 / 3, 0.75), (0.75, 0.75)]
)
def test_a_gap_is_halved_towards_the_section(position, value):
    blend = Blend()
    zeros, ones = np.zeros((1, 4, 4), np.float32), np.ones((1, 4, 4), np.float32)
    np.testing.assert_allclose(Halved.of(blend).synthesize(zeros, ones, position), value)
    assert set(blend.asked) == {0.5}
    both = Both.of(Blend()).synthesize(zeros, ones, position)
    np.testing.assert_allclose(both, (position + value) / 2)


def test_the_middle_is_the_same_at_once_and_halved(phantom_stack, tiny_model):
    rows = compare(str(phantom_stack), 3, [tiny_model], 1)
    figures = {(row["method"].rpartition(", ")[2], row["distance"]): row["psnr"] for row in rows}
    assert figures["at once", 2] == figures["halved", 2] == figures["both", 2]
    assert figures["at once", 1] != figures["halved", 1]
    assert {row["sections"] for row in rows if row["distance"] == 1} == {2}
