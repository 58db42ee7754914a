from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import napari_ssan
from napari_ssan import BadInput, Marks, Region
from napari_ssan.engine import correction as module
from napari_ssan.engine.correction import Fields, fit
from napari_ssan.events import Progress
from napari_ssan.metrics.fidelity import psnr


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """(9, 256, 288) uint8."""
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((9, 256, 288)), (1, 2, 2))
    grain = random.normal(0, 6, structure.shape)
    return (128 + 30 * structure / structure.std() + grain).clip(1, 254).astype(np.uint8)


def shaded(section: np.ndarray) -> np.ndarray:
    """Darker towards one side, and faint."""
    ramp = np.linspace(-40, 20, section.shape[1])
    return (60 + 0.5 * section.astype(float) + ramp).round().clip(0, 255)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_a_shaded_section_is_brought_to_its_neighbours(clean, dtype):
    truth = clean.astype(dtype)
    stack = truth.copy()
    stack[4] = shaded(truth[4])
    repaired = napari_ssan.repair(stack, [4], method="average", treatment="correct")
    out = np.asarray(repaired)
    assert out.dtype == stack.dtype
    synthetic = np.asarray(napari_ssan.repair(stack, [4], method="average"))[4]
    scale = [section.astype(np.uint8) for section in (truth[4], out[4], synthetic, stack[4])]
    assert psnr(scale[0], scale[1]) > psnr(scale[0], scale[2]) + 3
    assert psnr(scale[0], scale[1]) > psnr(scale[0], scale[3]) + 6
    neighbours = truth[[3, 5]]
    assert neighbours.min() <= out[4].min() < out[4].max() <= neighbours.max()
    np.testing.assert_array_equal(np.delete(out, 4, 0), np.delete(stack, 4, 0))


def test_the_record_calls_it_corrected_and_names_the_transform(clean):
    stack = clean.copy()
    stack[4] = shaded(clean[4])
    repaired = napari_ssan.repair(stack, Marks({4}, corrected={4}), method="average")
    (record,) = repaired.provenance.sections
    assert record.corrected
    assert (record.method, record.model, record.neighbours) == ("correct", None, (3, 5))
    assert str(record) == "slice 4: corrected, matched to 3 and 5"
    assert repaired.provenance.numbers == frozenset()
    transform = record.transform
    assert transform.window == (0, 0, 256, 288)
    assert np.shape(transform.gain) == np.shape(transform.offset) == (4, 4)
    assert 1.5 < np.mean(transform.gain) < 2.5
    assert not repaired.synthetic(()).any()
    assert repaired.corrected(4).all()
    assert repaired.corrected(()).sum() == repaired.corrected(4).sum()
    assert np.isnan(repaired.expected_error[4]).all()


def test_a_region_is_corrected_and_the_rest_is_not_touched(clean):
    rows, columns = np.indices((256, 288))
    bump = np.exp(-((rows - 70) ** 2 + (columns - 90) ** 2) / (2 * 15**2))
    stack = clean.astype(np.float32)
    stack[4] += 60 * bump
    mask = bump > 0.05
    marks = Marks(regions={4: [Region.from_mask(mask)]})
    marks.treat([4], "correct")
    out = np.asarray(napari_ssan.repair(stack, marks, method="average"))
    np.testing.assert_array_equal(out[4][~mask], stack[4][~mask])
    before, after = (np.abs(each[4] - clean[4])[mask].mean() for each in (stack, out))
    assert after < 0.6 * before


def test_what_is_synthesized_lies_over_what_is_corrected(clean):
    inner, outer = np.zeros((2, 256, 288), bool)
    inner[60:80, 60:80], outer[40:110, 40:120] = True, True
    regions = [Region.from_mask(inner), Region.from_mask(outer)]
    marks = Marks(regions={4: [regions[0], Region(**vars(regions[1]) | {"treatment": "correct"})]})
    repaired = napari_ssan.repair(clean, marks, method="average")
    np.testing.assert_array_equal(repaired.synthetic(4), inner)
    np.testing.assert_array_equal(repaired.corrected(4), outer & ~inner)


