"""Covers: napari_ssan.events"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import napari_ssan
from napari_ssan import BadInput, Marks, Region
from napari_ssan.engine.expected_error import (
    UNKNOWN,
    coloured,
    error_sentence,
    gap_factor,
    scale_end,
    summarize,
)
from napari_ssan.engine.methods import TILING
from napari_ssan.engine.provenance import ErrorSummary, SyntheticSection
from napari_ssan.engine.repaired import Patch, RepairedStack
from napari_ssan.stack.sections import SliceStack


def disk(top: int = 30, left: int = 40, size: int = 30) -> Region:
    y, x = (np.indices((size, size)) + 0.5) / size * 2 - 1
    return Region(top, left, y**2 + x**2 < 1)


def record(error: ErrorSummary | None, neighbours=(1, 3), share=1.0) -> SyntheticSection:
    return SyntheticSection(
        section=2, kind="whole", share=share, neighbours=neighbours, position=0.5,
        method="average", error=error,
    )  # fmt: skip


@pytest.mark.parametrize("axis", [0, 2])
def test_it_is_zero_where_a_pixel_is_real(volume, axis):
    defects = Marks({2}, {5: [disk()]}, {6: 1})
    repaired = napari_ssan.repair(
        np.moveaxis(volume, 0, axis), defects, method="average", z_axis=axis
    )
    expected = repaired.expected_error
    assert expected.shape == repaired.shape
    assert len(expected) == len(repaired)
    assert expected.ndim == 3
    everything = np.asarray(expected)
    assert everything.dtype == expected.dtype == np.float32
    synthetic = repaired.synthetic(())
    assert (everything[synthetic] > 0).all()
    assert not everything[~synthetic].any()
    rows = (slice(3, 90, 4),) if axis else (slice(None), slice(3, 90, 4))
    np.testing.assert_array_equal(expected[rows], everything[rows])
    np.testing.assert_array_equal(expected[..., ::-2], everything[..., ::-2])
    np.testing.assert_array_equal(expected[2, -5], everything[2, -5])


def test_it_is_in_grey_values_of_the_stack(volume):
    errors = [
        napari_ssan.repair(data, [4], method="average").expected_error[4]
        for data in (volume.astype("f4"), volume.astype("f4") * 37 + 1e4)
    ]
    np.testing.assert_allclose(errors[1], 37 * errors[0], rtol=1e-2)
    assert 1 < errors[0].mean() < 60


def test_what_the_network_expects_comes_with_its_pixels(volume, tiny_model):
    repaired = napari_ssan.repair(volume, [4], tiny_model, "cpu")
    (patch,) = repaired.patches((4, 0))
    assert patch.error.shape == patch.pixels.shape
    assert patch.error.dtype == np.float32
    (said,) = repaired.provenance.sections
    assert said.error.mean == pytest.approx(patch.error.mean(), rel=1e-4)
    assert said.error.contrast == pytest.approx(volume[[3, 5]].std(axis=(1, 2)).mean(), rel=1e-6)


def test_a_region_has_the_errors_of_its_section(volume, tiny_model, monkeypatch):
    region = disk()
    # The attention sees a whole tile: both have the same one if a region's reaches far enough.
    monkeypatch.setattr("napari_ssan.engine.methods.TILING", replace(TILING, context=130))
    whole = napari_ssan.repair(volume, [4], tiny_model, "cpu").expected_error[4]
    part = napari_ssan.repair(volume, Marks(regions={4: [region]}), tiny_model, "cpu")
    found = part.expected_error[4][region.window]
    np.testing.assert_allclose(found[region.mask], whole[region.window][region.mask], rtol=1e-4)
    assert not found[~region.mask].any()


def test_nothing_is_known_of_a_copy_from_one_side(volume):
    repaired = napari_ssan.repair(volume, [8], method="average")
    assert np.isnan(repaired.expected_error[8]).all()
    assert not repaired.expected_error[7].any()
    assert error_sentence(repaired, (8, 0)) == (
        "Slice 8: nothing is known of its error; it is a copy of one slice."
    )


def test_synthesis_is_the_same_with_and_without(volume, tiny_model):
    from napari_ssan.engine.methods import make_method
    from napari_ssan.engine.repair import patches

    method = make_method("ssan", tiny_model, "cpu")
    made = [
        list(patches(SliceStack(volume), Marks({4}), method, with_error=on))[-1]
        for on in (False, True)
    ]
    np.testing.assert_array_equal(made[0].pixels, made[1].pixels)
    assert made[0].error is None


def test_errors_that_float32_cannot_hold_stay_finite(volume):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        repaired = napari_ssan.repair(volume * 1e60, [4], method="average")
    assert np.isfinite(repaired.expected_error[4]).all()
    (said,) = repaired.provenance.sections
    assert SyntheticSection.model_validate_json(said.model_dump_json()) == said


def test_large_maps_do_not_become_arrays():
    class Huge:
        shape, dtype = (300, 1000, 1000), np.dtype(np.uint8)

    with pytest.raises(BadInput, match=r"expected error takes 1\.1 GiB"):
        np.asarray(RepairedStack(SliceStack(Huge())).expected_error)


def test_later_patches_are_seen(volume):
    repaired = RepairedStack(SliceStack(volume))
    expected = repaired.expected_error
    shape = volume.shape[1:]
    error = np.full(shape, 7, np.float32)
    repaired.add(Patch((2, 0), 0, 0, volume[1], None, record(None), error))
    assert (expected[2] == 7).all()
    repaired.revert((2, 0))
    assert not expected[2].any()


# ---- in words


def test_the_highest_place_is_found():
    error = np.ones((100, 80), np.float32)
    error[48:64, 32:48] = 5
    error[3, 3] = 100  # a single pixel is no place
    found = summarize(error, None, 10, 20, 40.0)
    assert (found.highest, found.y, found.x, found.contrast) == (5, 66, 60, 40)
    assert found.mean == pytest.approx(error.mean())


def test_only_masked_pixels_count():
    error = np.full((40, 40), 9, np.float32)
    mask = np.zeros((40, 40), bool)
    mask[:20] = True
    error[mask] = 2
    error[18, 39] = 30  # few of the mask are in this square
    mask[16:20, 32:] = False
    mask[18, 39] = True
    found = summarize(error, mask, 0, 0, 40.0)
    assert found.highest == 2
    assert found.mean == pytest.approx(error[mask].mean())


def test_of_a_large_map_not_every_pixel_is_looked_at(monkeypatch):
    monkeypatch.setattr("napari_ssan.engine.expected_error.SAMPLE", 400)
    error = np.ones((200, 200), np.float32)
    error[120:160, 40:80] = 3
    found = summarize(error, None, 0, 0, 1.0)
    assert found.highest == 3
    assert 120 <= found.y < 160
    assert 40 <= found.x < 80
    thin = np.zeros((200, 200), bool)
    thin[101, 103] = True
    assert np.isfinite(summarize(error, thin, 0, 0, 1.0).mean)


@pytest.mark.parametrize(
    ("mean", "advice"),
    [
        (16.0, "40 % of the section's contrast: trust the structures, not the fine texture."),
        (28.0, "trust the course of large structures, not details."),
        (33.0, "no better than uniform grey; trust nothing in it."),
    ],
)
def test_a_sentence_says_what_to_trust(volume, mean, advice):
    repaired = RepairedStack(SliceStack(volume))
    error = ErrorSummary(mean=mean, highest=41.26, y=27, x=110, contrast=40)
    repaired.add(Patch((2, 0), 0, 0, volume[1], None, record(error)))
    said = error_sentence(repaired, (2, 0))
    assert said.startswith(
        f"Slice 2: expected error {mean:.0f} grey values on average, highest near y 27, x 110 "
        f"(41.3). That is {100 * mean / 40:.0f} % of the section's contrast: "
    )
    assert said.endswith(advice)
    assert error_sentence(repaired, (3, 0)) == ""


def test_regions_of_a_section_are_weighed_by_their_size(volume):
    repaired = RepairedStack(SliceStack(volume))
    for mean, share, x in ((10, 0.3, 5), (30, 0.1, 60)):
        error = ErrorSummary(mean=mean, highest=2 * mean, y=1, x=x, contrast=40)
        repaired.add(Patch((2, 0), 0, 0, volume[1], None, record(error, share=share)))
    said = error_sentence(repaired, (2, 0))
    assert said.startswith(
        "Slice 2: expected error 15 grey values on average, highest near y 1, x 60"
    )


def test_inserted_sections_and_old_repairs_have_their_words(volume):
    repaired = RepairedStack(SliceStack(volume))
    error = ErrorSummary(mean=1, highest=2, y=1, x=2, contrast=40)
    repaired.add(Patch((4, 1), 0, 0, volume[1], None, record(error)))
    repaired.add(Patch((6, 0), 0, 0, volume[1], None, record(None)))
    assert error_sentence(repaired, (4, 1)).startswith("Between 4 and 5, 1 of 1: expected error 1 ")
    assert error_sentence(repaired, (6, 0)).endswith("repair it again to have it estimated.")


# ---- across gaps


def test_beside_both_neighbours_the_estimate_stays_and_within_a_gap_it_grows():
    assert gap_factor((1, 1)) == 1
    factors = [gap_factor((near, 11 - near)) for near in range(1, 6)]
    assert factors == sorted(factors)
    assert factors[0] < 0.85
    assert 1 < factors[-1] < 1.15


def test_the_middle_of_a_gap_is_expected_to_be_worse_than_its_ends(volume):
    flat = np.concatenate([volume[:1], np.zeros((9, *volume.shape[1:]), np.uint8), volume[1:2]])
    repaired = napari_ssan.repair(flat, range(1, 10), method="average")
    means = [record.error.mean for record in repaired.provenance.sections]
    assert means[0] < means[2] < means[4]
    assert means[8] < means[6] < means[4]
    assert [record.distance for record in repaired.provenance.sections] == [
        1, 2, 3, 4, 5, 4, 3, 2, 1,
    ]  # fmt: skip


def test_missing_sections_count_in_the_distance(volume):
    repaired = napari_ssan.repair(volume, Marks({3}, {}, {3: 2}), method="average")
    assert [record.distance for record in repaired.provenance.sections] == [1, 2, 1]


def test_too_far_from_what_is_real_it_says_so(volume):
    flat = np.concatenate([volume[:1], np.zeros((24, *volume.shape[1:]), np.uint8), volume[1:2]])
    repaired = napari_ssan.repair(flat, range(1, 25), method="average")
    assert error_sentence(repaired, (12, 0)) == (
        "Slice 12: 12 slices from the nearest real one: do not use for tracing."
    )
    assert "trust" in error_sentence(repaired, (5, 0))
    copied = napari_ssan.repair(flat[:12], range(1, 12), method="average")
    assert error_sentence(copied, (9, 0)).endswith(
        "9 slices from the nearest real one: do not use for tracing."
    )


def test_a_scale_is_a_round_number_of_what_uniform_grey_would_be_off_by(volume):
    repaired = RepairedStack(SliceStack(volume))
    assert scale_end(repaired) == 1
    error = ErrorSummary(mean=1, highest=2, y=1, x=2, contrast=36)
    repaired.add(Patch((2, 0), 0, 0, volume[1], None, record(error)))
    assert scale_end(repaired) == 30
    repaired.add(
        Patch((4, 0), 0, 0, volume[1], None, record(error.model_copy(update={"mean": 99})))
    )
    assert scale_end(repaired) == 30


def test_what_is_good_is_clear_and_what_is_unknown_has_its_own_colour():
    painted = coloured(np.array([[0, 8, 20, 30, 900, np.nan]], np.float32), 30)
    assert (painted[0, :2, 3] == 0).all()
    assert 0 < painted[0, 2, 3] < painted[0, 3, 3]
    np.testing.assert_array_equal(painted[0, 3], painted[0, 4])
    np.testing.assert_array_equal(painted[0, 5], UNKNOWN)
