from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.lines import PER_MAD, along_lines, around_lines, beyond_lines, lines_of


def line(turn, moved=0.0):
    rows, columns = np.indices((90, 90)) - 45
    at = np.abs(rows * np.cos(turn) - columns * np.sin(turn) - moved) < 1.5
    return at.astype(np.float32)


def test_lines_of_every_direction_are_raised():
    for turn in np.linspace(0, np.pi, 7):
        own = line(turn)
        raised = np.max(list(along_lines(own)), axis=0)
        assert raised[45, 45] > 0.5
        assert raised[own == 0].max() < raised[45, 45]


def test_a_line_is_odd_unless_a_neighbour_has_it_nearby():
    for turn in np.linspace(0, np.pi, 7):
        own, moved = lines_of(2 * line(turn)), lines_of(2 * line(turn, 2))
        raised = own[:, 45, 45].max() / PER_MAD
        assert raised > 0.5
        assert beyond_lines(own, around_lines(moved))[45, 45] < 0.4 * raised
        nothing = np.zeros_like(own)
        assert beyond_lines(own, nothing, nothing)[45, 45] == pytest.approx(raised)
        assert lines_of(-2 * line(turn)) == pytest.approx(-own, abs=1)