@pytest.fixture(scope="module")
def dirty(clean) -> tuple[np.ndarray, Region]:
    """Section 4 is shaded, and has a hole, all of which is in the region."""
    stack = clean.copy()
    stack[4] = shaded(clean[4])
    hole = np.hypot(*(np.indices(clean[4].shape) - np.reshape((100, 150), (2, 1, 1)))) < 40
    stack[4][hole] = 255
    return stack, Region.from_mask(hole)


def test_a_region_of_a_corrected_section_is_fitted_to_its_corrected_pixels(clean, dirty):
    stack, region = dirty
    hole = np.zeros(clean[4].shape, bool)
    hole[region.window] = region.mask
    marks = Marks({4}, {4: [region]}, corrected={4})
    repaired = napari_ssan.repair(stack, marks, method="average")
    np.testing.assert_array_equal(repaired.synthetic(4), hole)
    np.testing.assert_array_equal(repaired.corrected(4), ~hole)
    assert [record.word for record in repaired.provenance.sections] == ["corrected", "synthetic"]
    out = np.asarray(repaired)
    then = napari_ssan.repair(out, Marks(regions={4: [region]}), method="average")
    np.testing.assert_array_equal(np.asarray(then), out)
    blind = napari_ssan.repair(stack, Marks(regions={4: [region]}), method="average")
    error, before = (
        np.abs(each[4].astype(float) - clean[4])[hole].mean() for each in (out, np.asarray(blind))
    )
    assert error < 0.7 * before


def test_what_is_synthesized_sways_no_correction(clean, dirty):
    stack, region = dirty
    marks = Marks({4}, {4: [region]}, corrected={4})
    without = stack.copy()
    without[4] = shaded(clean[4])
    made, wanted = (napari_ssan.repair(each, marks, method="average") for each in (stack, without))
    np.testing.assert_array_equal(np.asarray(made), np.asarray(wanted))


def test_a_corrected_section_may_be_not_finite_where_it_is_synthesized(dirty):
    stack, region = dirty
    stack = stack.astype(np.float32)
    stack[4][region.window][region.mask] = np.nan
    marks = Marks({4}, {4: [region]}, corrected={4})
    assert np.isfinite(np.asarray(napari_ssan.repair(stack, marks, method="average"))).all()
    everything = Marks({4}, {4: [Region.from_mask(np.ones((256, 288), bool))]}, corrected={4})
    with pytest.raises(BadInput, match="regions of slice 4 leave less than 1% of it"):
        napari_ssan.repair(stack, everything, method="average")
    corrected = Marks({4}, {4: [replace(region, treatment="correct")]}, corrected={4})
    with pytest.raises(BadInput, match="not finite"):
        napari_ssan.repair(stack, corrected, method="average")


def test_a_few_lines_that_are_left_are_enough(clean, monkeypatch):
    """Of large sections, not every line is looked at."""
    monkeypatch.setattr(module, "SAMPLE", 2**12)
    mask = np.ones(clean[4].shape, bool)
    mask[1:4] = False
    marks = Marks({4}, {4: [Region.from_mask(mask)]}, corrected={4})
    repaired = napari_ssan.repair(clean, marks, method="average")
    np.testing.assert_array_equal(repaired.synthetic(4), mask)


def test_regions_to_be_corrected_in_a_corrected_section_change_nothing(dirty):
    stack, region = dirty
    plain = napari_ssan.repair(stack, Marks({4}, corrected={4}), method="average")
    marks = Marks({4}, {4: [replace(region, treatment="correct")]}, corrected={4})
    both = napari_ssan.repair(stack, marks, method="average")
    np.testing.assert_array_equal(np.asarray(both), np.asarray(plain))


