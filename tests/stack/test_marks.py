"""Covers: napari_ssan.stack.region,
napari_ssan.stack.marks_io
"""

from __future__ import annotations

import base64
import json
import os
import re
import tracemalloc
import zlib

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.stack.marks import Marks, as_marks
from napari_ssan.stack.marks_io import parse_slices, to_csv
from napari_ssan.stack.region import Region

SHAPE = (40, 60)
ALL = (slice(0, 40), slice(0, 60))
#: Words of Python that say nothing to a user.
RAW = re.compile(
    "Errno|literal|padding|codec|object|argument|could not|Expecting|field|unpack|'after'"
)


def blob() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[5:9, 10:20] = True
    mask[6, 12] = False
    return mask


def test_region_of_a_mask_is_its_bounding_box():
    region = Region.from_mask(blob())
    assert (region.top, region.left, region.mask.shape) == (5, 10, (4, 10))
    assert region.pixels == 39


def test_region_of_an_outline_holds_the_pixels_inside_and_is_cut_to_the_section():
    region = Region.from_outline([(-5, -5), (-5, 3), (4, 3), (4, -5)], SHAPE)
    assert region.window == (slice(0, 5), slice(0, 4))
    assert region.mask.all()


@pytest.mark.parametrize("outline", [[(50, 50), (55, 50), (55, 55)], [(1, 1), (np.nan, 2), (3, 3)]])
def test_an_outline_without_pixels_is_refused(outline):
    with pytest.raises(BadInput):
        Region.from_outline(outline, SHAPE)


def test_empty_mask_is_refused():
    with pytest.raises(BadInput, match="empty"):
        Region.from_mask(np.zeros(SHAPE))


def test_union_covers_both():
    a, b = Region.from_mask(blob()), Region.from_mask(np.roll(blob(), (3, 15), (0, 1)))
    joined = Marks(regions={0: [a.union(b)]}).mask(0, ALL)
    np.testing.assert_array_equal(joined, Marks(regions={0: [a, b]}).mask(0, ALL))


def test_json_round_trip():
    outline = [(1.5, 2.0), (1.5, 9.0), (7.0, 9.0)]
    marks = Marks(
        {3, 7},
        {5: [Region.from_mask(blob()), Region.from_outline(outline, SHAPE)]},
        {2: 1, 9: 2},
    )
    again = Marks.from_json(marks.to_json(), SHAPE)
    assert (again.whole, again.missing) == (marks.whole, marks.missing)
    np.testing.assert_array_equal(again.mask(5, ALL), marks.mask(5, ALL))
    assert again.regions[5][1].outline == tuple(outline)


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[1, 2]",
        '{"slices": ["a"]}',
        '{"slices": [1.5]}',
        '{"regions": [{"slice": 1}]}',
        '{"regions": [{"slice": 1, "top": 0, "left": 0, "shape": [4, 4], "bits": "AAAA"}]}',
        '{"regions": [{"slice": 1, "top": 0, "left": 0, "shape": [4000, 4], "bits": ""}]}',
        '{"format": 99}',
        '{"slices": [Infinity]}',
        '{"slices": "12"}',
        "[" * 100_000,
        '{"slices": [null]}',
        '{"slices": [' + "9" * 5000 + "]}",
        '{"missing": [{"count": 1}]}',
        '{"regions": [{"slice": 1, "outline": []}]}',
        '{"regions": [{"slice": 1, "top": 0, "left": 0, "shape": [4, 4], "bits": "AAA"}]}',
        '{"regions": [{"slice": 1, "top": 0, "left": 0, "shape": [4, 4], "bits": ""}]}',
    ],
)
def test_bad_json_is_refused_in_one_sentence(text):
    with pytest.raises(BadInput) as error:
        Marks.from_json(text, SHAPE)
    assert "\n" not in str(error.value)
    assert not RAW.search(str(error.value))


def test_where_json_is_bad_is_said():
    for text, where in (
        ('{"slices": [1,\n}', "line 2 cannot be understood"),
        ('{"regions": [], "slices": [1, "a"]}', "entry 2 of 'slices' cannot be understood"),
    ):
        with pytest.raises(BadInput, match=where):
            Marks.from_json(text, SHAPE)


def test_csv_of_slices_and_ranges():
    assert Marks.from_csv("slice,last\n4,\n7,9\n", SHAPE).whole == {4, 7, 8, 9}
    assert Marks.from_csv("slice\n4\n5\n", SHAPE).whole == {4, 5}
    assert not Marks.from_csv(to_csv((), ()), SHAPE)


