from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_ssan.engine.repaired import Patch
from napari_ssan.inspection.find import Find
from napari_ssan.session.comparison import Comparison, Suspicion, seen_through
from napari_ssan.session.session import RepairSession
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack

LIMITS = (0.0, 255.0)


def repair(session, method="average") -> None:
    job = session.claim()

    def report(event):
        if isinstance(event, Patch):
            session.take(event, job)

    job.run(report, threading.Event(), method=method)
    session.release(job)


@pytest.fixture
def session(volume) -> RepairSession:
    session = RepairSession(SliceStack(volume))
    session.mark([2])
    session.set_missing(5, 1)
    session.add_region(4, Region(10, 20, np.ones((8, 6), bool)))
    repair(session)
    session.again([(2, 0)])
    repair(session, "copy")
    return session


def test_previous_before_after_and_next_in_step(session, volume):
    shown = Comparison.of(session, (2, 0)).pictures((48, 65), 64, LIMITS)
    assert [each.words for each in shown] == [
        "previous: slice 1",
        "before",
        "next: slice 3",
        "after: average",
        "after: copy, chosen",
    ]
    part = slice(16, 80), slice(33, 97)
    np.testing.assert_array_equal(shown[0].pixels, volume[1][part])
    np.testing.assert_array_equal(shown[1].pixels, volume[2][part])
    np.testing.assert_array_equal(shown[2].pixels, volume[3][part])
    np.testing.assert_array_equal(shown[4].pixels, session.repaired[2][part])
    assert (shown[3].pixels != shown[4].pixels).any()


def test_a_region_is_in_the_middle_and_an_inserted_section_has_no_before(session):
    assert Comparison.of(session, (2, 0)).middle() is None
    assert Comparison.of(session, (4, 0)).middle() == (14, 23)
    inserted = Comparison.of(session, (5, 1))
    words = [each.words for each in inserted.pictures((0, 0), 64, LIMITS)]
    assert words == ["previous: slice 5", "after: average, chosen", "next: slice 6"]
    assert [each.words for each in inserted.cuts((0, 0), 64, LIMITS, 5.0)] == [
        "XZ after",
        "YZ after",
    ]
    assert Comparison.of(session, (3, 0)) is None


def test_cuts_go_through_the_point_before_and_after(session, volume):
    shown = Comparison.of(session, (2, 0)).cuts((48, 65), 64, LIMITS, 7.5)
    assert [each.words for each in shown] == ["XZ before", "XZ after", "YZ before", "YZ after"]
    np.testing.assert_array_equal(shown[0].pixels, volume[:, 48, 33:97])
    np.testing.assert_array_equal(shown[1].pixels, session.repaired[:, 48, 33:97])
    np.testing.assert_array_equal(shown[3].pixels, session.repaired[:, 16:80, 65])
    assert {each.aspect for each in shown} == {7.5}


def test_it_is_a_copy_that_does_not_follow(session, volume):
    taken = Comparison.of(session, (2, 0))
    before = taken.pictures((48, 65), 64, LIMITS)
    session.unmark([(2, 0)])
    for one, other in zip(before, taken.pictures((48, 65), 64, LIMITS), strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_of_a_large_section_only_the_part_in_view_is_read(session, volume):
    """Sections of 20000 x 20000: no read is larger than what is shown."""

    class Watched:
        shape, dtype, largest = (9, 20000, 20000), np.dtype(np.uint8), 0

        def __getitem__(self, index):
            lengths = [len(range(n)[i]) for n, i in zip(self.shape, index, strict=True)
                       if isinstance(i, slice)]  # fmt: skip
            Watched.largest = max(Watched.largest, int(np.prod(lengths)))
            return np.zeros(lengths, np.uint8)

    (patch,) = session.repaired.patches((2, 0))
    large = RepairSession(SliceStack(Watched()))
    large.mark([2])
    large.repaired.add(patch)
    taken = Comparison.of(large, (2, 0))
    taken.pictures((10000, 10000), 2048, LIMITS)
    taken.cuts((10000, 10000), 2048, LIMITS, 1.0)
    assert 0 < Watched.largest <= 512 * 512


def test_what_is_suggested_is_outlined_between_its_neighbours(volume):
    spot = Find(4, "hole", 5.0, 0.9, "It is lighter.", region=Region(40, 60, np.ones((8, 6), bool)))
    seen = Suspicion.at(SliceStack(volume), spot)
    assert seen.middle() == (44, 63)
    before, middle, after = seen.pictures(seen.middle(), 64, LIMITS)
    assert [each.words for each in (before, middle, after)] == [
        "previous: slice 3",
        "slice 4",
        "next: slice 5",
    ]
    part = slice(12, 76), slice(31, 95)
    np.testing.assert_array_equal(before.pixels, volume[3][part])
    np.testing.assert_array_equal(after.pixels, volume[5][part])
    changed = (middle.pixels != volume[4][part][..., None]).any(axis=2)
    line = np.zeros((64, 64), bool)
    line[28:36, 29:35] = True
    line[29:35, 30:34] = False
    assert not changed[~line].any()
    assert changed[line].all()
    cuts = seen.cuts(seen.middle(), 64, LIMITS, 7.5)
    assert [each.words for each in cuts] == ["XZ before", "YZ before"]


def test_at_the_end_of_a_stack_there_is_one_neighbour(volume):
    lost = Suspicion.at(SliceStack(volume), Find(0, "blank", 9.0, 1.0, "It is constant."))
    assert lost.middle() is None
    shown = lost.pictures((30, 30), 64, LIMITS)
    assert [each.words for each in shown] == ["slice 0", "next: slice 1"]
    np.testing.assert_array_equal(shown[0].pixels, volume[0][0:64, 0:64])


def test_a_region_is_seen_in_steps():
    mask = np.random.default_rng(1).random((30, 40)) > 0.5
    full = np.zeros((90, 80), bool)
    full[20:50, 10:50] = mask
    window = slice(5, 70, 3), slice(20, 80, 2)
    np.testing.assert_array_equal(seen_through(window, Region(20, 10, mask)), full[window])
