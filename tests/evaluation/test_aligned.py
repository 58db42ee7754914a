"""Neighbours that lie off what is hidden are registered to it before it is judged."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from napari_ssan.engine.methods import make_method
from napari_ssan.evaluation.aligned import aligned
from napari_ssan.evaluation.evaluate import evaluate
from napari_ssan.metrics.fidelity import psnr
from napari_ssan.stack.sections import SliceStack

DRIFT = (6, -9)


@pytest.fixture(scope="module")
def drifting() -> np.ndarray:
    """(5, 200, 220) uint8, sections 1 and 3 off section 2, the same way."""
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((5, 240, 260)), (1.5, 3, 3))
    grey = 128 + 40 * structure / structure.std()
    grey[[1, 3]] = shift(grey[[1, 3]], (0, *DRIFT))
    return grey[:, 20:-20, 20:-20].clip(1, 254).astype(np.uint8)


def test_the_neighbours_come_to_lie_on_what_is_hidden(drifting):
    seen = aligned(SliceStack(drifting), (2,), 2)
    inner = slice(20, -20)
    for z in (1, 3):
        undone = shift(drifting[z].astype(float), np.negative(DRIFT))
        difference = seen.read(z)[inner, inner] - undone[inner, inner]
        assert np.abs(difference).mean() < 4
        assert seen.read(z).dtype == np.uint8
        part = slice(30, 80), slice(40, 100)
        np.testing.assert_allclose(seen.read(z, part), seen.read(z)[part], rtol=0, atol=1)


def test_all_other_sections_stay_as_they_are(drifting):
    seen = aligned(SliceStack(drifting), (2,), 2)
    for z in (0, 2, 4):
        np.testing.assert_array_equal(seen.read(z), drifting[z])


def test_a_stack_of_any_axes_is_aligned_along_its_own(drifting):
    turned = SliceStack(np.moveaxis(drifting, 0, -1), z_axis=2)
    seen = aligned(turned, (2,), 2)
    assert seen.shape == turned.shape
    expected = aligned(SliceStack(drifting), (2,), 2)
    np.testing.assert_array_equal(seen.read(1), expected.read(1))


@pytest.mark.parametrize("gap", [1, 2, 3])
def test_every_section_of_a_gap_has_the_neighbours_where_it_has_them(gap):
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((5, 240, 260)), (3, 3, 3))
    still = 128 + 40 * structure / structure.std()
    drifting = np.stack([shift(section, (5 * (-1) ** z, 3 * z)) for z, section in enumerate(still)])
    still, drifting = (
        stack[:, 20:-20, 20:-20].clip(1, 254).astype(np.uint8) for stack in (still, drifting)
    )
    methods = {"average": make_method("average", "", "auto")}
    block = tuple(range(1, 1 + gap))

    def figures(stack, align):
        *_, found = evaluate(SliceStack(stack), (block,), methods, align=align)
        assert [row["section"] for row in found.rows["average"]] == list(block)
        assert (found.sections, found.gap, len(found.real)) == (list(block), gap, gap)
        # The rim comes from beyond a neighbour's border.
        inner = slice(25, -25)
        return [
            psnr(found.crops[z]["real"][inner, inner], found.crops[z]["average"][inner, inner])
            for z in block
        ]

    pairs = zip(figures(still, False), figures(drifting, True), strict=True)
    assert all(after > before - 4 for before, after in pairs)


def test_floats_near_the_limit_stay_finite(drifting):
    high = np.where(drifting > 128, np.finfo(np.float16).max, 0).astype(np.float16)
    assert np.isfinite(aligned(SliceStack(high), (2,), 2).read(1)).all()


def test_drift_is_no_error_then(drifting):
    stack = SliceStack(drifting)
    methods = {"average": make_method("average", "", "auto")}
    before = drifting.copy()
    plain, without = (
        list(evaluate(stack, ((2,),), methods, align=align))[-1].rows["average"][0]["psnr"]
        for align in (False, True)
    )
    assert without > plain + 3
    np.testing.assert_array_equal(drifting, before)


def test_the_pictures_show_the_neighbours_where_they_were_used(drifting):
    stack = SliceStack(drifting)
    methods = {"copy": make_method("copy", "", "auto")}
    *_, found = evaluate(stack, ((2,),), methods, align=True)
    crops = found.crops[2]
    np.testing.assert_array_equal(crops["before"], aligned(stack, (2,), 2).read(1))
    np.testing.assert_array_equal(crops["real"], drifting[2])
