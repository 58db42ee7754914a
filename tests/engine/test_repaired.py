from __future__ import annotations

import random

import numpy as np
import pytest

from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repaired import Patch, RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import SliceStack

RECORD = SyntheticSection(
    section=2, kind="whole", share=1, neighbours=(1, 3), position=0.5, method="ssan"
)


CASES = [(0, (6, 9, 7)), (1, (9, 6, 7)), (2, (9, 7, 6)), (1, (1, 6, 9, 7))]


def build(axis: int, shape: tuple[int, ...]) -> tuple[RepairedStack, np.ndarray, np.ndarray]:
    """A repaired stack with a whole, an inserted and a region patch; its array; its mask."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 255, shape).astype(np.uint8)
    repaired = RepairedStack(SliceStack(data, axis))
    whole, inserted = (rng.integers(0, 255, (9, 7)).astype(np.uint8) for _ in range(2))
    region, mask = rng.integers(0, 255, (4, 3)).astype(np.uint8), rng.random((4, 3)) > 0.5
    repaired.add(Patch((2, 0), 0, 0, whole, None, RECORD))
    repaired.add(Patch((2, 1), 0, 0, inserted, None, RECORD))
    repaired.add(Patch((4, 0), 3, 2, region, mask, RECORD))

    zyx = np.moveaxis(data, axis, -3).reshape(6, 9, 7)
    expected = np.concatenate([zyx[:2], whole[None], inserted[None], zyx[3:]])
    expected[5, 3:7, 2:5][mask] = region[mask]
    synthetic = np.zeros(expected.shape, bool)
    synthetic[2:4] = True
    synthetic[5, 3:7, 2:5] = mask
    lead = (1,) * (len(shape) - 3)

    def back(array: np.ndarray) -> np.ndarray:
        return np.moveaxis(array.reshape(*lead, *array.shape), -3, axis)

    return repaired, back(expected), back(synthetic)


@pytest.mark.parametrize(("axis", "shape"), CASES)
def test_any_basic_index_reads_as_from_an_array(axis, shape):
    repaired, expected, synthetic = build(axis, shape)
    assert repaired.shape == expected.shape
    choice = random.Random(0)
    for _ in range(500):
        index = []
        for length in expected.shape:
            ends = [None, *range(-length - 2, length + 3)]
            step = choice.choice([None, 1, 2, 3, -1, -2])
            cut = slice(choice.choice(ends), choice.choice(ends), step)
            index.append(choice.choice([cut, choice.randrange(-length, length)]))
        where = tuple(index[: choice.randint(0, len(index))])
        np.testing.assert_array_equal(repaired[where], expected[where])
        np.testing.assert_array_equal(repaired.synthetic(where), synthetic[where])
    np.testing.assert_array_equal(repaired[..., 3], expected[..., 3])
    np.testing.assert_array_equal(np.asarray(repaired), expected)


def test_wrong_indices_are_refused():
    repaired, _, _ = build(0, (6, 9, 7))
    for index in (9, (0, 0, 0, 0), [1, 2], np.zeros(3, bool)):
        with pytest.raises(IndexError):
            repaired[index]


def test_reverting_gives_back_the_source():
    repaired, _, _ = build(0, (6, 9, 7))
    source = repaired.stack.data
    for slot in ((2, 0), (2, 1), (4, 0)):
        assert len(repaired.revert(slot)) == 1
    assert repaired.shape == source.shape
    np.testing.assert_array_equal(np.asarray(repaired), source)


def test_only_what_is_asked_for_is_read():
    data = np.zeros((6, 90, 70), np.uint8)

    class Counting:
        shape, dtype = data.shape, data.dtype
        largest = 0

        def __getitem__(self, index):
            part = data[index]
            self.largest = max(self.largest, part.size)
            return part

    counting = Counting()
    repaired = RepairedStack(SliceStack(counting))
    repaired.add(Patch((2, 0), 0, 0, data[0], None, RECORD))
    assert repaired[:, 5].shape == (6, 70)
    assert counting.largest == 3 * 70
    assert repaired[3, 10:20, 30:40].shape == (10, 10)
    assert counting.largest == 3 * 70


def test_a_section_that_is_replaced_is_not_read():
    data = np.random.default_rng(0).integers(0, 255, (6, 9, 7)).astype(np.uint8)

    class Damaged:
        shape, dtype = data.shape, data.dtype

        def __getitem__(self, index):
            if 2 in np.atleast_1d(np.arange(6)[index[0]]):
                raise BadInput("section 2 cannot be read")
            return data[index]

    repaired = RepairedStack(SliceStack(Damaged()))
    repaired.add(Patch((2, 0), 0, 0, data[0, :4], None, RECORD))
    with pytest.raises(BadInput):
        repaired[2, 5:]
    repaired.add(Patch((2, 0), 0, 0, data[0], None, RECORD))
    expected = data.copy()
    expected[2] = data[0]
    for index in (2, slice(None), slice(0, 5, 2), slice(None, None, -1), (slice(1, 4), 3)):
        np.testing.assert_array_equal(repaired[index], expected[index])


def test_large_volumes_do_not_become_arrays():
    class Huge:
        shape, dtype = (5000, 1000, 1000), np.dtype(np.uint8)

    with pytest.raises(BadInput, match="more than 1 GiB"):
        np.asarray(RepairedStack(SliceStack(Huge())))


def test_provenance_counts_in_the_repaired_stack():
    repaired, _, _ = build(0, (6, 9, 7))
    sections = repaired.provenance.sections
    assert [record.section for record in sections] == [2, 3, 5]
    assert {record.neighbours for record in sections} == {(1, 4)}
