"""Repairs in place, whatever the store looks like, and back again.

Covers: napari_ssan.volumes.slabs, napari_ssan.volumes.restore
"""

from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.engine.repair import repair
from napari_ssan.files import read_provenance
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.volumes.restore import restore
from napari_ssan.volumes.run import repair_in_place

from .conftest import AVERAGE, KINDS, content, levels_of, pyramid


def marks() -> Marks:
    region = Region.from_mask(np.tri(30, 40, 5, dtype=bool), 37, 51)
    return Marks({3, 7, 8}, {5: [region], 11: [region]})


def say(text: object) -> None:
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_in_place_as_to_an_output_and_back(make, volume, kind):
    path = make(kind)
    before = content(path)
    expected = np.asarray(repair(volume, marks(), method="average"))
    outcome = repair_in_place(path, marks(), AVERAGE, say)
    assert outcome.sections == (3, 5, 7, 8, 11)
    assert outcome.failed == ()
    for found, wanted in zip(levels_of(path), pyramid(expected, KINDS[kind][3]), strict=True):
        np.testing.assert_array_equal(found, wanted)
    records = read_provenance(path).sections
    assert [(r.section, r.kind) for r in records] == [
        (3, "whole"), (5, "region"), (7, "whole"), (8, "whole"), (11, "region")
    ]  # fmt: skip
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, f"{path.name}.originals"]
    assert restore(path, say) == {3, 5, 7, 8, 11}
    assert content(path) == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
