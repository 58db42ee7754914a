from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.findings import Findings
from napari_ssan.inspection.neighbours import Traits
from napari_ssan.inspection.regions import Candidate
from napari_ssan.inspection.view import View
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


def alike(number):
    """Figures of sections that resemble each other."""
    return [
        Traits(
            z, level=100.0, contrast=10.0, before=0.8, after=0.8, across=0.6, fit=0.8,
            neighbours=(z - 1, z + 1), apart={1: 0.8, 2: 0.6},
        )
        for z in range(number)
    ]  # fmt: skip


def found_in(candidates, peaks, blurred=(), blank=None, unlike=0.0):
    """What is found in alike sections with these candidates, some of which are broken.

    Section 6 correlates less with its neighbours by `unlike`.
    """
    traits = alike(len(candidates))
    traits[6].before = traits[6].after = traits[6].fit = 0.8 - unlike
    for z in blurred:
        traits[z].sharpness = np.full(4, -3, np.float32)
    if blank is not None:
        traits[blank] = Traits(blank, "is constant")
        traits[blank + 1].neighbours = (blank - 1, blank + 2)
    planted = [("blur", Traits(3, contrast=10.0, sharpness=np.full(4, -2, np.float32)))]
    view = View(SliceStack(np.zeros((len(candidates), 64, 64), np.uint8)))
    found = Findings(view, traits, candidates, planted, peaks).all()
    return {each.z: each.kind for each in found if each.p >= 0.5}


REGION = Region.from_mask(np.ones((6, 6)))


def test_regions_beside_a_broken_section_count_less():
    peaks = np.where(np.isin(np.arange(14), (6, 10)), 2.0, 1.0)
    candidates = [(Candidate("dark", peak, REGION),) for peak in peaks]
    found = found_in(candidates, {"dark": [1.8, 1.9]}, blurred=[5])
    assert found == {5: "blur", 10: "contamination"}


def test_regions_beside_a_blank_section_count_less():
    peaks = np.where(np.isin(np.arange(14), (6, 10)), 2.0, 1.0)
    candidates = [(Candidate("dark", peak, REGION),) for peak in peaks]
    candidates[5] = ()
    assert found_in(candidates, {"dark": [1.8, 1.9]}, blank=5) == {5: "blank", 10: "contamination"}


@pytest.mark.parametrize(("chance", "told"), [(1.0, True), (0.3, True), (0.02, False)])
def test_a_spot_with_which_a_neighbour_goes_on_is_tissue_however_dark(chance, told):
    candidates = [(Candidate("dark wide", 1.0, REGION),) for _ in range(14)]
    candidates[6] = (Candidate("dark wide", 9.0, REGION, chance=chance),)
    found = found_in(candidates, {"dark wide": [5.0, 6.0]})
    assert found == ({6: "contamination"} if told else {})


@pytest.mark.parametrize(
    ("peak", "unlike", "told"),
    [
        (9.0, 0.38, "contamination"),  # dirt that covers much makes the whole section unlike
        (1.0, 0.38, "discontinuity"),
        (9.0, 0.50, "discontinuity"),
    ],
)
def test_a_sure_region_explains_why_a_section_is_rather_unlike_its_neighbours(peak, unlike, told):
    candidates = [(Candidate("dark", 1.0, REGION),) for _ in range(14)]
    candidates[6] = (Candidate("dark", peak, REGION),)
    assert found_in(candidates, {"dark": [3.0, 4.0]}, unlike=unlike) == {6: told}


def test_what_stands_out_in_broken_sections_does_not_hide_a_hair():
    far = np.full(16, 0.15)
    far[[3, 9, 12]] = 1.0, 0.48, 1.0
    candidates = [(Candidate("dark far", peak, REGION, long=True),) for peak in far]
    assert found_in(candidates, {}, blurred=[3, 12]) == {3: "blur", 9: "fold", 12: "blur"}


@pytest.mark.parametrize("pixels", [60, 20])
def test_a_thin_section_is_told_as_a_whole_and_not_once_more_as_a_region(pixels):
    candidates = [(Candidate("soft", 1.0, REGION),) for _ in range(14)]
    candidates[6] = (Candidate("soft", 9.0, Region.from_mask(np.ones((pixels, pixels)))),)
    traits = alike(14)
    traits[6].contrast = 3.0
    view = View(SliceStack(np.zeros((14, 64, 64), np.uint8)))
    found = Findings(view, traits, candidates, [], {"soft": [4.0, 6.0]}).all()
    told = {each.kind for each in found if each.z == 6 and each.p >= 0.5}
    assert told == ({"brightness"} if pixels == 60 else {"brightness", "blur"})