def test_an_inserted_section_is_synthesized_whatever_the_treatment(clean):
    marks = Marks({4}, missing={4: 1})
    repaired = napari_ssan.repair(clean, marks, method="average", treatment="correct")
    assert [record.method for record in repaired.provenance.sections] == ["correct", "average"]
    assert marks.corrected == set()


def test_large_sections_are_corrected_in_tiles(clean, monkeypatch):
    stack = clean.copy()
    stack[4] = shaded(clean[4])
    whole = np.asarray(napari_ssan.repair(stack, [4], method="average", treatment="correct"))
    from napari_ssan.engine import correction, repair
    from napari_ssan.engine.tiles import Tiling

    monkeypatch.setattr(repair, "CORRECTION", Tiling(64, 0))
    seen = []
    tiled = napari_ssan.repair(
        stack, [4], method="average", treatment="correct", progress=seen.append
    )
    np.testing.assert_array_equal(np.asarray(tiled), whole)
    steps = [event for event in seen if isinstance(event, Progress)]
    assert len(steps) == steps[-1].total >= 9
    monkeypatch.setattr(correction, "SAMPLE", 256 * 288 // 4)
    thinned = np.asarray(napari_ssan.repair(stack, [4], method="average", treatment="correct"))
    assert psnr(whole[4], thinned[4]) > 35


@pytest.mark.parametrize("kind", ["constant", "not finite", "incomplete"])
def test_pixels_that_hold_no_image_cannot_be_corrected(clean, kind):
    stack = napari_ssan.stack.sections.SliceStack(clean.astype(np.float32))
    if kind == "incomplete":
        stack.incomplete = frozenset({4})
    else:
        stack.data[4] = 7 if kind == "constant" else np.nan
    with pytest.raises(BadInput, match="synthesize it instead"):
        napari_ssan.repair(stack, [4], method="average", treatment="correct")


def test_no_such_treatment(clean):
    with pytest.raises(BadInput, match="no treatment 'polish'; choose one of synthesize, correct"):
        napari_ssan.repair(clean, [4], method="average", treatment="polish")


def test_at_the_end_of_a_stack_one_neighbour_serves(clean):
    stack = clean.copy()
    stack[0] = 30 + clean[0] // 2
    out = np.asarray(napari_ssan.repair(stack, [0], method="average", treatment="correct"))
    assert psnr(clean[0], out[0]) > 25


def test_tissue_that_changes_is_no_shading():
    """A rectangle that differs no more than both neighbours differ from each other stays."""
    random = np.random.default_rng(0)
    coarse = np.kron(random.normal(0, 20, (3, 4, 4)), np.ones((32, 32)))
    own, before, after = 100 + coarse + random.normal(0, 10, coarse.shape)
    gain, offset = fit(own, [before, after], np.ones(own.shape, bool), (4, 4), 0.5)
    changed = gain * own[::32, ::32] + offset - own[::32, ::32]
    assert np.abs(changed - np.median(changed)).mean() < 8


def test_fields_are_linear_between_the_middles():
    fields = Fields((slice(0, 8), slice(0, 4)), np.array([[1.0], [3.0]]), np.array([[0.0], [4.0]]))
    out = fields.apply(np.full((8, 4), 2.0), (slice(0, 8), slice(0, 4)))
    np.testing.assert_allclose(out[:, 0], [2, 2, 3, 5, 7, 9, 10, 10])
    assert (out == out[:, :1]).all()


def test_a_section_that_is_nearly_all_black_is_no_error(clean):
    stack = clean.copy()
    stack[4] = np.where(clean[4] > 190, clean[4] - 190, 0)
    assert (stack[4] == 0).mean() > 0.9
    repaired = napari_ssan.repair(stack, [4], method="average", treatment="correct")
    assert np.isfinite(repaired.provenance.sections[0].transform.gain).all()
