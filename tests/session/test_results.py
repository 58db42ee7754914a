"""Several results of a mark, of which one is chosen.

Covers: napari_ssan.session.view
"""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from napari_ssan.engine.repaired import Patch
from napari_ssan.session.journal import NAME, read
from napari_ssan.session.session import RepairSession
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


@pytest.fixture
def session(volume) -> RepairSession:
    return RepairSession(SliceStack(volume))


def square(top: int, left: int, size: int = 12) -> Region:
    return Region(top, left, np.ones((size, size), bool))


def repair(session, method="average", sidecar=None, stop_after=None) -> None:
    job, patches = session.claim(), []

    def report(event):
        if isinstance(event, Patch):
            patches.append(event)

    job.run(report, threading.Event(), method=method, sidecar=sidecar)
    for patch in patches[:stop_after]:
        session.take(patch, job)
    session.release(job)


def pixels(session, *slots):
    return [patch.pixels[:] for slot in slots for patch in session.repaired.patches(slot)]


def test_a_second_result_needs_no_revert_and_both_are_kept(session):
    session.mark([2])
    repair(session)
    session.accept([(2, 0)])
    (first,) = pixels(session, (2, 0))
    assert session.results((2, 0)) == ["average"]
    session.again([(2, 0)])
    assert session.pending == {(2, 0)}
    assert session.state((2, 0)) == "accepted"
    np.testing.assert_array_equal(pixels(session, (2, 0))[0], first)
    repair(session, "copy")
    assert session.results((2, 0)) == ["average", "copy"]
    assert session.chosen((2, 0)) == "copy"
    assert session.state((2, 0)) == "synthesized"  # to be accepted by itself
    (second,) = pixels(session, (2, 0))
    assert (first != second).any()
    session.choose((2, 0), "average")
    np.testing.assert_array_equal(pixels(session, (2, 0))[0], first)
    np.testing.assert_array_equal(session.snapshot()[2], first)
    (other,) = session.result((2, 0), "copy")
    np.testing.assert_array_equal(other.pixels[:], second)
    assert session.results((2, 0)) == ["average", "copy"]
    assert not session.pending


def test_the_same_model_again_replaces_its_own_result(session):
    session.mark([2])
    repair(session)
    session.again([(2, 0)])
    repair(session)
    assert session.results((2, 0)) == ["average"]
    assert len(session.repaired.patches((2, 0))) == 1


