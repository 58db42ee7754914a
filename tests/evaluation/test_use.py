from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.evaluation.use import dice, f1, recall


def mask(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def line(row: int, start: int = 0, stop: int = 20) -> np.ndarray:
    """A horizontal line in a field of 20 x 20, one pixel wide."""
    drawn = np.zeros((20, 20), bool)
    drawn[row, start:stop] = True
    return drawn


def test_dice_by_hand():
    a = mask("##..", "##..", "....")
    b = mask(".##.", ".##.", ".##.")
    assert dice(a, b) == pytest.approx(2 * 2 / (4 + 6))
    assert dice(b, a) == dice(a, b)


def test_f1_forgives_two_pixels_and_no_more():
    assert f1(line(5), line(7)) == 1
    assert f1(line(5), line(8)) == 0
    assert f1(line(5), line(8), tolerance=3) == 1


def test_f1_by_hand():
    # 20 pixels against 10 of them: the 10, and 2 beyond their end, are near enough.
    recall = 12 / 20
    assert f1(line(5), line(5, stop=10)) == pytest.approx(2 * recall / (1 + recall))
    # Precision 1/2, as one of two equal lines has nothing near, and recall 1.
    assert f1(line(5) | line(15), line(5)) == pytest.approx(2 / 3)


def test_f1_is_about_place_and_dice_about_area():
    thin, thick = line(9), line(8) | line(9) | line(10)
    assert f1(thin, thick) == 1
    assert dice(thin, thick) == pytest.approx(0.5)


@pytest.mark.parametrize("measure", [dice, f1])
def test_nothing_agrees_with_nothing_alone(measure):
    nothing, dot = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    dot[3:5, 3:5] = True
    assert measure(nothing, nothing) == 1
    assert measure(nothing, dot) == measure(dot, nothing) == 0
    assert measure(dot, dot) == 1


@pytest.mark.parametrize("measure", [dice, f1])
def test_other_sizes_are_refused(measure):
    with pytest.raises(BadInput, match=r"\(20, 20\) and \(20, 10\)"):
        measure(line(5), line(5)[:, :10])


def test_recall_counts_what_is_found_of_the_truth():
    truth, found = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    truth[10], truth[30] = True, True
    found[11] = True
    found[20] = True  # found where nothing is: that is no matter
    assert recall(found, truth) == pytest.approx(0.5, abs=0.05)
    assert recall(truth, truth) == 1
    assert recall(np.zeros_like(truth), truth) == 0
    assert recall(found, np.zeros_like(truth)) is None