def test_csv_of_a_shapes_layer():
    rows = ["index,shape-type,vertex-index,axis-0,axis-1,axis-2"]
    rows += [f"0,polygon,{i},6.0,{y},{x}" for i, (y, x) in enumerate([(2, 2), (2, 8), (8, 8)])]
    marks = Marks.from_csv("\n".join(rows), SHAPE)
    assert list(marks.regions) == [6]
    assert marks.mask(6, ALL)[3, 5]


def test_csv_of_a_shapes_layer_with_more_axes():
    rows = ["index,shape-type,vertex-index,axis-0,axis-1,axis-2,axis-3"]
    rows += [f"0,polygon,{i},0.0,6.0,{y},{x}" for i, (y, x) in enumerate([(2, 2), (2, 8), (8, 8)])]
    marks = Marks.from_csv("\n".join(rows), SHAPE)
    assert list(marks.regions) == [6]
    assert marks.mask(6, ALL)[3, 5]
    with pytest.raises(BadInput, match="several places"):
        Marks.from_csv("\n".join([*rows, "1,polygon,0,1.0,6.0,2,2"]), SHAPE)


def test_entries_of_missing_sections_add_up():
    text = '{"missing": [{"after": 5}, {"after": 5, "count": 2}]}'
    assert Marks.from_json(text, SHAPE).missing == {5: 3}


def test_csv_from_a_spreadsheet(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfslice;last\r\n4;6\r\n")
    assert Marks.read(tmp_path / "a.csv", SHAPE).whole == {4, 5, 6}


def shapes_csv(kind: str, vertices: list[tuple[float, float, float]]) -> str:
    rows = ["index,shape-type,vertex-index,axis-0,axis-1,axis-2"]
    rows += [f"0,{kind},{i},{z},{y},{x}" for i, (z, y, x) in enumerate(vertices)]
    return "\n".join(rows)


def test_csv_of_an_ellipse_is_no_box():
    corners = [(6, 5, 5), (6, 5, 45), (6, 25, 45), (6, 25, 5)]
    (region,) = Marks.from_csv(shapes_csv("ellipse", corners), SHAPE).regions[6]
    assert region.pixels == pytest.approx(np.pi * 10 * 20, rel=0.05)


@pytest.mark.parametrize(("kind", "last"), [("path", 6), ("line", 6), ("polygon", 7)])
def test_csv_of_what_encloses_nothing_on_a_slice_is_refused(kind, last):
    with pytest.raises(BadInput):
        Marks.from_csv(shapes_csv(kind, [(6, 2, 2), (6, 2, 8), (last, 8, 8)]), SHAPE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "section\n4\n",
        "slice\nfour\n",
        "slice,last\n9,7\n",
        'slice\n"' + "4" * 200_000,
        "index,shape-type,vertex-index,axis-0,axis-1,axis-2\n0,polygon,0,6,x,2\n",
        "index,shape-type,vertex-index,axis-0,axis-1,axis-2\n0,polygon,0,6\n",
        "index,shape-type,vertex-index,axis-0,axis-1,axis-2\n0,polygon,0,nan,1,2\n",
    ],
)
def test_bad_csv_is_refused(text):
    with pytest.raises(BadInput) as error:
        Marks.from_csv(text, SHAPE)
    assert not RAW.search(str(error.value))


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_files_that_cannot_be_read_are_refused_in_plain_words(tmp_path, name):
    with pytest.raises(BadInput, match="there is no such file; check the path"):
        Marks.read(tmp_path / name, SHAPE)
    (tmp_path / name).write_bytes(b"slice\n\xff\n")
    with pytest.raises(BadInput, match="are no text in UTF-8"):
        Marks.read(tmp_path / name, SHAPE)


def test_reading_by_extension(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"slices": [4]}))
    (tmp_path / "a.csv").write_text("slice\n5\n")
    assert Marks.read(tmp_path / "a.json", SHAPE).whole == {4}
    assert Marks.read(tmp_path / "a.csv", SHAPE).whole == {5}
    with pytest.raises(BadInput, match="cannot be read"):
        Marks.read(tmp_path / "absent.json", SHAPE)


def test_parsing_slices():
    assert parse_slices("12, 47-48,12") == [12, 47, 48, 12]
    assert parse_slices("") == []


