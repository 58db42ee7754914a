from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.look import look
from napari_ssan.inspection.neighbours import compare
from napari_ssan.inspection.plant import plant_region
from napari_ssan.inspection.regions import along_lines, is_long


def highest(candidates, sign):
    return max((each for each in candidates if each.sign == sign), key=lambda each: each.peak)


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        ("contamination", "dark"),
        ("contamination", "dark wide"),
        ("hole", "light"),
        ("fold", "dark long"),
        ("crack", "light long"),
        ("blur", "soft"),
        ("missing", "flat"),
    ],
)
def test_planted_damage_stands_out(broken, sightings, kind, sign):
    random = np.random.default_rng(1)
    pixels, mask = plant_region(kind, broken.clean[2].astype(np.float32), 2, random)
    _, candidates = compare(look(2, pixels), sightings)
    found = highest(candidates, sign)
    _, good = compare(sightings[2], sightings)
    before = max((each.peak for each in good if each.sign == sign), default=0.0)
    assert found.peak > 1.4 * before
    seen = np.zeros(mask.shape, bool)
    seen[found.region.window] = found.region.mask
    assert (seen & mask).sum() > 0.3 * (seen | mask).sum()
    assert found.long == (kind in ("fold", "crack", "missing")) or kind == "missing"


def test_a_line_is_long_and_a_spot_is_not():
    rows, columns = np.indices((80, 80))
    assert is_long(np.abs(rows - columns) < 3, 10)
    assert not is_long(np.hypot(rows - 40, columns - 40) < 15, 10)
    assert not is_long(np.abs(rows - columns) < 3, 100)


def test_lines_of_every_direction_are_raised():
    for turn in np.linspace(0, np.pi, 7):
        rows, columns = np.indices((90, 90)) - 45
        line = np.abs(rows * np.cos(turn) - columns * np.sin(turn)) < 1.5
        raised = along_lines(line.astype(np.float32))
        assert raised[45, 45] > 0.5
        assert raised[~line].max() < raised[45, 45]


@pytest.mark.parametrize(("value", "sign"), [(0, "dark wide"), (255, "light wide")])
def test_a_constant_spot_is_seen(broken, sightings, value, sign):
    pixels = broken.clean[2].astype(np.float32)
    pixels[60:84, 70:100] = value
    _, candidates = compare(look(2, pixels), sightings)
    found = highest(candidates, sign)
    assert found.region.window[0].start in range(50, 64)
    assert found.peak > 1.2
