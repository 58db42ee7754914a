from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.engine.repaired import Patch
from napari_ssan.errors import BadInput
from napari_ssan.session.journal import NAME, Journal, read
from napari_ssan.session.saved import Saved
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


@pytest.fixture
def stack(volume) -> SliceStack:
    return SliceStack(np.repeat(volume, 10, axis=0))


@pytest.fixture
def side(tmp_path) -> Sidecar:
    return Sidecar(tmp_path / "side")


def patch(side: Sidecar, z: int, fill: int = 1) -> Patch:
    record = SyntheticSection(
        section=z,
        kind="whole",
        share=1.0,
        neighbours=(z - 1, z + 1),
        position=0.5,
        method="ssan",
    )
    return side.keep(Patch((z, 0), 0, 0, np.full((64, 80), fill, np.uint8), None, record))


def square(z: int) -> Region:
    return Region(z, z, np.ones((5, 7), bool))


def marked(*sections: int) -> Saved:
    marks = Marks(set(sections), {9: [square(3), square(20)]}, {4: 2})
    return Saved(marks, dict.fromkeys(marks.each(), "marked"))


def lines(side: Sidecar) -> list[dict]:
    return [json.loads(line) for line in (side.folder / NAME).read_text().splitlines()]


def content(saved: Saved) -> tuple:
    patches = [(each.slot, each.pixels.path.name) for each in saved.patches]
    return set(saved.marks.by_key()), saved.marks.whole, saved.marks.missing, saved.states, patches


def test_what_is_read_is_what_was_written_last(stack, side):
    states = [marked(2, 6), marked(6), marked(6, 8), marked(8)]
    first = replace(states[0], patches=(patch(side, 6), patch(side, 2)))
    states.append(replace(states[2], patches=first.patches[:1]))
    states.append(replace(states[2], patches=(patch(side, 6, 2), patch(side, 8))))
    changed = states[-1].marks.copy()
    changed.discard_regions([square(3).key(9)])
    changed.discard((4, 1))
    states.append(Saved(changed, dict.fromkeys(changed.each(), "accepted")))
    for saved in (first, *states):
        side.save(saved)
        assert content(read(side.folder, stack)) == content(saved)


def test_a_change_costs_a_line_that_says_only_what_changed(side):
    saved = marked(2, 6)
    side.save(saved)
    before = len(lines(side))
    done = replace(saved, patches=(patch(side, 6),), states=saved.states | {(6, 0): "synthesized"})
    side.save(done)
    assert len(lines(side)) == before + 1
    line = lines(side)[-1]
    assert line.pop("saved")
    assert line.pop("states") == {"6-0": "synthesized"}
    assert list(line) == ["patches"]
    assert list(line["patches"]) == [done.patches[0].pixels.path.name]
    side.save(done)
    side.save(replace(done, marks=done.marks.copy()))
    assert len(lines(side)) == before + 1
    fewer = done.marks.copy()
    fewer.discard((2, 0))
    side.save(replace(done, marks=fewer, states={m: s for m, s in done.states.items() if m[0] - 2}))
    line = lines(side)[-1]
    assert (line["marks"], line["states"]) == ({"2-0": None}, {"2-0": None})


def test_bytes_per_patch_do_not_grow(stack, side):
    """The benchmark benchmarks/journal.py shows the time."""
    marks = Marks(set(range(1, 99, 2)))
    saved = Saved(marks, dict.fromkeys(marks.each(), "marked"))
    side.save(saved)
    written, size = [], (side.folder / NAME).stat().st_size
    for z in sorted(marks.whole):
        states = dict(saved.states) | {(z, 0): "synthesized"}
        saved = replace(saved, states=states, patches=(*saved.patches, patch(side, z)))
        side.save(saved)
        size, before = (side.folder / NAME).stat().st_size, size
        written.append(size - before)
    assert 0 < max(written) < min(written) + 20  # longer numbers, no longer lists


def test_it_is_compacted_on_load(stack, side):
    saved = marked(2, 6)
    for z in range(10, 30):
        side.save(replace(saved, patches=(patch(side, z),)))
    side.save(saved)
    long = (side.folder / NAME).stat().st_size
    loaded = Sidecar(side.folder).load(stack)
    assert (side.folder / NAME).stat().st_size < long / 2
    assert content(loaded) == content(saved) == content(read(side.folder, stack))
    assert read(side.folder, stack).when == loaded.when  # it is as old as it was
    assert not list(side.folder.glob("*.npy"))


