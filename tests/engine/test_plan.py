from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ssan.engine.plan import merge, plan
from napari_ssan.engine.survey import Survey
from napari_ssan.errors import BadInput
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


def planned(volume: np.ndarray, defects: Marks, clearance: int = 16):
    return plan(Survey(SliceStack(volume), defects, clearance))


def square(top: int, left: int, size: int = 8) -> Region:
    return Region(top, left, np.ones((size, size), bool))


def test_nearest_good_sections_on_both_sides(volume):
    jobs, warnings = planned(volume, Marks({4}))
    assert [(job.neighbours, job.position) for job in jobs] == [((3, 5), 0.5)]
    assert warnings == []


def test_sections_of_a_gap_lie_at_their_places(volume):
    jobs, _ = planned(volume, Marks({3, 4, 5}))
    assert [job.neighbours for job in jobs] == [(2, 6)] * 3
    assert [job.position for job in jobs] == [0.25, 0.5, 0.75]


def test_absent_sections_widen_the_gap(volume):
    jobs, _ = planned(volume, Marks({4}, missing={4: 1}))
    assert [(job.slot, job.kind) for job in jobs] == [((4, 0), "whole"), ((4, 1), "inserted")]
    assert [job.position for job in jobs] == [1 / 3, 2 / 3]


def test_several_absent_sections(volume):
    jobs, _ = planned(volume, Marks(missing={2: 3}))
    assert [job.position for job in jobs] == [0.25, 0.5, 0.75]
    assert {job.neighbours for job in jobs} == {(2, 3)}


@pytest.mark.parametrize(("marked", "source"), [({0}, 1), ({8}, 7), ({0, 1}, 2)])
def test_at_the_ends_the_nearest_section_is_copied_and_that_is_said(volume, marked, source):
    jobs, warnings = planned(volume, Marks(marked))
    assert {job.neighbours for job in jobs} == {(source,)}
    assert all("one side only" in text for text in warnings)
    assert len(warnings) == len(marked)


@pytest.mark.parametrize(
    ("value", "reason"), [(0, "constant"), (np.nan, "not finite"), (np.inf, "not finite")]
)
def test_useless_neighbours_are_passed_over_with_a_warning(volume, value, reason):
    volume = volume.astype(np.float32)
    volume[5] = value
    jobs, warnings = planned(volume, Marks({4}))
    assert jobs[0].neighbours == (3, 6)
    assert jobs[0].position == pytest.approx(1 / 3)
    assert len(warnings) == 1
    assert reason in warnings[0]


def test_a_neighbour_is_passed_over_where_it_is_marked_itself(volume):
    near, far = Marks(regions={4: [square(10, 10)]}), Marks(regions={4: [square(10, 10)]})
    near.add_region(5, square(20, 20))
    far.add_region(5, square(80, 100))
    assert planned(volume, near)[0][0].neighbours == (3, 6)
    assert "marked at this place" in planned(volume, near)[1][0]
    assert planned(volume, far)[0][0].neighbours == (3, 5)
    whole = Marks({4}, {5: [square(80, 100)]})
    assert planned(volume, whole)[0][0].neighbours == (3, 6)


def test_a_whole_mark_swallows_the_regions_of_its_section(volume):
    jobs, _ = planned(volume, Marks({4}, {4: [square(10, 10)]}))
    assert [job.kind for job in jobs] == ["whole"]


def test_regions_of_a_corrected_section_are_synthesized(volume):
    there = [square(10, 10), replace(square(60, 60), treatment="correct")]
    jobs, warnings = planned(volume, Marks({4}, {4: there}, corrected={4}))
    assert [(job.kind, job.treatment) for job in jobs] == [
        ("whole", "correct"),
        ("region", "synthesize"),
    ]
    assert jobs[1].region is not None
    assert jobs[1].region.window == there[0].window
    assert not warnings


def test_what_is_corrected_at_an_end_is_not_said_to_be_copied(volume):
    _, warnings = planned(volume, Marks({0}, corrected={0}))
    assert "corrected to match slice 1" in warnings[0]


def test_regions_side_by_side_are_one_job():
    regions = [square(0, 0), square(60, 60), square(0, 20), square(12, 30)]
    assert sorted(region.pixels for region in merge(regions)) == [64, 192]


def test_long_gaps_are_warned_of(volume):
    assert not planned(volume, Marks({2, 3, 4}))[1]
    assert "sections apart" in planned(volume, Marks({2, 3, 4, 5}))[1][0]


def test_without_a_good_section_there_is_no_repair(volume):
    volume[:] = 7
    with pytest.raises(BadInput, match="no good slice"):
        planned(volume, Marks({4}))


def test_tiny_sections_are_refused(volume):
    with pytest.raises(BadInput, match="at least 32 x 32"):
        planned(volume[:, :31], Marks({4}))
