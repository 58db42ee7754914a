from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.find import SURE
from napari_ssan.inspection.judge import PRIOR, Usual
from napari_ssan.inspection.places import DOUBTFUL, SEEN, SELDOM, SMALLEST, agreed, places
from napari_ssan.inspection.regions import Candidate
from napari_ssan.inspection.signs import SIGNS
from napari_ssan.stack.region import Region

#: Every sign is usually 1, and was planted between 4 and 9.
USUAL = Usual({sign: [0.8, 0.9, 1.0, 1.1, 1.2] for sign in SIGNS}, {s: [4.0, 9.0] for s in SIGNS})


def box(top, left, height, width):
    return Region.from_mask(np.ones((height, width)), top, left)


def seen(*candidates):
    return places(candidates, USUAL, np.zeros((200, 200), bool), alone=False)


def test_a_rule_and_the_network_are_more_probable_together_but_less_than_if_independent():
    odds = PRIOR / (1 - PRIOR)
    both = agreed(0.4, 0.3)
    assert 0.4 < both < 0.9
    independent = (0.4 / 0.6) * (0.3 / 0.7) / odds
    assert both < independent / (1 + independent)
    assert agreed(0.3, 0.4) == pytest.approx(both)
    assert agreed(PRIOR, PRIOR) == pytest.approx(PRIOR)
    assert agreed(1.0, 1.0) > 0.999


def test_a_piece_beside_a_place_belongs_to_it_but_one_farther_away_does_not():
    whole = Candidate("soft", 9.0, box(50, 50, 30, 30))
    piece = Candidate("like blur", 8.0, box(84, 50, 6, 20))
    elsewhere = Candidate("like blur", 8.0, box(150, 150, 6, 20))
    (found,) = seen(whole, piece)
    assert found.region.pixels == 30 * 30 + 6 * 20
    assert [each.region.pixels for each in seen(whole, elsewhere)] == [30 * 30, 6 * 20]


def test_a_broad_patch_around_a_spot_is_the_spot_but_blur_around_it_is_damage_of_its_own():
    spot = Candidate("light", 12.0, box(90, 90, 10, 10))
    patch = Candidate("light broad", 9.0, box(60, 60, 70, 70))
    (found,) = seen(spot, patch)
    assert found.region is spot.region
    blur = Candidate("soft", 9.0, box(60, 60, 70, 70))
    assert {each.candidate for each in seen(spot, blur)} == {spot, blur}
    shade = Candidate("dark broad", 9.0, box(60, 60, 70, 70))
    assert {each.candidate for each in seen(spot, shade)} == {spot, shade}


@pytest.mark.parametrize(("sign", "doubted"), [("dark far", True), ("dark", False)])
def test_a_line_of_which_the_network_sees_little_is_doubted_but_not_a_spot(sign, doubted):
    region, long = box(20, 60, 160, 6), sign == "dark far"
    (faint,) = seen(Candidate(sign, 3.55, region, long, logit=-1.0))
    (clear,) = seen(Candidate(sign, 3.55, region, long, logit=1.0))
    assert SEEN < faint.told < SURE
    assert (faint.p < SEEN) == doubted
    assert clear.p == faint.told


def test_a_straight_line_goes_on_beyond_what_is_traced_of_it_but_does_not_tell_its_width():
    traced = Candidate("light far", 9.0, box(90, 60, 6, 60), long=True)
    whole = Candidate("light straight", 12.0, box(92, 5, 3, 190), long=True)
    (found,) = seen(traced, whole)
    assert found.candidate is traced
    assert found.region.pixels == 6 * 60 + 3 * 130
    same = Candidate("light straight", 12.0, box(92, 55, 3, 70), long=True)
    (found,) = seen(traced, same)
    assert found.region is traced.region
    (found,) = seen(whole)
    assert found.candidate is whole


def test_what_is_seen_of_a_spot_says_nothing_of_a_splinter_at_its_edge():
    spot = Candidate("like contamination", 9.0, box(60, 60, 40, 40))
    splinter = Candidate("like fold", 4.0, box(101, 60, 4, 12), long=True, logit=2.0)
    (alone,) = seen(splinter)
    blur = Candidate("soft", 9.0, box(62, 62, 42, 36))
    first, second = seen(spot, splinter, blur)
    assert (first.candidate, second.candidate) == (spot, splinter)
    assert second.p == alone.p
    (whole,) = seen(spot)
    assert first.p > whole.p


def test_what_is_darker_than_both_sides_of_a_crack_is_no_fold():
    crack = Candidate("light long", 12.0, box(20, 60, 160, 6), long=True)
    side = Candidate("dark long", 3.5, box(20, 69, 160, 6), long=True)
    (found,) = seen(crack, side)
    assert found.candidate is crack
    fold = Candidate("dark long", 9.0, box(20, 69, 160, 6), long=True)
    assert {each.candidate for each in seen(crack, fold)} == {crack, fold}


@pytest.mark.parametrize(("sign", "height"), [("dark long", 5), ("light broad", 40)])
def test_the_edge_of_a_margin_is_no_damage_however_much_it_stands_out(sign, height):
    margin = Candidate("flat", 3.0, box(0, 0, 40, 200))
    edge = Candidate(sign, 30.0, box(43, 20, height, 160), long=True)
    (found,) = seen(edge, margin)
    assert found.candidate is margin
    fold = Candidate("dark long", 30.0, box(120, 20, 5, 160), long=True)
    assert {each.candidate for each in seen(fold, margin)} == {fold, margin}


def test_a_rule_tells_how_far_a_line_goes():
    network = Candidate("like fold", 40.0, box(60, 60, 60, 5), long=True)
    rule = Candidate("dark long", 8.0, box(20, 60, 160, 5), long=True)
    (found,) = seen(network, rule)
    assert found.candidate is network
    assert found.region is rule.region
    unsure = Candidate("dark long", 1.5, box(20, 60, 160, 5), long=True)
    (found,) = seen(network, unsure)
    assert found.region is network.region


@pytest.mark.parametrize("pixels", [SMALLEST - 1, SMALLEST])
def test_a_few_pixels_are_grain(pixels):
    found = seen(Candidate("dark", 9.0, box(50, 50, 1, pixels)))
    assert len(found) == (pixels >= SMALLEST)


def test_beside_a_sure_place_another_is_more_probable():
    doubtful = Candidate("dark", 2.3, box(20, 20, 8, 8))
    (alone,) = seen(doubtful)
    _, second = seen(Candidate("light", 12.0, box(120, 120, 20, 20)), doubtful)
    assert second.candidate is doubtful
    assert alone.p < second.p


def test_beside_a_spot_that_is_tissue_another_is_not_more_probable():
    doubtful = Candidate("dark", 2.3, box(20, 20, 8, 8))
    rod = Candidate("light", 14.0, box(120, 120, 20, 20), chance=SELDOM / 2)
    (alone,) = seen(doubtful)
    first, second = seen(rod, doubtful)
    assert (first.candidate, first.p) == (rod, DOUBTFUL)
    assert second.p == alone.p
