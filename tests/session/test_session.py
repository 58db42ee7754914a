"""Covers: napari_ssan.session.marks"""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_ssan.engine.provenance import percent
from napari_ssan.engine.repaired import Patch
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.session.session import RepairSession
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region, outline_key
from napari_ssan.stack.sections import SliceStack


@pytest.fixture
def session(volume) -> RepairSession:
    return RepairSession(SliceStack(volume))


def square(top: int, left: int, size: int = 12) -> Region:
    return Region(top, left, np.ones((size, size), bool))


def collect(session, job=None):
    """Run a job; its patches, not yet taken."""
    job = job or session.claim()
    patches = []

    def report(event):
        if isinstance(event, Patch):
            patches.append(event)

    job.run(report, threading.Event(), method="average")
    return job, patches


def repair(session) -> None:
    job, patches = collect(session)
    for patch in patches:
        session.take(patch, job)
    session.release(job)


def states(session) -> dict:
    return {row.marks: row.state for row in session.rows()}


def test_rows_say_what_is_marked(session, volume):
    session.mark([2, 3, 7])
    session.add_region(5, square(10, 10))
    session.add_region(5, square(50, 50))
    session.set_missing(0, 2)
    rows = session.rows()
    assert [(row.marks, row.kind, row.count) for row in rows] == [
        (((0, 1),), "missing", 2),
        (((2, 0), (3, 0)), "whole", 2),
        (((5, 0),), "region", 2),
        (((7, 0),), "whole", 1),
    ]
    assert rows[2].share == pytest.approx(288 / volume[0].size)
    assert session.pending == {(0, 1), (2, 0), (3, 0), (5, 0), (7, 0)}


def test_a_whole_section_that_is_unmarked_keeps_its_regions(session):
    session.add_region(5, square(10, 10))
    session.mark([5])
    session.unmark([(5, 0)])
    assert (session.marks.whole, len(session.marks.regions[5])) == (set(), 1)
    assert states(session) == {((5, 0),): "marked"}
    session.unmark([(5, 0)])
    assert not session.marks


def test_overlapping_regions_are_counted_once(session, volume):
    session.add_region(5, square(10, 10))
    session.add_region(5, square(10, 16))
    assert session.rows()[0].share == pytest.approx(12 * 18 / volume[0].size)


def test_repair_lays_patches_and_nothing_else(session, volume):
    session.mark([2])
    session.add_region(5, square(10, 10))
    seen = []
    session.patched.connect(seen.append)
    repair(session)
    assert seen == [{(2, 0)}, {(5, 0)}]
    assert set(states(session).values()) == {"synthesized"}
    changed = session.repaired[:] != volume
    assert changed[2].any()
    assert changed[5, 10:22, 10:22].any()
    changed[2] = changed[5, 10:22, 10:22] = False
    assert not changed.any()


def test_all_marks_are_avoided_even_if_they_are_not_pending(session):
    session.mark([2])
    repair(session)
    session.revert([(2, 0)])
    session.mark([3])
    job, patches = collect(session)
    assert job.only == {(3, 0)}
    assert [patch.record.neighbours for patch in patches] == [(1, 4)]


def test_marking_a_neighbour_makes_a_repair_pending_again(session):
    session.mark([2, 8])
    repair(session)
    session.accept([(2, 0), (8, 0)])
    session.mark([3])
    assert session.state((2, 0)) == "marked"
    assert session.state((8, 0)) == "accepted"
    repair(session)
    assert session.repaired.patches((2, 0))[0].record.neighbours == (1, 4)


def test_missing_sections_move_what_spans_them(session):
    session.mark([3])
    repair(session)
    session.set_missing(3, 1)
    assert session.state((3, 0)) == "marked"
    repair(session)
    assert session.repaired.shape[0] == 10
    assert session.repaired.patches((3, 0))[0].record.position == pytest.approx(1 / 3)
    assert session.state((3, 1)) == "synthesized"


def test_a_second_claim_takes_only_what_is_new(session):
    session.mark([2])
    first = session.claim()
    with pytest.raises(BadInput, match="mark a slice"):
        session.claim()
    session.mark([6])
    second = session.claim()
    assert (first.only, second.only) == ({(2, 0)}, {(6, 0)})
    session.release(first)
    assert session.pending == {(2, 0)}


