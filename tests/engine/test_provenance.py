from __future__ import annotations

import numpy as np

from napari_ssan.engine.provenance import Provenance, SyntheticSection, recorded_marks
from napari_ssan.stack.region import Region, packed

SPOT = Region(4, 6, np.ones((3, 5), bool))


def record(section, kind="whole", region=None):
    return SyntheticSection(
        section=section,
        kind=kind,
        share=0.1,
        region=region,
        neighbours=(section - 1, section + 1),
        position=0.5,
        method="average",
    )


def test_what_is_recorded_is_marked():
    said = [
        record(2),
        record(3, "inserted"),
        record(5, "region", packed(SPOT)),
        record(6, "region"),  # of an earlier version, which did not tell the pixels
        record(7, "region", {"top": 0, "left": 0, "shape": [99, 99], "bits": ""}),
        record(2, "region", packed(SPOT)),
        record(40),
    ]
    marks = recorded_marks(Provenance(sections=tuple(said)), (10, 20, 30))
    assert marks.whole == {2, 3, 6, 7}
    assert {z: [r.key(z) for r in found] for z, found in marks.regions.items()} == {
        5: [SPOT.key(5)]
    }
    assert not recorded_marks(None, (10, 20, 30))