@pytest.mark.parametrize("torn", [b"{", b'{"marks": {"2-0"', b"\0" * 20, b"\0\0\0\n", b'{"a": \n'])
def test_a_torn_last_line_is_dropped_in_silence(stack, side, torn):
    side.save(marked(2, 6))
    path = side.folder / NAME
    path.write_bytes(path.read_bytes() + torn)
    again = Sidecar(side.folder)
    loaded = again.load(stack)
    assert content(loaded) == content(marked(2, 6))
    assert not loaded.damage
    assert not list(side.folder.glob("damaged-*"))
    again.save(marked(2, 6, 8))
    assert content(read(side.folder, stack)) == content(marked(2, 6, 8))


@pytest.mark.parametrize(
    "damage", [b"{", b"[]", b'{"marks": 3}', b'{"marks": {"2-0": {}}}', b"\xff"]
)
def test_a_damaged_line_costs_what_it_says(stack, side, damage):
    side.save(replace(marked(2, 6), patches=(patch(side, 6),)))
    path = side.folder / NAME
    whole = path.read_bytes()
    at = next(i for i, line in enumerate(lines(side)) if "2-0" in line.get("marks", {}))
    path.write_bytes(b"\n".join([*whole.split(b"\n")[:at], damage, *whole.split(b"\n")[at + 1 :]]))
    before = path.read_bytes()
    loaded = Sidecar(side.folder).load(stack)
    assert loaded.marks.whole == {6}
    assert set(loaded.marks.by_key()) == set(marked().marks.by_key())
    assert (loaded.lost, len(loaded.patches)) == (0, 1)
    (aside,) = side.folder.glob("damaged-*.jsonl")
    assert aside.read_bytes() == before
    assert str(aside) in loaded.damage
    again = Sidecar(side.folder).load(stack)
    assert content(again) == content(loaded)
    assert not again.damage


def test_a_damaged_line_before_a_torn_one_is_told(stack, side):
    side.save(marked(2, 6))
    path = side.folder / NAME
    path.write_bytes(path.read_bytes() + b"{\n{")
    assert Sidecar(side.folder).load(stack).damage


def test_without_its_first_line_it_is_read(stack, side):
    side.save(marked(2, 6))
    path = side.folder / NAME
    path.write_bytes(b"?" + path.read_bytes())
    loaded = Sidecar(side.folder).load(stack)
    assert content(loaded) == content(marked(2, 6))
    assert loaded.damage


def test_lost_patches_are_told_until_something_is_saved(stack, side):
    saved = replace(marked(2, 6), patches=(patch(side, 6),))
    side.save(saved)
    saved.patches[0].pixels.path.unlink()
    for _ in range(2):  # the question may be left unanswered
        assert Sidecar(side.folder).load(stack).lost == 1
    again = Sidecar(side.folder)
    again.save(replace(again.load(stack), when=None))
    assert read(side.folder, stack).lost == 0


def test_a_write_that_failed_is_made_up_for(stack, tmp_path, monkeypatch):
    journal = Journal(tmp_path / "side")
    journal.write(marked(2))
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            journal.write(marked(2, 6))
    assert content(read(journal.folder, stack)) == content(marked(2))
    journal.write(marked(2, 6, 8))
    assert content(read(journal.folder, stack)) == content(marked(2, 6, 8))


def test_a_journal_that_was_deleted_is_written_anew(stack, tmp_path):
    journal = Journal(tmp_path / "side")
    journal.write(marked(2))
    (journal.folder / NAME).unlink()
    with pytest.raises(FileNotFoundError):
        journal.write(marked(2, 6))
    journal.write(marked(2, 6, 8))
    assert content(read(journal.folder, stack)) == content(marked(2, 6, 8))


def test_marks_of_another_stack_are_refused(volume, side):
    side.save(marked(77))
    with pytest.raises(BadInput, match="cannot be read"):
        side.load(SliceStack(volume[:3]))


def test_treatments_are_kept(stack, side):
    marks = Marks({2, 6}, {9: [square(3)]}, corrected={6})
    side.save(Saved(marks, dict.fromkeys(marks.each(), "marked")))
    marks = marks.copy()
    marks.treat([2, 9], "correct")
    side.save(Saved(marks, dict.fromkeys(marks.each(), "marked")))
    saved = read(side.folder, stack)
    assert saved.marks.corrected == {2, 6}
    assert saved.marks.treated(9, "correct")
