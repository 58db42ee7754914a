import json

import numpy as np

from napari_ssan.engine.provenance import Provenance, SyntheticSection
from napari_ssan.files.provenance_io import from_plain, merged, to_plain, to_text
from napari_ssan.stack.sections import SliceStack


def _record(section, kind="whole", neighbours=(0, 1)):
    return SyntheticSection(
        section=section,
        kind=kind,
        share=1,
        neighbours=neighbours,
        position=0.5,
        method="ssan",
        model="näme",
    )


def test_text_is_ascii_and_comes_back():
    provenance = Provenance(sections=(_record(3),))
    assert to_text(provenance).isascii()
    assert from_plain(to_text(provenance)) == provenance
    assert from_plain(to_plain(provenance)) == provenance


def test_what_is_not_ours_is_nothing():
    assert from_plain("{") is None
    assert from_plain({"sections": 3}) is None
    assert from_plain(None) is None


def test_earlier_sections_move_with_those_that_are_inserted(repair):
    repaired = repair(SliceStack(np.zeros((6, 70, 50), np.uint8)), inserted=True)
    earlier = Provenance(sections=(_record(1, neighbours=(0, 2)), _record(5, neighbours=(4,))))
    sections = [(r.section, r.kind, r.neighbours) for r in merged(repaired, earlier).sections]
    assert sections == [
        (1, "whole", (0, 2)),
        (2, "whole", (1, 3)),
        (4, "inserted", (3, 5)),
        (5, "region", (3, 6)),
        (6, "whole", (5,)),
    ]


def test_a_section_that_is_replaced_as_a_whole_stands_there_once(repair):
    repaired = repair(SliceStack(np.zeros((6, 70, 50), np.uint8)))
    earlier = Provenance(sections=(_record(2), _record(4)))
    sections = [(r.section, r.method) for r in merged(repaired, earlier).sections]
    assert sections == [(2, "average"), (4, "ssan"), (4, "average")]


def test_nothing_earlier(repair):
    repaired = repair(SliceStack(np.zeros((6, 70, 50), np.uint8)))
    assert merged(repaired, None) == repaired.provenance


def test_an_error_that_is_no_number_is_unknown_and_the_rest_is_read():
    plain = to_plain(Provenance(sections=(_record(3),)))
    plain["sections"][0]["error"] = {"mean": 1, "highest": 2, "y": 0, "x": 0, "contrast": 9}
    assert from_plain(plain).sections[0].error.mean == 1
    plain["sections"][0]["error"]["mean"] = float("nan")
    for damaged in (plain, json.dumps(plain)):
        assert from_plain(damaged).sections == (_record(3),)
