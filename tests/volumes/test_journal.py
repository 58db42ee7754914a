from __future__ import annotations

import pytest

from napari_ssan.engine.provenance import SyntheticSection
from napari_ssan.errors import BadInput
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.journal import Journal, joined, only


def record(z: int, method: str = "average") -> dict:
    return SyntheticSection(
        section=z, kind="whole", share=1, neighbours=(z - 1, z + 1), position=0.5, method=method
    ).model_dump(mode="json")


@pytest.fixture
def journal(tmp_path) -> Journal:
    found = Journal(tmp_path)
    assert not found.read().run
    found.write("begin", format=1, sections=[3, 9], marks=Marks({3, 9}).to_json())
    found.write("done", row=[0, 0], sections=[3], records=[record(3)])
    return found


def test_what_is_done_and_left(journal):
    state = journal.read()
    assert (state.asked, state.repaired, state.finished) == ({3, 9}, {3}, False)
    journal.write("failed", row=[0, 2], sections=[9], reason="the disk is full")
    assert journal.read().failed == {(0, 2): ([9], "the disk is full")}
    journal.write("done", row=[0, 2], sections=[9], records=[record(9)])
    journal.write("done", row=[1, 0], sections=[3, 9], records=[])
    journal.write("end")
    state = journal.read()
    assert (state.repaired, state.failed, state.finished) == ({3, 9}, {}, True)
    assert [each.section for each in state.synthetic] == [3, 9]


def test_marks_add_up_until_they_are_restored(journal):
    journal.write("begin", sections=[4], marks=Marks({3, 4, 9}).to_json())
    assert journal.read().marks((50, 50)).whole == {3, 4}  # 9 was never done
    journal.write("restoring", sections=[3])
    assert journal.read().restoring == {3}
    journal.write("restored", sections=[3])
    state = journal.read()
    assert (state.restoring, state.synthetic) == (set(), ())
    assert state.marks((50, 50)).whole == {4}


def test_a_torn_line_is_dropped_and_overwritten(journal):
    with journal.path.open("ab") as file:
        file.write(b'{"step": "done", "row": [0, 2], "sec')
    assert journal.read().repaired == {3}
    journal.write("done", row=[0, 2], sections=[9], records=[record(9)])
    assert journal.read().repaired == {3, 9}
    journal.path.write_bytes(b"torn from the start")
    assert not journal.read().run
    journal.write("begin", sections=[1], marks=Marks({1}).to_json())
    assert journal.read().asked == {1}


def test_what_is_damaged_or_newer_is_refused(journal):
    content = journal.path.read_bytes()
    journal.path.write_bytes(b"rubbish\n" + content)
    with pytest.raises(BadInput, match=r"Line 1 of .* is damaged"):
        journal.read()
    journal.path.write_bytes(content.replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(BadInput, match="newer version"):
        journal.read()


def test_marks_of_some_sections_and_of_both():
    marks = Marks.from_json(
        '{"slices": [1, 2], "regions": [{"slice": 4, "outline": [[0, 0], [0, 9], [9, 9]]}]}',
        (20, 20),
    )
    assert only(marks, [2, 4]).whole == {2}
    both = joined(marks, only(marks, [4]))
    assert len(both.regions[4]) == 1


def test_what_is_to_be_corrected_stays_so_until_it_is_marked_anew():
    marks = Marks({1, 2}, corrected={2})
    assert only(marks, [2]).corrected == {2}
    assert joined(Marks({3}), marks).corrected == {2}
    assert joined(marks, Marks({2})).corrected == set()
