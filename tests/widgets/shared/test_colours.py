from __future__ import annotations

from typing import get_args

from napari_ssan.session.marks import State
from napari_ssan.session.standing import Kind
from napari_ssan.widgets.shared.colours import CAPTIONS, LEGEND, TICKS


def test_each_state_has_a_tick_that_the_legend_names():
    assert set(TICKS) == {"suggested", *get_args(State)}
    assert len(LEGEND) == len(TICKS) == len(set(TICKS.values()))


def test_each_kind_of_slice_has_a_caption():
    assert set(CAPTIONS) == set(get_args(Kind))
