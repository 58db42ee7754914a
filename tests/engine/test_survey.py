from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.engine import survey as module
from napari_ssan.engine.survey import PAIRS, Survey
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack

CORNER = slice(0, 40), slice(0, 40)


def region(treatment: str) -> Region:
    return Region(10, 10, np.ones((8, 8), bool), treatment=treatment)


def survey_of(marks: Marks, slices: int = 4) -> Survey:
    volume = np.random.default_rng(0).integers(50, 200, (slices, 40, 40), np.uint8)
    return Survey(SliceStack(volume), marks, 4)


@pytest.mark.parametrize(
    ("marks", "unmarked"),
    [
        (Marks(), 1600),
        (Marks({1}), 0),
        (Marks(regions={1: [region("correct")]}), 1536),
        (Marks(regions={1: [region("synthesize")]}), 1536),
        (Marks({1}, corrected={1}), 1600),
        (Marks({1}, regions={1: [region("correct")]}, corrected={1}), 1600),
        (Marks({1}, regions={1: [region("synthesize")]}, corrected={1}), 1536),
    ],
)
def test_a_corrected_section_has_its_own_structure_but_where_it_is_synthesized(marks, unmarked):
    assert survey_of(marks).unmarked(1, CORNER).sum() == unmarked


def test_sections_are_measured_once_and_pairs_registered_once(monkeypatch):
    survey, pairs = survey_of(Marks()), []
    real = module.find_placement
    monkeypatch.setattr(
        module, "find_placement", lambda *args: pairs.append(args[1:3]) or real(*args)
    )
    assert survey.intensity(2) is survey.intensity(2)
    assert survey.placement(0, 2) is survey.placement(0, 2)
    survey.placement(1, 3)
    assert pairs == [(0, 2), (1, 3)]


def test_the_motion_of_the_last_pairs_is_remembered(monkeypatch):
    survey, pairs = survey_of(Marks(), PAIRS + 2), []
    monkeypatch.setattr(module, "find_motion", lambda *args: pairs.append(args[1:3]))
    for z in (*range(PAIRS + 1), 0, PAIRS):
        assert survey.motion(z, z + 1) is None
    assert pairs == [(z, z + 1) for z in (*range(PAIRS + 1), 0)]


@pytest.mark.parametrize(
    ("marks", "window", "why"),
    [
        (Marks(), None, None),
        (Marks({1}), None, "is marked itself"),
        (Marks(regions={1: [region("synthesize")]}), None, "is marked at this place"),
        # Four pixels around a window must be free of marks.
        (Marks(regions={1: [region("synthesize")]}), (slice(22, 30), slice(10, 18)), None),
        (
            Marks(regions={1: [region("synthesize")]}),
            (slice(21, 30), slice(10, 18)),
            "is marked at this place",
        ),
    ],
)
def test_a_section_serves_as_a_neighbour_where_it_is_not_marked(marks, window, why):
    assert survey_of(marks).objection(1, window) == why


def test_a_region_of_a_large_section_is_fitted_to_what_is_around_it(monkeypatch):
    monkeypatch.setattr(module, "LARGE", 64)
    section = np.arange(200, dtype=np.uint8).repeat(300).reshape(200, 300)
    section[:, 200:] = 7
    stack, read = SliceStack(np.stack([section] * 3)), []
    survey = Survey(stack, Marks(), 16)
    monkeypatch.setattr(
        stack, "read", lambda z, window, real=stack.read: read.append(window) or real(z, window)
    )
    around = slice(90, 110), slice(20, 40)
    found = survey.intensity(0, around)
    assert (found.minimum, found.maximum) == (68, 131)
    assert read == [(slice(68, 132), slice(0, 62))]
    assert survey.intensity(0, around) is found
    assert survey.intensity(0).minimum == 0
    # Where that is constant, the whole section tells.
    assert survey.intensity(0, (slice(90, 110), slice(250, 260))) is survey.intensity(0)
    wide = survey.intensity(1, (slice(0, 150), slice(20, 40)))
    assert (wide.minimum, wide.maximum) == (0, 149)
    monkeypatch.setattr(module, "LARGE", 300)
    assert survey.intensity(0, around) is survey.intensity(0)