@pytest.mark.parametrize("kind", ["regions", "missing"])
def test_a_result_comes_as_a_whole_or_not_at_all(session, kind):
    if kind == "regions":
        session.add_region(2, square(2, 2))
        session.add_region(2, square(40, 60))
        mark, slots = (2, 0), [(2, 0)]
    else:
        session.set_missing(2, 2)
        mark, slots = (2, 1), [(2, 1), (2, 2)]
    repair(session)
    before = pixels(session, *slots)
    session.again([mark])
    repair(session, "copy", stop_after=1)
    assert session.results(mark) == ["average"]
    for old, new in zip(before, pixels(session, *slots), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not session.pending  # cancelled: the old result stands
    session.again([mark])
    repair(session, "copy")
    assert session.results(mark) == ["average", "copy"]
    session.choose(mark, "average")
    for old, new in zip(before, pixels(session, *slots), strict=True):
        np.testing.assert_array_equal(old, new)


def test_another_result_needs_one(session):
    session.mark([2])
    session.again([(2, 0), (5, 0)])
    assert session.pending == {(2, 0)}
    session.choose((2, 0), "copy")
    assert session.chosen((2, 0)) == ""
    assert session.results((2, 0)) == []


def two_results(session, sidecar=None):
    session.mark([2])
    repair(session, sidecar=sidecar)
    session.again([(2, 0)])
    repair(session, "copy", sidecar=sidecar)


def test_results_go_with_their_mark(session):
    two_results(session)
    session.unmark([(2, 0)])
    session.mark([2])
    assert session.results((2, 0)) == []


def test_results_from_a_neighbour_that_is_marked_now_go(session):
    two_results(session)
    session.mark([3])
    assert session.results((2, 0)) == ["copy"]  # on view until it is made anew
    assert (2, 0) in session.pending


def test_what_is_reverted_can_be_chosen_again_from_the_others(session):
    two_results(session)
    session.revert([(2, 0)])
    assert session.results((2, 0)) == ["average"]
    session.choose((2, 0), "average")
    assert session.state((2, 0)) == "synthesized"


def test_all_results_are_saved_and_come_back(volume, tmp_path):
    stack = SliceStack(volume)
    sidecar = Sidecar(tmp_path / "side" / "x")
    session = RepairSession(stack, sidecar.save)
    two_results(session, sidecar)
    chosen, other = (session.result((2, 0), name)[0].pixels[:] for name in ("copy", "average"))
    sidecar.release()
    assert len(list(sidecar.folder.glob("*.npy"))) == 4  # pixels and errors of both
    again = Sidecar(sidecar.folder)
    restored = RepairSession(stack)
    restored.restore(again.load(stack))
    assert restored.results((2, 0)) == ["average", "copy"]
    assert restored.chosen((2, 0)) == "copy"
    np.testing.assert_array_equal(restored.snapshot()[2], chosen)
    restored.choose((2, 0), "average")
    np.testing.assert_array_equal(restored.snapshot()[2], other)
    again.save(restored.saved())
    assert read(again.folder, stack).spares.keys() == {(2, 0)}


def test_without_other_results_the_journal_is_as_it_was(volume, tmp_path):
    stack = SliceStack(volume)
    sidecar = Sidecar(tmp_path / "side" / "x")
    session = RepairSession(stack, sidecar.save)
    session.mark([2])
    repair(session, sidecar=sidecar)
    lines = (sidecar.folder / NAME).read_text(encoding="utf-8").splitlines()
    assert not any("spares" in json.loads(line) for line in lines)
    assert read(sidecar.folder, stack).spares == {}


def test_a_result_that_has_lost_pixels_is_left_out(volume, tmp_path):
    stack = SliceStack(volume)
    sidecar = Sidecar(tmp_path / "side" / "x")
    session = RepairSession(stack, sidecar.save)
    two_results(session, sidecar)
    (spare,) = session.result((2, 0), "average")
    spare.pixels.path.unlink()
    restored = RepairSession(stack)
    restored.restore(sidecar.load(stack))
    assert restored.results((2, 0)) == ["copy"]


@pytest.mark.parametrize("damage", [{}, [], 7, "x", {"slot": [99, 0]}])
def test_damaged_results_are_passed_over(volume, tmp_path, damage):
    stack = SliceStack(volume)
    sidecar = Sidecar(tmp_path / "side" / "x")
    session = RepairSession(stack, sidecar.save)
    two_results(session, sidecar)
    with (sidecar.folder / NAME).open("a", encoding="utf-8") as file:
        (name,) = read(sidecar.folder, stack).spares[2, 0]["average"]
        line = {"spares": {name.pixels.path.name: damage}}
        file.write(json.dumps(line) + "\n")
    saved = read(sidecar.folder, stack)
    assert (saved.spares, saved.damage) == ({}, "")
    assert len(saved.patches) == 1


def test_a_result_without_a_name_is_still_read(volume, tmp_path):
    stack = SliceStack(volume)
    sidecar = Sidecar(tmp_path / "side" / "x")
    session = RepairSession(stack, sidecar.save)
    two_results(session, sidecar)
    path = sidecar.folder / NAME
    path.write_text(path.read_text(encoding="utf-8").replace('"result"', '"was"'), encoding="utf-8")
    restored = RepairSession(stack)
    restored.restore(read(sidecar.folder, stack))
    assert restored.results((2, 0)) == ["average", "copy"]
