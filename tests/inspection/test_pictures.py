from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.pictures import coarse, fine_of, grain, middle, scale_of


def test_only_large_sections_are_halved():
    assert coarse(np.zeros((100, 120), np.float32)).shape == (100, 120)
    assert coarse(np.zeros((500, 421), np.float32)).shape == (250, 210)


def test_the_middle_of_a_large_section_is_cut_out():
    assert middle(np.zeros((400, 100), np.float32)).shape == (320, 100)
    assert grain(np.zeros((400, 100), np.float32)).shape == (256, 100)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1, 2, 3, 4, 5], (3, 1 / 0.6745)),
        ([2, 2, 2, 2, 7], (2, 2)),  # more than half are alike: the standard deviation
        ([4, 4, 4], (4, 1)),
    ],
)
def test_a_scale_never_divides_by_nothing(values, scale):
    assert scale_of(np.array(values, np.float32)) == pytest.approx(scale)


def test_less_detail_is_less_of_it_as_a_logarithm():
    detail = np.ones((40, 40), np.float32)
    fine = fine_of(detail)
    assert fine_of(detail * 4) - fine == pytest.approx(np.log(4), abs=1e-3)