@pytest.mark.parametrize("text", ["-1", "4-2", "x", "1.5", "1-", "1-2-3", "0-99999999", "4" * 5000])
def test_bad_slices_are_refused(text):
    with pytest.raises(BadInput):
        parse_slices(text)


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        (Marks(), "Nothing is marked"),
        (Marks({10}), "not in the stack"),
        (Marks({-1}), "not in the stack"),
        (Marks(set(range(10))), "Every slice"),
        (Marks(missing={9: 1}), "No section can be inserted"),
        (Marks(missing={3: 0}), "cannot be inserted"),
        (Marks(regions={3: [Region(38, 0, np.ones((4, 4), bool))]}), "reaches beyond"),
    ],
)
def test_marks_that_do_not_fit_are_refused(marks, reason):
    with pytest.raises(BadInput, match=reason):
        marks.check((10, *SHAPE))


def test_a_single_section_is_refused():
    with pytest.raises(BadInput, match="single section"):
        Marks({0}).check((1, *SHAPE))


def test_marks_in_easy_forms():
    assert as_marks([1, np.int64(3)], SHAPE).whole == {1, 3}
    assert as_marks({4: blob()}, SHAPE).regions[4][0].pixels == 39


@pytest.mark.parametrize(
    "marks", ["45", 4, [1.5], ["1,2"], np.arange(5) == 4, [np.inf], {4: np.ones((20, 20))}]
)
def test_marks_that_could_be_misread_are_refused(marks):
    with pytest.raises(BadInput):
        as_marks(marks, SHAPE)


def test_marks_are_taken_away_one_by_one():
    first, second = Region.from_mask(blob()), Region.from_mask(np.roll(blob(), 20))
    marks = Marks({3}, {3: [first], 5: [first, second]}, {3: 2})
    before = marks.copy()
    assert set(marks.each()) == {(3, 0), (3, 1), (5, 0)}
    assert marks.discard_regions([first.key(5), "5:unknown"]) == {(5, 0)}
    assert marks.regions == {3: [first], 5: [second]}
    marks.discard((3, 0))  # its region comes back into view
    assert (3, 0) in marks
    assert (marks.whole, marks.regions[3]) == (set(), [first])
    marks.discard((3, 0))
    assert (3, 0) not in marks
    assert (3, 1) in marks
    marks.discard((3, 1))
    assert marks.discard_regions([second.key(5)]) == {(5, 0)}
    assert not marks
    assert before == Marks({3}, {3: [first], 5: [first, second]}, {3: 2})


def test_a_region_is_named_by_its_section_and_content():
    one, same = Region.from_mask(blob()), Region.from_mask(blob())
    assert one.key(3) == same.key(3)
    assert one.key(3) != one.key(4)
    assert one.key(3) != Region(one.top + 1, one.left, one.mask).key(3)


@pytest.mark.parametrize(
    "window", [(7, 12, 15, 30), (0, 5, 0, 60), (8, 40, 0, 11), (30, 40, 30, 60)]
)
def test_mask_of_a_window_is_that_part_of_the_mask(window):
    regions = [Region.from_mask(blob()), Region.from_mask(np.roll(blob(), 20))]
    marks = Marks(regions={0: regions})
    part = slice(*window[:2]), slice(*window[2:])
    np.testing.assert_array_equal(marks.mask(0, part), marks.mask(0, ALL)[part])
    assert marks.mask(1, part) is None


@pytest.mark.parametrize(
    ("marks", "sentence"),
    [
        ({3.9: np.ones((4, 6), bool)}, "whole numbers"),
        ({"x": np.ones((4, 6), bool)}, "whole numbers"),
        ({None: np.ones((4, 6), bool)}, "whole numbers"),
    ],
)
def test_masks_of_no_slice_are_refused(marks, sentence):
    with pytest.raises(BadInput, match=sentence):
        as_marks(marks, (4, 6))


@pytest.mark.parametrize(
    ("marks", "sentence"),
    [
        (Marks({3.5}), "whole numbers"),
        (Marks({"a"}), "whole numbers"),
        (Marks(missing={3: 1.5}), "whole numbers"),
        (Marks(missing={3: 10**9}), "1 to 1000"),
        (Marks(regions={3: []}), "Nothing is marked"),
        (Marks(regions={3: [np.ones((4, 6), bool)]}), "mapping of slice to mask"),
    ],
)
def test_marks_that_are_none_are_refused(marks, sentence):
    with pytest.raises(BadInput, match=sentence):
        marks.check((9, 4, 6))


