"""Covers: napari_ssan.session.marking, napari_ssan.session.marks, napari_ssan.session.history,
napari_ssan.session.outdated
"""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_ssan.engine.provenance import percent
from napari_ssan.engine.repaired import Patch
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.session.marks import next_mark
from napari_ssan.session.session import RepairSession
from napari_ssan.session.standing import caption
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
    assert caption(session.repaired, (2, 0)) == "slice 2: synthetic, from 1 and 3"
    assert caption(session.repaired, (5, 0)) == "slice 5: 1.2 % synthetic, from 4 and 6"
    assert caption(session.repaired, (6, 1)) == "between 6 and 7, 1 of 1: synthetic, from 6 and 7"
    assert caption(session.repaired, (3, 0)) == ""


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


# ---- undo


def square_mark(session) -> None:
    session.add_region(5, square(10, 10))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda s: s.mark([1, 8]), "mark"),
        (lambda s: s.unmark([(2, 0), (5, 0), (6, 1)]), "unmark"),
        (lambda s: s.revert([(2, 0), (5, 0), (6, 1)]), "revert"),
        (lambda s: s.accept([(2, 0), (5, 0), (6, 1)]), "accept"),
        (lambda s: s.redo([(2, 0)]), "repair again"),
        (lambda s: s.add_region(3, square(40, 40)), "lasso"),
        (lambda s: s.remove_regions(list(s.marks.by_key())), "deletion of a lasso"),
        (lambda s: s.set_missing(6, 3), "missing slices"),
        (lambda s: s.set_missing(6, 0), "unmark"),
        (lambda s: s.mark([3]), "mark"),  # a neighbour of 2, which is to be repaired again
    ],
)
def test_what_was_done_can_be_undone_and_redone(session, change, what):
    session.mark([2])
    square_mark(session)
    session.set_missing(6, 2)
    repair(session)
    saved = []
    session._save = saved.append
    before, pixels = session.rows(), session.repaired[:]
    change(session)
    after, other = session.rows(), session.repaired[:]
    assert session.history.last().what == what
    for _ in range(2):
        session.undo()
        assert session.rows() == before
        assert (session.repaired[:] == pixels).all()
        assert session.history.last(again=True).what == what
        session.undo(again=True)
        assert session.rows() == after
        assert session.repaired.shape == other.shape
        assert (session.repaired[:] == other).all()
    assert len(saved) == 5


def test_undoing_all_goes_back_to_nothing(session, volume):
    session.mark([2])
    square_mark(session)
    session.unmark([(2, 0)])
    for _ in range(5):
        session.undo()
    assert not session.rows()
    assert session.history.last() is None
    for _ in range(5):
        session.undo(again=True)
    assert states(session) == {((5, 0),): "marked"}


def test_repairs_that_came_since_stay(session):
    session.mark([2, 7])
    session.accept([])
    session.add_region(4, square(10, 10))
    repair(session)
    assert session.history.loses() == 1
    session.undo()
    assert states(session) == {((2, 0),): "synthesized", ((7, 0),): "synthesized"}
    assert session.history.loses() == 2
    session.undo()
    assert not session.rows()
    session.undo(again=True)
    session.undo(again=True)
    assert set(states(session).values()) == {"synthesized"}
    assert len(session.saved().patches) == 3


def test_a_new_step_ends_what_can_be_redone(session):
    session.mark([2])
    session.undo()
    session.mark([5])
    session.undo(again=True)
    assert states(session) == {((5, 0),): "marked"}


def test_a_mark_that_comes_back_outdates_what_was_made_from_it(session):
    session.mark([2, 3])
    session.unmark([(3, 0)])
    repair(session)
    assert session.repaired.patches((2, 0))[0].record.neighbours == (1, 3)
    session.undo()
    assert session.pending == {(2, 0), (3, 0)}


def test_a_patch_for_a_mark_that_was_undone_meanwhile_is_dropped(session, volume):
    session.mark([2])
    job, patches = collect(session)
    session.undo()
    session.undo(again=True)
    assert not session.take(patches[0], job)
    session.release(job)
    assert session.pending == {(2, 0)}
    assert (session.repaired[:] == volume).all()


def test_what_was_discarded_can_be_taken_up(session, volume):
    session.mark([2])
    square_mark(session)
    repair(session)
    saved = session.saved()
    other = RepairSession(SliceStack(volume))
    other.mark([8])
    other.discard(saved)
    assert states(other) == {((8, 0),): "marked"}
    other.undo()
    assert states(other) == {**states(session), ((8, 0),): "marked"}
    assert (other.repaired[:8] == session.repaired[:8]).all()
    other.undo(again=True)
    other.undo()
    assert len(other.rows()) == 3


def test_what_was_restored_is_no_step(session, volume):
    session.mark([2])
    other = RepairSession(SliceStack(volume))
    other.mark([8])
    other.restore(session.saved())
    assert other.history.last() is None


def test_the_next_mark_follows_the_slider():
    marks = [(9, 0), (2, 0), (4, 1)]
    for slot, following, before in (
        (None, (2, 0), (9, 0)),
        ((2, 0), (4, 1), (9, 0)),
        ((3, 0), (4, 1), (2, 0)),
        ((4, 2), (9, 0), (4, 1)),
        ((9, 0), (2, 0), (4, 1)),
    ):
        assert next_mark(marks, slot) == following
        assert next_mark(marks, slot, back=True) == before
    assert next_mark([], (2, 0)) is None


def test_a_mark_is_corrected_and_can_be_synthesized_again(session, volume):
    session.mark([3])
    session.add_region(5, square(10, 10))
    repair(session)
    session.treat([(3, 0), (5, 0), (7, 0)], "correct")
    assert session.pending == {(3, 0), (5, 0)}
    repair(session)
    assert set(states(session).values()) == {"synthesized"}
    assert not session.repaired.synthetic(()).any()
    assert session.repaired.corrected(3).all()
    assert caption(session.repaired, (3, 0)) == "slice 3: corrected, like 2 and 4"
    session.treat([(3, 0)], "correct")
    assert session.pending == set()
    session.treat([(3, 0)], "synthesize")
    assert session.pending == {(3, 0)}


def test_a_region_of_a_corrected_slice_is_synthesized(session):
    session.mark([3], "correct")
    session.mark([4], "correct")
    repair(session)
    session.add_region(3, square(10, 10))
    assert session.pending == {(3, 0)}
    assert [(row.marks, row.regions) for row in session.rows()] == [
        (((3, 0),), 1),
        (((4, 0),), 0),
    ]
    job, (corrected, region) = collect(session)
    session.take(corrected, job)
    assert session.state((3, 0)) == "marked"
    session.take(region, job)
    assert session.state((3, 0)) == "synthesized"
    session.release(job)
    assert session.repaired.synthetic(3).sum() == region.mask.sum()
    assert session.results((3, 0)) == ["average"]
    said = caption(session.repaired, (3, 0))
    assert said == "slice 3: 1.2 % synthetic, from 2 and 5; the rest corrected"
    assert (session.repaired.corrected(3) ^ session.repaired.synthetic(3)).all()


def test_a_mark_of_all_keeps_the_treatment_of_its_regions(session):
    session.add_region(3, square(10, 10))
    session.mark([3], "correct")
    session.treat([(3, 0)], "synthesize")
    session.treat([(3, 0)], "correct")
    assert session.marks.corrected == {3}
    assert [region.treatment for region in session.marks.regions[3]] == ["synthesize"]


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
