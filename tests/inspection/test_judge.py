from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.findings import Findings
from napari_ssan.inspection.judge import PRIOR, Usual, agreed, kind_of, slice_figures
from napari_ssan.inspection.neighbours import Traits
from napari_ssan.inspection.regions import Candidate
from napari_ssan.inspection.view import View
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


def stack(levels, contrast=10.0):
    return [Traits(z, level=level, contrast=contrast) for z, level in enumerate(levels)]


def test_a_third_of_bad_sections_does_not_hide_them_or_blame_the_others():
    random = np.random.default_rng(0)
    figures = random.normal(1, 0.3, 60)
    figures[::3] += 6
    usual = Usual({"dark": figures.tolist()}, {"dark": [7.0, 8.0]})
    p = np.array([usual.probability("dark", usual.score("dark", each)) for each in figures])
    assert (p[::3] > 0.5).all()
    assert (np.delete(p, slice(None, None, 3)) < 0.5).all()


def test_a_rule_and_the_network_are_more_probable_together_but_less_than_if_independent():
    odds = PRIOR / (1 - PRIOR)
    both = agreed(0.4, 0.3)
    assert 0.4 < both < 0.9
    independent = (0.4 / 0.6) * (0.3 / 0.7) / odds
    assert both < independent / (1 + independent)
    assert agreed(0.3, 0.4) == pytest.approx(both)
    assert agreed(PRIOR, PRIOR) == pytest.approx(PRIOR)
    assert agreed(1.0, 1.0) > 0.999


def test_brightness_that_jumps_everywhere_is_usual():
    random = np.random.default_rng(0)
    calm = 100 + random.normal(0, 1, 40)
    jumping = 100 + random.normal(0, 15, 40)
    for levels, expected in ((calm, True), (jumping, False)):
        levels[20] = 125
        traits = stack(levels)
        figures = [slice_figures(traits, each, 0.8)["level"] for each in traits]
        usual = Usual({"level": figures}, {"level": [2.0, 3.0]})
        p = [usual.probability("level", usual.score("level", each)) for each in figures]
        assert (p[20] > 0.5) == expected
        assert sum(each > 0.5 for each in p) <= 1


@pytest.mark.parametrize("dark", [[12], [12, 13], [12, 13, 14]])
def test_brightness_that_changes_for_good_is_no_defect_but_a_few_dark_sections_are(dark):
    levels = 100 + np.random.default_rng(0).normal(0, 0.5, 40)
    levels[25:] += 40
    levels[dark] -= 30
    traits = stack(levels)
    figures = np.array([slice_figures(traits, each, 0.8)["level"] for each in traits])
    assert (figures[dark] > 2).all()
    assert (np.delete(figures, dark) < 0.5).all()


def test_a_little_more_departure_makes_damage_a_little_more_probable():
    figures = np.random.default_rng(0).normal(1, 0.3, 60)
    usual = Usual({"dark": figures.tolist()}, {"dark": [2.2, 2.21]})
    p = [usual.probability("dark", score) for score in np.arange(0, 9, 0.3)]
    assert (np.diff(p) >= 0).all()
    assert np.diff(p).max() < 0.3


def test_a_shift_is_only_believed_where_sections_resemble_each_other():
    traits = stack([100.0] * 7)
    own = Traits(3, level=100.0, contrast=10.0, across=0.7, fit=0.8, neighbours=(2, 4))
    own.motion = np.array((0.06, 0.08, -0.08))
    found = slice_figures(traits, own, 0.8)
    assert (found["displaced"], found["turned"]) == pytest.approx((0.064, 0.08))
    own.fit = 0.3
    found = slice_figures(traits, own, 0.8)
    assert found["displaced"] == found["turned"] == 0


def test_sections_beside_a_displaced_one_are_not_displaced():
    traits = stack([100.0] * 7)
    for each, moved in zip(traits[2:5], (-0.02, 0.04, -0.02), strict=True):
        each.motion = np.array((0.0, moved, 0.0))
        each.across, each.fit, each.neighbours = 0.7, 0.8, (each.z - 1, each.z + 1)
    found = [slice_figures(traits, each, 1.0)["displaced"] for each in traits[2:5]]
    assert found == pytest.approx([0, 0.04, 0])


def test_a_section_is_out_of_order_if_it_is_less_like_its_neighbours_than_others_are():
    traits = stack([100.0] * 7)
    for each in traits:
        each.before, each.after, each.across, each.neighbours = 0.8, 0.8, 0.5, (-1, 7)
    traits[3].before = traits[3].after = 0.1
    for n in (2, 4):  # they resemble the next but one less
        traits[n].across = 0.1
    found = [slice_figures(traits, each, 0.8)["discontinuity"] for each in traits[2:5]]
    assert found == pytest.approx([0, 0.7, 0])
    traits[3].across = 0.2  # its neighbours do not resemble each other, either
    assert slice_figures(traits, traits[3], 0.8)["discontinuity"] == pytest.approx(0.4)


