from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.judge import Usual, kind_of, slice_figures
from napari_ssan.inspection.neighbours import Traits
from napari_ssan.inspection.regions import Candidate
from napari_ssan.stack.region import Region


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


@pytest.mark.parametrize(
    "beside",
    [
        (-0.02, -0.02),
        # Where sections are little alike, they seem to lie as far on the other side.
        (-0.039, -0.03),
        (-0.02, -0.041),
    ],
)
def test_sections_beside_a_displaced_one_are_not_displaced(beside):
    traits = stack([100.0] * 7)
    for each, moved in zip(traits[2:5], (beside[0], 0.04, beside[1]), strict=True):
        each.motion = np.array((0.0, moved, 0.0))
        each.across, each.fit, each.neighbours = 0.7, 0.8, (each.z - 1, each.z + 1)
    found = [slice_figures(traits, each, 1.0)["displaced"] for each in traits[2:5]]
    assert found == pytest.approx([0, 0.04, 0])


def test_two_sections_that_are_displaced_together_are_both_displaced():
    traits = stack([100.0] * 8)
    # Both by .04, each beside one that lies where it should.
    for each, moved in zip(traits[2:6], (-0.02, 0.02, 0.02, -0.02), strict=True):
        each.motion = np.array((0.0, moved, 0.0))
        each.across, each.fit, each.neighbours = 0.7, 0.8, (each.z - 1, each.z + 1)
    found = [slice_figures(traits, each, 1.0)["displaced"] for each in traits[3:5]]
    assert found == pytest.approx([0.02, 0.02])


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
    candidate = Candidate("light wide", 1.0, region, structured=True)
    assert kind_of(candidate, 10**4) == "charging"
    assert kind_of(candidate, 10**7) == "hole"


@pytest.mark.parametrize(
    ("width", "seen", "kind"),
    [(16, True, "charging"), (16, False, "crack"), (4, True, "crack")],
)
def test_a_broad_light_band_in_which_structure_shows_is_charging(width, seen, kind):
    region = Region.from_mask(np.ones((width, 200)))
    candidate = Candidate("light far", 1.0, region, True, structured=seen)
    assert kind_of(candidate, 10**5) == kind
