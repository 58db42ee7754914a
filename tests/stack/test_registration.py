from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from napari_ssan.stack.alignment import read_shifted
from napari_ssan.stack.registration import (
    HERE,
    MOST_DEFORMED,
    find_placement,
    halfway,
    placed,
    read_placed,
)
from napari_ssan.stack.sections import SliceStack

SHAPE = (420, 480)


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    return 100 + 400 * gaussian_filter(np.random.default_rng(1).standard_normal(SHAPE), 4)


def turned(degrees: float, stretch: float = 0.0, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """A placement that turns about the middle of a section, stretches its rows, and shifts."""
    angle = np.deg2rad(degrees)
    placement = HERE.copy()
    placement[:2, :2] = [
        [np.cos(angle) * (1 + stretch), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    middle = (np.array(SHAPE) - 1) / 2
    placement[:2, 2] = middle - placement[:2, :2] @ middle + shift
    return placement


def seen_from(image: np.ndarray, placement: np.ndarray) -> np.ndarray:
    """A section in which `placement` finds what `image` shows."""
    back = np.linalg.inv(placement)
    return affine_transform(image, back[:2, :2], back[:2, 2], order=3, mode="reflect")


def everywhere(z: int, window: tuple[slice, slice]) -> np.ndarray:
    return np.ones([part.stop - part.start for part in window], bool)


def corners(placement: np.ndarray) -> np.ndarray:
    rows, columns = SHAPE
    points = [(0, 0, 1), (0, columns, 1), (rows, 0, 1), (rows, columns, 1)]
    return (np.array(points) @ placement.T)[:, :2]


@pytest.mark.parametrize(
    "placement", [turned(1.5), turned(-2, 0.02), turned(1, -0.01, (9, -14)), turned(0, 0.02)]
)
def test_a_turned_and_stretched_section_is_found_through_grain(texture, placement):
    random = np.random.default_rng(2)
    pair = np.stack([texture, seen_from(texture, placement)])
    stack = SliceStack(pair + random.normal(0, 10, pair.shape))
    found = find_placement(stack, 0, 1, everywhere)
    np.testing.assert_allclose(corners(found), corners(placement), atol=0.6)


def test_a_section_that_is_only_shifted_is_only_shifted(texture):
    stack = SliceStack(np.stack([texture, seen_from(texture, placed((-7, 12)))]))
    found = find_placement(stack, 0, 1, everywhere)
    np.testing.assert_array_equal(found[:2, :2], np.eye(2))
    assert found[:2, 2] == pytest.approx((7, -12), abs=0.3)


def test_sections_in_register_and_unrelated_ones_stay(texture):
    other = 400 * gaussian_filter(np.random.default_rng(9).standard_normal(SHAPE), 4)
    stack = SliceStack(np.stack([texture, texture * 1.1 + 3, other, np.full(SHAPE, 7.0)]))
    for moving in (1, 2, 3):
        np.testing.assert_array_equal(find_placement(stack, 0, moving, everywhere), HERE)


def test_more_than_can_be_believed_is_not(texture):
    stretched = turned(0, MOST_DEFORMED + 0.1)
    stack = SliceStack(np.stack([texture, seen_from(texture, stretched)]))
    found = find_placement(stack, 0, 1, everywhere)
    np.testing.assert_array_equal(found[:2, :2], np.eye(2))


def test_marked_blocks_play_no_part(texture):
    placement = turned(1.5)
    pair = np.stack([texture, seen_from(texture, placement)])
    dirty = pair.copy()
    dirty[0, 300:, :200] = np.random.default_rng(3).normal(0, 1e4, (120, 200))

    def valid(z: int, window: tuple[slice, slice]) -> np.ndarray:
        seen = np.ones(SHAPE, bool)
        seen[300:, :200] = z != 0
        return seen[window]

    found = find_placement(SliceStack(dirty), 0, 1, valid)
    np.testing.assert_allclose(corners(found), corners(placement), atol=1)


def test_what_is_marked_in_the_other_section_plays_no_part(texture):
    placement = turned(1.5)

    def valid(z: int, window: tuple[slice, slice]) -> np.ndarray:
        seen = np.ones(SHAPE, bool)
        seen[:60, 400:] = z == 0
        return seen[window]

    found = []
    for spread in (1, 1e4):
        moving = seen_from(texture, placement)
        moving[:60, 400:] = np.random.default_rng(3).normal(0, spread, (60, 80))
        found.append(find_placement(SliceStack(np.stack([texture, moving])), 0, 1, valid))
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(corners(found[0]), corners(placement), atol=1)


def test_blocks_that_are_not_finite_play_no_part(texture):
    placement = turned(1.5)
    moving = seen_from(texture, placement)
    moving[:40, :40] = np.nan

    def valid(z: int, window: tuple[slice, slice]) -> np.ndarray:
        return everywhere(z, window) if z == 0 else np.isfinite(moving)[window]

    found = find_placement(SliceStack(np.stack([texture, moving])), 0, 1, valid)
    np.testing.assert_allclose(corners(found), corners(placement), atol=1)


def test_around_a_region_no_more_than_its_field_counts(texture):
    large = np.tile(texture, (4, 4))
    field = slice(600, 600 + SHAPE[0]), slice(700, 700 + SHAPE[1])
    placement = turned(1.5)
    offset = HERE.copy()
    offset[:2, 2] = [part.start for part in field]
    there = offset @ placement @ np.linalg.inv(offset)
    back = np.linalg.inv(there)
    moved = affine_transform(large, back[:2, :2], back[:2, 2], order=1, mode="reflect")
    found = find_placement(SliceStack(np.stack([large, moved])), 0, 1, everywhere, field)
    points = np.array([(650, 750, 1), (950, 1100, 1)])
    np.testing.assert_allclose((points @ found.T), points @ there.T, atol=1)


@pytest.mark.parametrize("shape", [(40, 40), (64, 300), (130, 130)])
def test_small_sections_are_no_error(texture, shape):
    small = texture[: shape[0], : shape[1]]
    stack = SliceStack(np.stack([small, small + 1]))
    np.testing.assert_array_equal(find_placement(stack, 0, 1, everywhere), HERE)


@pytest.mark.parametrize("position", [0.25, 0.5, 2 / 3])
@pytest.mark.parametrize("placement", [turned(2, 0.02, (5, -3)), placed((3.0, -4.5))])
def test_halfway_lies_between_on_the_way(placement, position):
    first, second = halfway(placement, position)
    np.testing.assert_allclose(placement @ first, second, atol=1e-9)
    wanted, seen = corners(HERE), corners(second) - corners(first)
    np.testing.assert_allclose(corners(first) + position * seen, wanted, atol=1e-9)


@pytest.mark.parametrize("offset", [(3.0, -4.0), (2.5, -1.3), (0.0, 0.0)])
def test_a_shift_is_read_as_ever(texture, offset):
    stack = SliceStack(np.stack([texture] * 2))
    window = slice(50, 90), slice(60, 100)
    expected = read_shifted(stack, 1, window, offset)
    np.testing.assert_array_equal(read_placed(stack, 1, window, placed(offset)), expected)


@pytest.mark.parametrize("window", [np.s_[100:140, 60:160], np.s_[0:64, 400:480]])
def test_a_window_is_read_as_a_part_of_the_whole(texture, window):
    placement = turned(3, 0.05, (4, 2))
    whole = affine_transform(texture, placement[:2, :2], placement[:2, 2], order=3, mode="reflect")
    part = read_placed(SliceStack(np.stack([texture] * 2)), 0, window, placement)
    assert part.shape == whole[window].shape
    inside = np.s_[4:, :-40]  # the whole one knows nothing of the border's spline
    np.testing.assert_allclose(part[inside], whole[window][inside], atol=0.5)


def test_no_more_is_read_than_field_and_blocks(texture):
    read = []

    class Seen(SliceStack):
        def read(self, z, window=None):
            read.append(window)
            return super().read(z, window)

    large = np.tile(texture, (8, 8))
    find_placement(Seen(np.stack([large, large])), 0, 1, everywhere)
    sides = {tuple(part.stop - part.start for part in window) for window in read}
    assert max(max(side) for side in sides) <= 1024
    assert sum(height * width for height, width in sides) < large.size / 4