def test_patches_for_marks_that_changed_meanwhile_are_dropped(session, volume):
    session.mark([2, 6])
    session.add_region(4, square(10, 10))
    job, patches = collect(session)
    session.unmark([(2, 0)])
    session.remove_regions([square(10, 10).key(4)])
    session.add_region(4, square(40, 40))
    taken = [session.take(patch, job) for patch in patches]
    session.release(job)
    assert taken == [False, False, True]
    assert (session.repaired[4] == volume[4]).all()
    assert session.pending == {(4, 0)}


def test_patches_from_a_neighbour_marked_meanwhile_are_dropped(session):
    session.mark([2])
    job, patches = collect(session)
    session.add_region(3, square(10, 10))
    assert not session.take(patches[0], job)
    session.release(job)
    assert (2, 0) in session.pending


def test_revert_shows_the_original_and_can_be_redone(session, volume):
    session.mark([2])
    session.set_missing(4, 2)
    repair(session)
    session.revert([(2, 0), (4, 2)])
    assert (session.repaired[:] == volume).all()
    assert set(states(session).values()) == {"reverted"}
    assert not session.pending
    session.redo([(2, 0), (4, 1)])
    assert session.pending == {(2, 0), (4, 1)}
    repair(session)
    assert set(states(session).values()) == {"synthesized"}
    assert session.repaired.shape[0] == len(volume) + 2


def test_a_redone_insertion_is_replaced_as_a_whole(session):
    session.set_missing(4, 2)
    repair(session)
    before = [session.repaired.patches((4, n))[0] for n in (1, 2)]
    session.redo([(4, 1)])
    repair(session)
    after = [session.repaired.patches((4, n)) for n in (1, 2)]
    assert [len(patches) for patches in after] == [1, 1]
    assert all(old is not new[0] for old, new in zip(before, after, strict=True))


def test_another_region_keeps_what_is_done_until_it_is_made_anew(session):
    session.add_region(5, square(10, 10))
    repair(session)
    session.add_region(5, square(50, 50))
    assert session.state((5, 0)) == "marked"
    assert len(session.repaired.patches((5, 0))) == 1
    repair(session)
    assert session.state((5, 0)) == "synthesized"
    assert len(session.repaired.patches((5, 0))) == 2


def test_a_moved_region_takes_its_patch_away(session, volume):
    session.add_region(5, square(10, 10))
    repair(session)
    session.remove_regions([square(10, 10).key(5)])
    session.add_region(5, square(40, 40))
    assert (session.repaired[5] == volume[5]).all()


def test_half_a_job_leaves_the_rest_pending(session):
    session.add_region(5, square(10, 10))
    session.add_region(5, square(50, 50))
    job, patches = collect(session)
    session.take(patches[0], job)
    session.release(job)
    assert session.pending == {(5, 0)}


def test_accept_only_what_is_synthesized(session):
    session.mark([2, 4])
    job, patches = collect(session)
    session.take(patches[0], job)
    session.accept([(2, 0), (4, 0)])
    assert states(session) == {((2, 0),): "accepted", ((4, 0),): "marked"}


def test_describe_says_what_is_synthetic(session):
    session.mark([2])
    session.add_region(5, square(10, 10))
    session.set_missing(6, 1)
    repair(session)
    assert session.caption((2, 0)) == "slice 2: synthetic, from 1 and 3"
    assert session.caption((5, 0)) == "slice 5: 1.2 % synthetic, from 4 and 6"
    assert session.caption((6, 1)) == "missing section 1 after 6: synthetic, from 6 and 7"
    assert session.caption((3, 0)) == ""


def test_snapshot_does_not_follow(session, volume):
    session.mark([2])
    copy = session.snapshot()
    repair(session)
    assert (copy[2] == volume[2]).all()
    assert (session.snapshot()[2] == session.repaired[2]).all()


def test_every_change_is_saved(volume):
    saved = []
    session = RepairSession(SliceStack(volume), saved.append)
    session.mark([2])
    repair(session)
    session.accept([(2, 0)])
    assert [dict(each.states)[2, 0] for each in saved] == ["marked", "synthesized", "accepted"]
    assert len(saved[-1].patches) == 1


