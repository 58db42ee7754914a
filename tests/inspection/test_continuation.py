from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.continuation import with_chances
from napari_ssan.inspection.look import Sighting
from napari_ssan.inspection.pictures import Scale
from napari_ssan.inspection.places import DOUBTFUL, weighed
from napari_ssan.inspection.regions import Candidate
from napari_ssan.inspection.registered import Registered
from napari_ssan.stack.region import Region

WAYS = {"dark wide": -1, "light wide": 1, "like contamination": -1, "like hole": 1}


def tissue(*spots, way=-1):
    """Grain, with square spots of 12 pixels at these places."""
    picture = np.random.default_rng(1).normal(0, 0.2, (120, 140)).astype(np.float32)
    for row, column in spots:
        picture[row : row + 12, column : column + 12] = 3.0 * way
    return picture


def sighting(z, picture, scale=(0.0, 1.0)):
    nothing = np.zeros(picture.shape, bool)
    return Sighting(z, picture, scale=Scale(*scale), smooth=picture, flat=nothing)


def chance(sign, own, *others, scales=((0.0, 1.0), (0.0, 1.0))):
    region = Region.from_mask(np.ones((12, 12), bool), 50, 60)
    neighbours = tuple(
        sighting(z, other, scale) for z, scale, other in zip((1, 3), scales, others, strict=True)
    )
    beside = Registered(sighting(2, own), neighbours)
    (told,) = with_chances([Candidate(sign, 1.0, region)], beside)
    return told.chance


@pytest.mark.parametrize("sign", WAYS)
def test_a_spot_beside_which_a_neighbour_has_another_is_no_chance(sign):
    way = WAYS[sign]
    own, without = tissue((50, 60), way=way), tissue(way=way)
    assert chance(sign, own, without, tissue((53, 58), way=way)) < 0.01
    assert chance(sign, own, tissue((47, 63), way=way), without) < 0.01
    assert chance(sign, own, without, tissue((5, 5), way=way)) == 1
    assert chance(sign, own, without, tissue((50, 60), way=-way)) == 1


def test_where_such_spots_are_everywhere_they_say_little():
    everywhere = tissue(
        *[(row, column) for row in range(0, 108, 16) for column in range(0, 120, 16)]
    )
    assert chance("dark wide", tissue((50, 60)), tissue(), everywhere) > 0.3


def end(depth=3.0, *others):
    """Tissue with the end of a rod: a spot of six pixels, and others beside it."""
    picture = tissue()
    for row, column in ((50, 60), *others):
        picture[row : row + 6, column : column + 6] = -depth
    return picture


@pytest.mark.parametrize("sign", ["dark", "dark wide", "like contamination"])
def test_a_neighbour_that_has_an_end_of_a_spot_goes_on_with_it(sign):
    assert chance(sign, tissue((50, 60)), tissue(), end()) < 0.01
    assert chance(sign, tissue((50, 60)), end(), tissue()) < 0.01


def test_the_same_holds_of_what_is_light():
    assert chance("light", -tissue((50, 60)), -tissue(), -end()) < 0.01
    assert chance("light", -tissue((50, 60)), -tissue(), -end(depth=1.5)) == 1


def test_what_is_pale_or_lies_elsewhere_is_no_end_of_a_spot():
    assert chance("dark wide", tissue((50, 60)), tissue(), end(depth=1.5)) == 1
    elsewhere = tissue()
    elsewhere[5:11, 5:11] = -3
    assert chance("dark wide", tissue((50, 60)), tissue(), elsewhere) == 1


def test_an_end_says_nothing_where_such_things_are_everywhere():
    many = [(row, column) for row in range(2, 110, 18) for column in range(6, 130, 18)]
    assert chance("dark wide", tissue((50, 60)), tissue(), end(3.0, *many)) == 1


def test_a_neighbour_that_is_dark_in_large_parts_is_asked_in_the_sections_own_grey_values():
    dark = tissue((50, 60)) / 2
    assert chance("dark wide", tissue((50, 60)), tissue(), dark) == 1
    assert chance("dark wide", tissue((50, 60)), tissue(), dark, scales=((0, 1), (0, 2))) < 0.01


def test_other_signs_are_not_asked():
    assert chance("dark long", tissue((50, 60)), tissue(), tissue((50, 60))) == 1


def test_damage_is_less_probable_the_smaller_the_chance():
    assert weighed(0.7, 1.0) == pytest.approx(0.7)
    assert 0.7 > weighed(0.7, 0.1) > weighed(0.7, 0.01) > 0
    assert weighed(1.0, 0.01) > DOUBTFUL