def gaps(after, lost):
    """Finds of lost sections in a stack of sections that correlate with the next one so much."""
    after = [*after, after[-1]]
    across = [0.7 * min(after[z - 1], each) for z, each in enumerate(after)]
    if lost is not None:
        after[lost] -= 0.35
        across[lost] -= 0.2
        across[lost + 1] -= 0.2
    traits = [
        Traits(
            z, level=100.0, contrast=10.0, before=after[z - 1], after=each, across=across[z],
            neighbours=(z - 1, z + 1), apart={1: 0.75, 2: 0.5, 3: 0.3, 4: 0.2},
        )
        for z, each in enumerate(after)
    ]  # fmt: skip
    view = View(SliceStack(np.zeros((len(traits), 64, 64), np.uint8)))
    found = Findings(view, traits, [()] * len(traits), [], {}).all()
    return {each.z for each in found if each.gap and each.p >= 0.5}


def test_lost_sections_are_told_by_what_is_usual_nearby():
    random = np.random.default_rng(0)
    slow = np.linspace(0.9, 0.55, 40) + random.normal(0, 0.02, 40)
    assert gaps(slow, None) == set()
    assert gaps(slow, 8) == {8}
    assert gaps(slow, 30) == {30}


def test_likeness_that_jumps_everywhere_tells_of_no_lost_sections():
    weak = np.where(np.random.default_rng(0).random(40) < 0.3, 0.25, 0.65)
    assert gaps(weak, None) == set()


def found_in(candidates, peaks, blurred=()):
    """What is found in alike sections with these candidates, some of which are blurred."""
    traits = [
        Traits(
            z, level=100.0, contrast=10.0, before=0.8, after=0.8, across=0.6, fit=0.8,
            neighbours=(z - 1, z + 1), apart={1: 0.8, 2: 0.6},
        )
        for z in range(len(candidates))
    ]  # fmt: skip
    for z in blurred:
        traits[z].sharpness = np.full(4, -3, np.float32)
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


@pytest.mark.parametrize(("chance", "told"), [(1.0, True), (0.3, True), (0.02, False)])
def test_a_spot_with_which_a_neighbour_goes_on_is_tissue_however_dark(chance, told):
    candidates = [(Candidate("dark wide", 1.0, REGION),) for _ in range(14)]
    candidates[6] = (Candidate("dark wide", 9.0, REGION, chance=chance),)
    found = found_in(candidates, {"dark wide": [5.0, 6.0]})
    assert found == ({6: "contamination"} if told else {})


def test_what_stands_out_in_broken_sections_does_not_hide_a_hair():
    far = np.full(16, 0.15)
    far[[3, 9, 12]] = 1.0, 0.48, 1.0
    candidates = [(Candidate("dark far", peak, REGION, long=True),) for peak in far]
    assert found_in(candidates, {}, blurred=[3, 12]) == {3: "blur", 9: "fold", 12: "blur"}


def test_probability_rises_with_the_score_and_with_what_was_planted():
    usual = Usual({"light": [1.0, 1.1, 0.9, 1.2, 1.0, 0.8]}, {"light": [3.0, 4.0, 6.0]})
    scores = np.linspace(-2, 20, 40)
    p = [usual.probability("light", score) for score in scores]
    assert (np.diff(p) >= 0).all()
    assert p[0] < 0.01
    assert p[-1] > 0.99
    strong = Usual({"light": [1.0, 1.1, 0.9, 1.2, 1.0, 0.8]}, {"light": [30.0, 40.0]})
    assert strong.probability("light", 12) < usual.probability("light", 12)


@pytest.mark.parametrize(
    ("sign", "long", "kind"),
    [
        ("dark", False, "contamination"),
        ("dark long", True, "fold"),
        ("light wide", False, "hole"),
        ("light", True, "crack"),
        ("soft", False, "blur"),
        ("flat", True, "missing"),
    ],
)
def test_kinds(sign, long, kind):
    region = Region.from_mask(np.ones((3, 3)))
    assert kind_of(Candidate(sign, 1.0, region, long), 10**4) == kind


def test_a_large_bright_patch_with_structure_is_charging():
    region = Region.from_mask(np.ones((30, 30)))
    candidate = Candidate("light wide", 1.0, region, textured=True, agrees=True)
    assert kind_of(candidate, 10**4) == "charging"
    assert kind_of(candidate, 10**7) == "hole"


@pytest.mark.parametrize(
    ("width", "seen", "kind"),
    [(16, True, "charging"), (16, False, "crack"), (4, True, "crack")],
)
def test_a_broad_light_band_in_which_structure_shows_is_charging(width, seen, kind):
    region = Region.from_mask(np.ones((width, 200)))
    candidate = Candidate("light far", 1.0, region, True, textured=seen, agrees=seen)
    assert kind_of(candidate, 10**5) == kind
