from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.engine.methods import FLOW_TILING, TILING, network_tiling
from napari_ssan.engine.tiles import Blender, TileGrid, Tiling
from napari_ssan.stack.region import Region

SHAPES = [(40, 300), (256, 256), (257, 449), (640, 641), (1000, 700), (2100, 1500)]
TILINGS = [TILING, FLOW_TILING, Tiling(256, 64), Tiling(128, 48, multiple=64, context=32)]


def whole(shape) -> tuple[slice, slice]:
    return slice(0, shape[0]), slice(0, shape[1])


def windows(shape) -> list[tuple[slice, slice]]:
    """All of a section, parts in its middle and its corners, and a single pixel."""
    height, width = shape
    return [
        whole(shape),
        (slice(17, 39), slice(201, 239)),
        (slice(0, 5), slice(0, width)),
        (slice(height - 9, height), slice(width - 80, width)),
        (slice(height // 2, height // 2 + 1), slice(width // 2, width // 2 + 1)),
    ]


def blend(grid: TileGrid, tile_of) -> np.ndarray:
    made = np.zeros([part.stop - part.start for part in grid.window], np.float32)
    blender = Blender(grid, made)
    for number, top in enumerate(grid.tops):
        for left in grid.lefts:
            blender.add(top, left, tile_of(top, left))
        blender.finish_row(number)
    return made


@pytest.mark.parametrize("tiling", TILINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_cut_from_an_image_blend_to_that_image(shape, tiling):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    for window in windows(shape):
        grid = tiling.grid(shape, window)

        def cut(top: int, left: int, grid: TileGrid = grid) -> np.ndarray:
            return grid.pad(image[top : top + grid.tile[0], left : left + grid.tile[1]])

        np.testing.assert_allclose(blend(grid, cut), image[window], atol=1e-5)


@pytest.mark.parametrize("tiling", TILINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_cover_what_is_wanted_and_what_lies_around_it(shape, tiling):
    for window in windows(shape):
        grid = tiling.grid(shape, window)
        assert len(grid) == len(grid.tops) * len(grid.lefts)
        assert grid.pixels == len(grid) * grid.tile[0] * grid.tile[1]
        for starts, tile, part, length in zip(
            (grid.tops, grid.lefts), grid.tile, window, shape, strict=True
        ):
            assert tile % tiling.multiple == 0
            assert tiling.smallest <= tile <= max(tiling.largest, tiling.smallest)
            assert starts[0] <= max(part.start - tiling.context, 0)
            assert starts[-1] + tile >= min(part.stop + tiling.context, length)
            assert starts[0] >= max(part.start - tiling.reach, 0)
            # Tiles lie in the section if that is large enough, and share what they should.
            assert starts[0] >= 0
            assert starts[-1] + tile <= max(length, tile)
            steps = np.diff(starts)
            assert all(tile - steps >= tiling.overlap)
            assert np.ptp(steps) <= 1 if len(steps) else True


def share_computed(height: int, width: int) -> float:
    return TILING.grid((height, width), whole((height, width))).pixels / (height * width)


def test_a_section_is_computed_little_more_than_once():
    usual = [(1024, 1024), (1024, 2048), (2048, 2048), (4096, 4096), (8192, 8192), (4096, 6000)]
    assert max(share_computed(*shape) for shape in usual) <= 1.3
    # Sizes are rounded up: of any other shape it is a little more, or less.
    shares = [share_computed(side, side) for side in range(1024, 8192, 7)]
    assert np.mean(shares) <= 1.3
    assert max(shares) <= 1.52


def test_a_lasso_computes_little_more_than_itself():
    shape = (4096, 4096)
    grid = TILING.grid(shape, (slice(1900, 2200), slice(700, 1000)))
    assert (len(grid), grid.tile) == (1, (384, 384))
    # At the section's border, too.
    assert TILING.grid(shape, (slice(0, 300), slice(3796, 4096))).tile == (384, 384)


@pytest.mark.parametrize(
    ("multiple", "trained", "largest", "overlap"),
    [(64, 256, 640, 48), (64, 1024, 1024, 48), (32, 64, 512, 48), (2, 32, 32, 16), (4, 32, 64, 32)],
)
def test_no_tile_is_larger_than_attention_takes_or_training_took(
    multiple, trained, largest, overlap
):
    tiling = network_tiling(multiple, trained)
    assert (tiling.largest, tiling.overlap, tiling.multiple) == (largest, overlap, multiple)
    grid = tiling.grid((1024, 1024), whole((1024, 1024)))
    assert max(grid.tile) <= largest


def test_overlapping_tiles_fade_into_each_other():
    grid = Tiling(256, 64).grid((256, 448), whole((256, 448)))
    assert grid.lefts == (0, 192)
    made = blend(grid, lambda top, left: np.full((256, 256), float(left > 0), np.float32))
    across = made[128, 192:256]
    assert (np.diff(across) > 0).all()
    assert np.abs(np.diff(across)).max() < 0.03


def test_tiles_without_a_pixel_of_a_region_are_left_out():
    region = Region.from_mask(np.eye(900, dtype=bool), 50, 60)
    shape, tiling = (1000, 1000), Tiling(256, 64, context=8)
    grid = tiling.grid(shape, region.window, region)
    full = tiling.grid(shape, region.window)
    assert (grid.tops, grid.lefts, grid.tile) == (full.tops, full.lefts, full.tile)
    assert full.complete().all()
    assert len(grid) < len(full) == len(full.tops) * len(full.lefts)
    assert grid.pixels == len(grid) * grid.tile[0] * grid.tile[1]
    made = np.zeros(shape, bool)
    for top, lefts in zip(grid.tops, grid.rows, strict=True):
        for left in lefts:
            made[grid.part(top, left)] = True
    complete = grid.complete()
    assert not complete.all()
    assert complete[np.arange(900), np.arange(900)].all()
    assert (made[region.window] | ~complete).all()
    for step in (-1, 0, 1):  # and what touches it
        rows = 50 + np.arange(900)
        assert made[rows, rows + 10 + step].all()


def test_columns_are_those_that_the_tiles_cover():
    grid = Tiling(256, 64).grid((1000, 700), (slice(200, 210), slice(0, 10)))
    assert grid.columns == slice(0, 10)
    assert Tiling(256, 64).grid((50, 300), whole((50, 300))).columns == slice(0, 300)
