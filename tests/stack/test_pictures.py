from __future__ import annotations

import numpy as np

from napari_ssan.stack.pictures import OUTLINE, SMALLEST, framed, grey_limits, outlined, to_grey


def test_a_small_section_is_shown_as_it_is():
    assert framed((200, 300)) == (slice(0, 200, 1), slice(0, 300, 1))


def test_of_a_large_one_not_every_pixel_is_shown():
    rows, columns = framed((20000, 16000))
    assert rows.step == columns.step == 63
    assert len(range(20000)[rows]) <= 320


def test_a_part_is_shown_with_its_surroundings_within_the_section():
    rows, columns = framed((1000, 1000), (slice(0, 20), slice(400, 600)))
    assert rows == slice(0, SMALLEST, 2)
    assert columns == slice(300, 700, 2)


def test_grey_values_are_those_of_the_given_pictures():
    low, high = grey_limits([np.full((4, 4), 10), np.full((2, 2), 90)])
    assert (low, high) == (10, 90)
    grey = to_grey(np.array([[0, 10, 50, 90, 200, np.nan]]), (10, 90))
    assert grey.tolist() == [[0, 0, 128, 255, 255, 0]]
    assert to_grey(np.array([[5]]), (5, 5)).dtype == np.uint8


def test_a_line_goes_around_a_part_within_it():
    grey = np.full((7, 7), 50, np.uint8)
    part = np.zeros((7, 7), bool)
    part[1:6, 1:6] = True
    line = part.copy()
    line[2:5, 2:5] = False
    picture = outlined(grey, part)
    assert (picture[line] == OUTLINE).all()
    assert (picture[~line] == 50).all()
    assert (outlined(grey, None) == 50).all()
    assert (grey == 50).all()
