from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from napari_ssan.inspection.find import Find, Inspection
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region

REGION = Region.from_mask(np.eye(6), 10, 20)
FINDS = (
    Find(3, "blank", 100.0, 1.0, "It is constant."),
    Find(5, "hole", 6.123, 0.91237, "A spot is lighter.", "correct", REGION),
    Find(7, "discontinuity", 5.0, 0.6, "Sections seem to be lost.", gap=2),
)


def test_json_is_as_the_documentation_says():
    found = Inspection(9, 0, 0.71234, FINDS, ("Cannot tell.",))
    content = json.loads(found.to_json())
    assert list(content) == [
        "slices", "level", "neighbour_correlation", "defects", "cannot_tell"
    ]  # fmt: skip
    assert (content["slices"], content["neighbour_correlation"]) == (9, 0.712)
    first, second, third = content["defects"]
    assert first == {
        "slice": 3, "scope": "slice", "kind": "blank", "score": 100.0, "p": 1.0, "bbox": None,
        "pixels": None, "suggest": "synthesize", "lost": 0,
        "reason": "It is constant.",
    }  # fmt: skip
    assert second["scope"] == "region"
    assert (second["bbox"], second["pixels"]) == ([10, 20, 16, 26], 6)
    assert second["suggest"] == "correct"
    assert (third["slice"], third["scope"], third["lost"]) == (7, "slice", 2)


def test_marks_are_read_back_and_lost_sections_are_no_marks():
    marks = Inspection(9, 0, None, FINDS).marks()
    back = Marks.from_json(marks.to_json(), (40, 40))
    assert back.whole == {3}
    assert back.missing == {}
    assert Inspection(9, 0, None, (replace(FINDS[2], z=10), *FINDS)).lost == "7,7,10,10"
    (region,) = back.regions[5]
    np.testing.assert_array_equal(region.mask, REGION.mask)
    assert (region.top, region.left) == (10, 20)
    assert region.treatment == "correct"


def test_marks_have_the_treatment_that_is_suggested():
    finds = (Find(2, "brightness", 9.0, 1.0, "It is darker.", "correct"), FINDS[0])
    marks = Inspection(9, 0, None, finds).marks()
    assert (marks.whole, marks.corrected) == ({2, 3}, {2})


def test_finds_of_low_probability_are_dropped():
    found = Inspection(9, 0, None, FINDS)
    assert [find.z for find in found.at_least(0.9).finds] == [3, 5]
    assert found.at_least(0.95).marks().regions == {}
