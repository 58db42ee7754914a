"""Damage that inspections are tried on, and the table of what is found."""

from __future__ import annotations

import json

import numpy as np
import other_damage
import pytest
import tifffile
from other_damage import KINDS, main

from napari_ssan.stack.phantom import phantom


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_damages_a_section_and_leaves_its_source(name):
    clean = phantom((18, 96, 112), 3).clean[4].astype(np.float32)
    kept = clean.copy()
    damaged = KINDS[name](clean, np.random.default_rng(0))
    assert damaged.shape == clean.shape
    assert np.isfinite(damaged).all()
    assert np.abs(damaged - clean).max() > 10
    np.testing.assert_array_equal(clean, kept)


def test_the_table_names_what_is_found_of_each_kind(tmp_path, monkeypatch):
    few = ("half is missing", "noise of lines", "stretched", "scratch")
    monkeypatch.setattr(other_damage, "KINDS", {name: KINDS[name] for name in few})
    stack, path = tmp_path / "stack.tif", tmp_path / "found.json"
    tifffile.imwrite(stack, phantom((20, 176, 192), 3).clean, photometric="minisblack")
    main([str(stack)], path)
    rows = json.loads(path.read_text())
    assert tuple(rows) == few
    assert rows["half is missing"][0].startswith("missing 5")
    assert rows["noise of lines"][0].startswith("noise, p ")