def test_restore_takes_up_where_it_was(session, volume):
    session.mark([2, 7])
    session.add_region(5, square(10, 10))
    session.set_missing(0, 1)
    repair(session)
    session.accept([(2, 0)])
    session.revert([(7, 0)])
    other = RepairSession(SliceStack(volume))
    other.mark([8])
    other.restore(session.saved())
    assert other.rows() == session.rows()
    assert (other.repaired[:] == session.repaired[:]).all()
    assert set(other.marks.by_key()) == set(session.marks.by_key())


def test_restore_without_pixels_is_pending(session, volume):
    session.mark([2])
    repair(session)
    saved = session.saved()
    other = RepairSession(SliceStack(volume))
    other.restore(type(saved)(saved.marks, saved.states))
    assert other.pending == {(2, 0)}


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.mark([99]),
        lambda s: s.mark([-1]),
        lambda s: s.mark(range(9)),
        lambda s: s.add_region(99, square(0, 0)),
        lambda s: s.set_missing(8, 1),
        lambda s: s.set_missing(2, -1),
        lambda s: s.claim(),
    ],
)
def test_refusals_change_nothing(session, change):
    with pytest.raises(BadInput):
        change(session)
    assert not session.rows()


def test_a_region_that_is_marked_already_stays_as_it_is(session):
    session.add_region(5, square(10, 10))
    repair(session)
    session.add_region(5, square(10, 10))
    assert states(session) == {((5, 0),): "synthesized"}
    assert len(session.marks.regions[5]) == 1


def test_marks_that_were_handed_out_do_not_follow(session):
    session.mark([2])
    session.add_region(5, square(10, 10))
    held = session.marks
    session.mark([3])
    session.add_region(5, square(40, 40))
    session.set_missing(6, 1)
    session.unmark([(2, 0)])
    assert (held.whole, len(held.regions[5]), held.missing) == ({2}, 1, {})


def test_missing_zero_takes_the_mark_away(session):
    session.set_missing(2, 1)
    session.set_missing(2, 0)
    assert not session.rows()
    session.unmark([(2, 1), (5, 0)])


def test_outline_keys_follow_content():
    outline = [(1.0, 2.0), (3.0, 4.5), (-0.0, 1.0)]
    assert outline_key(3, outline) == outline_key(3, [(1.0001, 2.0), (3.0, 4.5), (0.0, 1.0)])
    assert outline_key(3, outline) != outline_key(4, outline)
    region = Region.from_outline([(5, 5), (5, 20), (20, 20)], (64, 64))
    assert region.key(3) == outline_key(3, region.outline)


def test_cancel_stops_between_tiles(session):
    session.mark([2, 4])
    job = session.claim()
    cancel = threading.Event()
    done = []

    def report(event):
        if isinstance(event, Patch):
            done.append(event)
            cancel.set()

    with pytest.raises(Cancelled):
        job.run(report, cancel, method="average")
    assert len(done) == 1


def test_a_share_is_not_rounded_up_to_all():
    assert [percent(share) for share in (0.0123, 0.5, 0.9978, 1)] == [
        "1.2 %", "50 %", "99.8 %", "100 %"
    ]  # fmt: skip


def test_what_its_file_calls_synthetic_is_marked_but_neither_pending_nor_saved(volume):
    kept = []
    session = RepairSession(SliceStack(volume), kept.append)
    session.mark([1])
    session.adopt(Marks({1, 4}, {7: [square(5, 5)]}))
    assert session.pending == {(1, 0)}
    assert {row.marks: row.state for row in session.rows()} == {
        ((1, 0),): "marked",
        ((4, 0),): "synthetic",
        ((7, 0),): "synthetic",
    }
    session.mark([2])
    assert kept[-1].marks.whole == {1, 2}
    assert (1, 0) in kept[-1].states
    assert not {(4, 0), (7, 0)} & kept[-1].states.keys()
    session.redo([(4, 0)])
    assert (4, 0) in session.pending
    with pytest.raises(BadInput, match="Every slice is marked"):
        RepairSession(SliceStack(volume)).adopt(Marks(set(range(len(volume)))))
