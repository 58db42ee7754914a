"""Covers: napari_ssan.session.rejected"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.inspection.find import Find, Inspection
from napari_ssan.session.rejected import place_of, places_from
from napari_ssan.session.session import RepairSession
from napari_ssan.session.suggestions import (
    Suggestions,
    outlined,
    outlines_of,
)
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack

SHAPE = (64, 72)
DISC = np.hypot(*np.mgrid[-8:9, -8:9]) <= 8


def find(z, p=0.9, region=None, gap=0, kind="blank"):
    return Find(z, kind, 5.0, p, "It is broken.", region=region, gap=gap)


def offer(suggestions, *finds):
    found = Inspection(12, 0, 0.8, finds, ("Cannot tell.",))
    suggestions.offer(found, outlines_of(found, SHAPE))


DIRT = find(3, 0.8, Region.from_mask(DISC, 20, 30), kind="contamination")
BLANK = find(5, 0.99)
LOST = find(8, 0.6, gap=2, kind="discontinuity")


@pytest.fixture
def session():
    return RepairSession(SliceStack(np.zeros((12, *SHAPE), np.uint8)))


@pytest.fixture
def kept():
    return []


@pytest.fixture
def suggestions(session, kept):
    made = Suggestions(session, kept.append)
    offer(made, BLANK, DIRT, LOST)
    return made


def test_what_is_accepted_becomes_a_mark(session, suggestions):
    assert suggestions.open == (BLANK, DIRT, LOST)
    assert suggestions.cannot_tell == ("Cannot tell.",)
    suggestions.accept([BLANK])
    assert session.marks.whole == {5}
    assert suggestions.open == (DIRT, LOST)
    suggestions.accept([DIRT, LOST])
    assert session.marks.missing == {8: 2}
    [region] = session.marks.regions[3]
    assert region.outline
    marked = session.marks.mask(3, (slice(0, 64), slice(0, 72)))
    assert marked[20:37, 30:47][DISC].all()
    assert marked.sum() < 2 * DISC.sum()
    assert suggestions.open == ()


def test_regions_are_marked_at_once(session, suggestions):
    spots = [find(z, region=Region.from_mask(DISC, 20, 30)) for z in range(2, 9)]
    offer(suggestions, *spots)
    told = []
    session.changed.connect(lambda: told.append(len(session.marks.regions)))
    suggestions.accept(spots)
    assert told == [7]
    session.undo()
    assert suggestions.open == tuple(spots)


def test_all_that_is_accepted_at_once_is_undone_in_one_step(session, suggestions):
    pale = replace(find(6, kind="brightness"), suggest="correct")
    offer(suggestions, BLANK, DIRT, LOST, pale)
    suggestions.accept([BLANK, DIRT, LOST, pale])
    assert session.marks.whole == {5, 6}
    assert session.marks.corrected == {6}
    assert session.marks.missing == {8: 2}
    assert [*session.marks.regions] == [3]
    session.undo()
    assert not session.marks
    session.undo(again=True)
    assert session.marks.corrected == {6}


def test_a_hole_in_a_slice_that_is_corrected_is_still_suggested(session, suggestions):
    shaded = replace(find(3, region=Region.from_mask(DISC, 50, 20)), suggest="correct")
    offer(suggestions, DIRT, shaded)
    session.mark([3], "correct")
    assert suggestions.open == (DIRT,)
    session.treat([(3, 0)], "synthesize")
    assert DIRT not in suggestions.open


def test_to_undo_a_mark_brings_its_suggestion_back(session, suggestions):
    suggestions.accept(suggestions.open)
    while session.history.last() is not None:
        session.undo()
    assert suggestions.open == (BLANK, DIRT, LOST)


def test_what_is_marked_by_hand_is_not_suggested(session, suggestions):
    session.mark([5, 3])
    session.set_missing(8, 1)
    assert suggestions.open == ()
    session.unmark([(3, 0)])
    session.add_region(3, Region.from_mask(np.ones((10, 3)), 20, 30))
    assert suggestions.open == (DIRT,)


def test_what_is_rejected_does_not_come_back(session, suggestions, kept):
    for each in suggestions.open:
        suggestions.reject(each)
    assert suggestions.open == ()
    assert kept[-1] == {place_of(each) for each in (BLANK, DIRT, LOST)}
    moved = find(3, 0.7, Region.from_mask(DISC, 22, 31), kind="contamination")
    elsewhere = find(3, 0.7, Region.from_mask(DISC, 40, 31))
    other = Suggestions(session)
    offer(other, BLANK, moved, elsewhere, LOST, find(3))
    other.known(kept[-1])
    assert other.open == (elsewhere, find(3))
    other.forget_rejected()
    assert len(other.open) == 5


def test_what_is_rejected_hides_nothing_else_that_lies_in_its_box(suggestions):
    crack = find(4, 0.9, Region.from_mask(np.eye(40, dtype=bool), 10, 10), kind="crack")
    spot = find(4, 0.8, Region.from_mask(DISC, 12, 32), kind="contamination")
    patch = find(4, 0.7, Region.from_mask(np.triu(np.ones((40, 40)), 4), 10, 10), kind="charging")
    short = find(4, 0.6, Region.from_mask(np.eye(12, dtype=bool), 12, 36), kind="crack")
    offer(suggestions, crack, spot, patch, short)
    suggestions.reject(crack)
    assert suggestions.open == (spot, patch, short)


def test_places_of_earlier_versions_hold_whatever_kind_is_found(suggestions):
    suggestions.known(places_from([[3, [20, 36, 30, 46]], [5, None], [8, [-1, -1, -1, -1]]]))
    assert suggestions.open == ()


def test_a_stack_without_a_good_section_is_refused(session, suggestions):
    offer(suggestions, *map(find, range(12)))
    with pytest.raises(BadInput, match="good"):
        suggestions.accept(suggestions.open)
    assert not session.marks


def test_places_are_read_from_json():
    places = {place_of(each) for each in (BLANK, DIRT, LOST)}
    plain = [[z, None if box is None else list(box), kind] for z, box, kind in places]
    assert places_from(plain) == places
    for wrong in ([[1]], [[1, [2, 3]]], 5, [["a", None]], [[1, None, "a", "b", "c", "d"]]):
        with pytest.raises(BadInput, match="cannot be read"):
            places_from(wrong)


def test_each_part_of_a_region_is_outlined_and_holes_are_covered():
    mask = np.zeros((30, 60), bool)
    mask[4:26, 4:26] = True
    mask[12:16, 12:16] = False
    mask[10:14, 40:58] = True
    parts = outlined(Region.from_mask(mask, 2, 3), SHAPE)
    assert len(parts) == 2
    covered = np.zeros(SHAPE, bool)
    for part in parts:
        covered[part.window] |= part.mask
    assert covered[2:32, 3:63][mask].all()
    assert covered[2 + 14, 3 + 14]


def test_a_region_at_the_border_is_clipped():
    [part] = outlined(Region.from_mask(np.ones((5, 6)), 0, 66), SHAPE)
    assert part.window[0].start == 0
    assert part.window[1].stop == 72
    assert part.mask[:5, -6:].all()


def test_a_large_region_is_outlined_at_a_lower_resolution():
    disc = np.hypot(*np.mgrid[-900:901, -900:901]) <= 900
    [part] = outlined(Region.from_mask(disc, 100, 50), (2100, 2100))
    assert len(part.outline) < 300
    covered = np.zeros((2100, 2100), bool)
    covered[part.window] = part.mask
    assert covered[100:1901, 50:1851][disc].all()
    assert covered.sum() < 1.05 * disc.sum()


def test_what_only_needs_a_correction_is_marked_so(session, suggestions):
    pale = replace(BLANK, kind="brightness", suggest="correct")
    shaded = replace(DIRT, suggest="correct")
    offer(suggestions, pale, shaded)
    suggestions.accept(suggestions.open)
    assert session.marks.corrected == {5}
    assert [region.treatment for region in session.marks.regions[3]] == ["correct"]
