from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.engine.tiles import BandBlender, TileGrid

SHAPES = [(40, 300), (256, 256), (257, 449), (1000, 700)]


def blend(grid: TileGrid, window, tile_of) -> np.ndarray:
    blender = BandBlender(grid, window)
    tops, lefts = grid.origins(0, window[0]), grid.origins(1, window[1])
    rows = []
    for top in tops:
        for left in lefts:
            blender.add(left, tile_of(top, left))
        rows += [band for _, band in blender.finish_row(top, last=top == tops[-1])]
    return np.vstack(rows)


@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_cut_from_an_image_blend_to_that_image(shape):
    grid = TileGrid(shape, 256, 64)
    image = np.random.default_rng(0).random(shape).astype(np.float32)

    def cut(top: int, left: int) -> np.ndarray:
        return grid.pad(image[top : top + 256, left : left + 256])

    for window in ((slice(0, shape[0]), slice(0, shape[1])), (slice(17, 39), slice(201, 239))):
        made = blend(grid, window, cut)
        np.testing.assert_allclose(made, image[window], atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_grid_is_fixed_to_the_section(shape):
    grid = TileGrid(shape, 256, 64)
    whole = slice(0, shape[0]), slice(0, shape[1])
    everything = {(y, x) for y in grid.origins(0, whole[0]) for x in grid.origins(1, whole[1])}
    window = slice(shape[0] // 2, shape[0] // 2 + 5), slice(30, 40)
    some = {(y, x) for y in grid.origins(0, window[0]) for x in grid.origins(1, window[1])}
    assert some <= everything
    touching = {
        (y, x) for y, x in everything
        if y < window[0].stop and y + 256 > window[0].start and x < 40 and x + 256 > 30
    }  # fmt: skip
    assert some == touching
    assert grid.count(whole) == len(everything) == len(grid)
    assert all(y % 64 == 0 and x % 64 == 0 for y, x in everything)


def test_overlapping_tiles_fade_into_each_other():
    grid = TileGrid((256, 448), 256, 64)
    window = slice(0, 256), slice(0, 448)
    made = blend(grid, window, lambda top, left: np.full((256, 256), float(left > 0), np.float32))
    across = made[128, 192:256]
    assert (np.diff(across) > 0).all()
    assert np.abs(np.diff(across)).max() < 0.03


def test_reach_is_what_the_tiles_cover():
    grid = TileGrid((1000, 700), 256, 64)
    assert grid.reach((slice(200, 210), slice(0, 10))) == (slice(0, 448), slice(0, 256))
