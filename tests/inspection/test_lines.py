from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.lines import along_lines, around_lines, lines_of


def line(turn, moved=0.0):
    rows, columns = np.indices((90, 90)) - 45
    at = np.abs(rows * np.cos(turn) - columns * np.sin(turn) - moved) < 1.5
    return at.astype(np.float32)


def test_lines_of_every_direction_are_raised():
    for turn in np.linspace(0, np.pi, 7):
        own = line(turn)
        raised = along_lines(own).max(axis=0)
        assert raised[45, 45] > 0.5
        assert raised[own == 0].max() < raised[45, 45]


def test_a_line_is_odd_unless_a_neighbour_has_it_nearby():
    for turn in np.linspace(0, np.pi, 7):
        own, moved = lines_of(2 * line(turn)), lines_of(2 * line(turn, 2))
        assert own[:, 45, 45].max() > 0.5
        odd = (own - around_lines(moved)).max(axis=0)[45, 45]
        assert odd < 0.4 * own[:, 45, 45].max()
        assert lines_of(-2 * line(turn)) == pytest.approx(-own, abs=1e-5)