def test_no_more_is_unpacked_than_a_region_needs():
    bits = base64.b64encode(zlib.compress(bytes(2**28))).decode()
    entry = {"slice": 1, "top": 0, "left": 0, "shape": list(SHAPE), "bits": bits}
    text = json.dumps({"regions": [entry] * 3})
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match="mask is empty"):
            Marks.from_json(text, SHAPE)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [[0, 5], [-3, -3], [5, 0]])
def test_regions_without_pixels(shape):
    entry = {"slice": 1, "top": 0, "left": 0, "shape": shape, "bits": ""}
    with pytest.raises(BadInput, match="no pixels"):
        Marks.from_json(json.dumps({"regions": [entry]}), SHAPE)


def test_tables_that_mark_more_slices_than_any_stack_has():
    rows = [f"{n},{n + 10**6}" for n in range(0, 10**8, 10**6)]
    with pytest.raises(BadInput, match="more than 1000000 slices"):
        Marks.from_csv("\n".join(["slice,last", *rows]), SHAPE)


def test_an_ellipse_without_its_corners():
    table = "index,shape-type,vertex-index,axis-0,axis-1,axis-2\n"
    table += "0,ellipse,0,2,5,5\n0,ellipse,1,2,9,9\n"
    with pytest.raises(BadInput, match="4 corners"):
        Marks.from_csv(table, SHAPE)


def test_a_pipe_holds_no_marks(tmp_path):
    path = tmp_path / "in.json"
    os.mkfifo(path)
    with pytest.raises(BadInput, match="is a pipe"):
        Marks.read(path, SHAPE)


def test_treatments_come_back_from_json():
    marks = Marks({3, 8}, {5: [Region.from_mask(blob())]}, corrected={8})
    assert '"treatment"' not in Marks({3}, marks.regions).to_json()
    marks.treat([5], "correct")
    back = Marks.from_json(marks.to_json(), SHAPE)
    assert (back.whole, back.corrected) == ({3, 8}, {8})
    assert [region.treatment for region in back.regions[5]] == ["correct"]
    assert back.treated(8, "correct")
    assert back.treated(3, "synthesize")
    back.treat([8, 5], "synthesize")
    assert back.corrected == set()
    assert back.treated(5, "synthesize")
    outlined = {
        "regions": [{"slice": 1, "outline": [[0, 0], [0, 9], [9, 9]], "treatment": "correct"}]
    }
    assert Marks.from_json(json.dumps(outlined), SHAPE).treated(1, "correct")


def test_no_such_treatment():
    with pytest.raises(BadInput, match="no treatment 'wash'"):
        Marks.from_json('{"slices": [{"slice": 3, "treatment": "wash"}]}', SHAPE)


def test_a_mark_that_is_forgotten_loses_its_treatment():
    marks = Marks({3}, corrected={3})
    assert marks.each()[3, 0].corrected == {3}
    assert marks.copy().corrected == {3}
    marks.discard((3, 0))
    assert marks.corrected == set()


def test_later_marks_say_what_becomes_of_a_slice():
    marks = Marks({3, 4}, corrected={3})
    marks.update(Marks({3, 5}, {3: [Region.from_mask(blob())]}, {2: 1}, {5}))
    assert (marks.whole, marks.corrected, marks.missing) == ({3, 4, 5}, {5}, {2: 1})
    assert list(marks.regions) == [3]


@pytest.mark.parametrize(
    "text",
    ["slice,treatment\n4,\n7,correct\n", "id,stack_id,index\n1,9,4\n2,9,7\n", "z\n4\n7\n"],
)
def test_tables_of_broken_sections(text):
    marks = Marks.from_csv(text, SHAPE)
    assert marks.whole == {4, 7}
    assert marks.corrected == ({7} if "correct" in text else set())


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.json", '{"slices": [3], "region": []}', "a part 'region', which is not known"),
        ("a.json", '{"slices": 9, "defects": []}', "the list of finds"),
        ("a.csv", "slice,treatmnet\n3,correct\n", "a column 'treatmnet'; call it 'treatment'"),
        ("a.csv", "slice;Last\n3;4\n", "call it 'last'"),
    ],
)
def test_what_is_misspelled_is_not_passed_over(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=sentence):
        Marks.read(tmp_path / name, SHAPE)


def test_tables_may_have_columns_of_their_own(tmp_path):
    (tmp_path / "a.csv").write_text("slice,who,comment\n3,me,a tear\n")
    assert Marks.read(tmp_path / "a.csv", SHAPE).whole == {3}
