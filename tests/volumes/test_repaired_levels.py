"""The coarse levels that a viewer shows of a repaired stack."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.engine.repair import repair
from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.files import open_stack
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack
from napari_ssan.volumes import repaired_levels as module
from napari_ssan.volumes.repaired_levels import repaired_levels

from .conftest import KINDS, pyramid

TRIANGLE = Region.from_mask(np.tri(30, 40, 5, dtype=bool), 37, 51)


def levels_over(path, marks, made=None):
    """A repaired stack and its coarse levels."""
    file = open_stack(path)
    repaired = repair(file.stack(), marks, method="average")
    sources = [SliceStack(level) for level in file.levels]
    return repaired, repaired_levels(repaired, sources, {} if made is None else made)


@pytest.mark.parametrize("kind", ["0.5", "0.4 thick", "0.5 halved along z"])
def test_a_level_is_the_mean_of_the_one_before(make, kind):
    repaired, levels = levels_over(make(kind), Marks({3, 7, 8}, {5: [TRIANGLE]}))
    expected = pyramid(np.asarray(repaired), KINDS[kind][3])
    for level, wanted in zip(levels, expected[1:], strict=True):
        assert level.shape == wanted.shape
        np.testing.assert_array_equal(level[...], wanted)
        np.testing.assert_array_equal(level[1, 5:20:3, -9:], wanted[1, 5:20:3, -9:])
        np.testing.assert_array_equal(level[:, 7], wanted[:, 7])


def test_sections_that_were_inserted_are_there(make):
    repaired, levels = levels_over(make(), Marks({3}, missing={5: 2}))
    expected = pyramid(np.asarray(repaired))
    for level, wanted in zip(levels, expected[1:], strict=True):
        np.testing.assert_array_equal(level[...], wanted)


def test_what_is_reverted_is_the_original_again(make):
    path = make()
    repaired, levels = levels_over(path, Marks({3}, {5: [TRIANGLE]}))
    before = [np.asarray(level) for level in open_stack(path).levels]
    assert (levels[0][3] != before[1][3]).any()
    repaired.revert((3, 0))
    repaired.revert((5, 0))
    np.testing.assert_array_equal(levels[0][...], before[1])


def test_large_patches_are_sampled_until_a_worker_has_made_their_means(make, monkeypatch):
    monkeypatch.setattr(module, "SMALL", 10)
    monkeypatch.setattr(module, "IN_MEMORY", 10)  # and kept in files
    monkeypatch.setattr(module, "BAND_PIXELS", 2000)  # and made in several bands
    made: module.Made = {}
    repaired, levels = levels_over(make(), Marks({3}, {5: [TRIANGLE]}), made)
    full = np.asarray(repaired)
    assert [level.wanted() for level in levels] == [[3, 5], [3, 5]]
    np.testing.assert_array_equal(levels[0][3], full[3, ::2, ::2])
    np.testing.assert_array_equal(levels[1][3, 2:9, ::2], full[3, ::4, ::4][2:9, ::2])
    copy = RepairedStack(repaired.stack)
    for z in (3, 5):
        for patch in repaired.patches((z, 0)):
            copy.add(patch)
    for level in repaired_levels(copy, [repaired.stack, *(each.source for each in levels)], made):
        for z in level.wanted():
            level.make(z)
    assert [level.wanted() for level in levels] == [[], []]
    for level, wanted in zip(levels, pyramid(full)[1:], strict=True):
        np.testing.assert_array_equal(level[...], wanted)


def test_a_section_that_cannot_be_read_and_is_replaced_is_shown(make):
    path = make()
    _, levels = levels_over(path, Marks({3}))
    expected = levels[0][3]
    for chunk in (path / "1" / "c" / "3").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"nonsense")
    np.testing.assert_array_equal(levels[0][3], expected)
    np.testing.assert_array_equal(levels[0][2:5][1], expected)


def test_levels_that_are_no_halvings_are_left_out(make):
    file = open_stack(make())
    sources = [SliceStack(level) for level in file.levels]
    odd = SliceStack(np.zeros((13, 40, 50), np.uint8))
    repaired = RepairedStack(sources[0])
    assert len(repaired_levels(repaired, [*sources[:2], odd], {})) == 1
    assert repaired_levels(repaired, sources[:1], {}) == []
