"""What survives a crash.

Covers: napari_ssan.session.jobs, napari_ssan.session.saved
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from napari_ssan.engine import patch_files, stored
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.stored import StoredArray
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.session import sidecar as module
from napari_ssan.session.journal import FORMAT, NAME, OLDER, read
from napari_ssan.session.saved import Saved
from napari_ssan.session.session import RepairSession
from napari_ssan.session.sidecar import Sidecar, fingerprint
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


@pytest.fixture
def stack(volume) -> SliceStack:
    return SliceStack(volume)


@pytest.fixture
def side(tmp_path) -> Sidecar:
    return Sidecar(tmp_path / "side")


def repaired(stack: SliceStack, side: Sidecar | None) -> RepairSession:
    """A session with a whole slice, a region and an insertion, all repaired."""
    session = RepairSession(stack, side and side.save)
    session.mark([2])
    session.add_region(5, Region.from_outline([(10, 10), (10, 30), (30, 20)], stack.shape[1:]))
    session.set_missing(6, 1)
    job = session.claim()

    def report(event):
        if isinstance(event, Patch):
            session.take(event, job)

    job.run(report, threading.Event(), method="average", sidecar=side)
    session.release(job)
    session.accept([(2, 0)])
    return session


def content_of(side: Sidecar) -> dict:
    """All that the journal says, as one."""
    content = {"marks": {}, "states": {}, "patches": {}}
    for line in (side.folder / NAME).read_text().splitlines():
        for part, entries in json.loads(line).items():
            content.setdefault(part, {})
            content[part] = content[part] | entries if isinstance(entries, dict) else entries
    return content


def as_format_1(stack: SliceStack, side: Sidecar) -> dict:
    """Put what is saved in the one file that it was written to until 0.1; its content."""
    saved, content = read(side.folder, stack), content_of(side)
    old = {
        "format": 1,
        "saved": content["saved"],
        "defects": json.loads(saved.marks.to_json()),
        "states": [{"slot": slot, "state": state} for slot, state in saved.states.items()],
        "patches": [entry | {"file": name} for name, entry in content["patches"].items()],
    }
    (side.folder / NAME).unlink()
    (side.folder / OLDER).write_text(json.dumps(old))
    return old


def test_what_an_older_version_saved_is_taken_over(stack, side):
    session = repaired(stack, side)
    as_format_1(stack, side)
    for again in (Sidecar(side.folder), Sidecar(side.folder)):  # the second one from the journal
        saved = again.load(stack)
        assert str(saved) == "3 marks from today, all of them repaired"
        other = RepairSession(stack)
        other.restore(saved)
        assert other.rows() == session.rows()
        np.testing.assert_array_equal(other.repaired[:], session.repaired[:])
    assert (side.folder / NAME).exists()
    assert json.loads((side.folder / OLDER).read_text()) == {"format": FORMAT}  # seals older ones


def test_round_trip(stack, side):
    session = repaired(stack, side)
    saved = side.load(stack)
    assert saved.lost == 0
    assert all(isinstance(patch.pixels, StoredArray) for patch in saved.patches)
    other = RepairSession(stack)
    other.restore(saved)
    assert other.rows() == session.rows()
    assert (other.repaired[:] == session.repaired[:]).all()
    assert other.repaired.provenance == session.repaired.provenance


def test_expected_errors_survive(stack, side):
    session = repaired(stack, side)
    assert len(list(side.folder.glob("error-*.npy"))) == 3
    saved = side.load(stack)
    assert all(isinstance(patch.error, StoredArray) for patch in saved.patches)
    other = RepairSession(stack)
    other.restore(saved)
    np.testing.assert_array_equal(
        other.repaired.expected_error[:], session.repaired.expected_error[:]
    )
    assert len(list(side.folder.glob("error-*.npy"))) == 3
    session.revert([(5, 0)])
    side.release()
    assert len(list(side.folder.glob("error-*.npy"))) == 2


def test_what_an_older_version_saved_opens_without_expected_errors(stack, side):
    session = repaired(stack, side)
    content = as_format_1(stack, side)
    for entry in content["patches"]:
        del entry["error"], entry["record"]["error"]
    (side.folder / OLDER).write_text(json.dumps(content))
    saved = side.load(stack)
    assert saved.lost == 0
    other = RepairSession(stack)
    other.restore(saved)
    np.testing.assert_array_equal(other.repaired[:], session.repaired[:])
    assert np.isnan(other.repaired.expected_error[2]).all()
    assert not list(side.folder.glob("error-*.npy"))


@pytest.mark.parametrize("damage", ["gone", "cut", "foreign", "elsewhere"])
def test_pixels_are_good_without_their_expected_errors(stack, side, damage):
    repaired(stack, side)
    path = next(side.folder.glob("error-2-0-*.npy"))
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "foreign":
        np.save(path, np.zeros((3, 4), np.float32))
    else:
        content = content_of(side)
        next(iter(content["patches"].values()))["error"] = "../../etc/passwd"
        (side.folder / NAME).write_text(json.dumps(content) + "\n")
    saved = side.load(stack)
    assert saved.lost == 0
    assert [patch.error is None for patch in saved.patches].count(True) == 1


def test_nothing_saved_is_nothing(stack, side):
    assert side.load(stack) is None


def test_summary_says_from_when(stack, side):
    repaired(stack, side)
    assert str(side.load(stack)) == "3 marks from today, all of them repaired"
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert str(Saved(Marks({1}), {(1, 0): "marked"}, (), yesterday)) == "1 mark from yesterday"
    long_ago = datetime(2020, 5, 4, 12, tzinfo=UTC)
    assert str(Saved(Marks({1}), {(1, 0): "marked"}, (), long_ago)) == "1 mark from 04 May 2020"


def test_a_missing_file_is_a_lost_patch(stack, side):
    repaired(stack, side)
    next(side.folder.glob("2-0-*.npy")).unlink()
    next(side.folder.glob("5-0-*.npy")).write_bytes(b"nothing")
    saved = side.load(stack)
    assert saved.lost == 2
    session = RepairSession(stack)
    session.restore(saved)
    assert session.pending == {(2, 0), (5, 0)}


def test_files_that_nobody_refers_to_are_deleted(stack, side):
    repaired(stack, side)
    np.save(side.folder / "9-0-0-0-stray.npy", np.zeros(3))
    side.load(stack)
    assert not list(side.folder.glob("*stray*"))
    assert len(list(side.folder.glob("[0-9]*.npy"))) == 3


@pytest.mark.parametrize("name", [NAME, OLDER])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 1, "saved": "2026-01-01", "defects": {"slices": [77]}, "states": [], '
        '"patches": []}',
        "\udcff",
    ],
)
def test_a_damaged_file_is_kept_aside(stack, side, text, name):
    if name == NAME and text.startswith('{"format"'):
        text = '{"format": 2, "marks": {"77-0": {"slices": [77]}}}\n'
    side.folder.mkdir()
    (side.folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match="cannot be read") as caught:
        side.load(stack)
    (aside,) = side.folder.glob(f"damaged-*{(side.folder / name).suffix}")
    assert str(aside) in str(caught.value)
    assert side.load(stack) is None


def fail(*args, **options):
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize("reason", ["read", "pixels", "newer", "rename"])
def test_what_may_be_good_is_left_alone(stack, side, monkeypatch, reason):
    repaired(stack, side)
    path = side.folder / NAME
    if reason == "newer":
        path.write_text(path.read_text().replace('"format": 2', '"format": 3'))
    elif reason == "rename":
        path.write_text("{")
    before = {file: file.read_bytes() for file in side.folder.iterdir()}
    if reason == "read":
        monkeypatch.setattr(type(path), "read_bytes", fail)
    elif reason == "pixels":
        monkeypatch.setattr(StoredArray, "_open", fail)
    elif reason == "rename":
        monkeypatch.setattr(type(path), "replace", fail)
    other = Sidecar(side.folder)
    with pytest.raises(BadInput, match="left as they are") as caught:
        other.load(stack)
    assert ("newer version" in str(caught.value)) == (reason == "newer")
    monkeypatch.undo()
    session = repaired(stack, other)
    assert session.repaired.patches((2, 0))
    session.unmark([(2, 0), (5, 0), (6, 1)])
    other.release()
    assert {file: file.read_bytes() for file in side.folder.iterdir()} == before
    if reason in ("read", "pixels"):
        assert Sidecar(side.folder).load(stack).lost == 0


def test_foreign_pixels_are_not_taken(stack, side):
    repaired(stack, side)
    path = next(side.folder.glob("2-0-*.npy"))
    np.save(path, np.zeros((3000, 2), np.uint8))
    assert side.load(stack).lost == 1
    content = content_of(side)
    content["patches"]["../../etc/passwd"] = content["patches"].pop(path.name)
    (side.folder / NAME).write_text(json.dumps(content) + "\n")
    assert side.load(stack).lost >= 1


def test_pixels_stay_until_the_release(stack, side):
    session = repaired(stack, side)
    before, snapshot = session.repaired[:], session.snapshot()
    session.unmark([(2, 0), (5, 0), (6, 1)])
    assert not (side.folder / NAME).exists()
    assert (snapshot[:] == before).all()
    side.release()
    assert not side.folder.exists()
    side.release()


def test_released_pixels_that_are_saved_stay(stack, side):
    session = repaired(stack, side)
    session.revert([(5, 0)])
    side.release()
    assert len(list(side.folder.glob("[0-9]*.npy"))) == 2
    assert side.load(stack).lost == 0


def test_pixels_whose_marks_are_not_saved_yet_stay(stack, side):
    session = repaired(stack, side)
    (patch,) = session.repaired.patches((2, 0))
    kept = side.keep(patch)
    side.release()
    assert kept.pixels.path.exists()


def test_pixels_of_marks_that_were_put_aside_stay(stack, side):
    repaired(stack, side)
    (side.folder / NAME).write_text("{")
    with pytest.raises(BadInput):
        side.load(stack)
    assert side.load(stack) is None
    assert len(list(side.folder.glob("[0-9]*.npy"))) == 3


def test_one_at_a_time(stack, tmp_path):
    source = tmp_path / "a.tif"
    source.touch()
    first, second = Sidecar.of(stack, source), Sidecar.of(stack, source)
    assert first.acquire()
    assert not second.acquire()
    second.release()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()
    assert list(tmp_path.iterdir()) == [source]


def test_a_process_that_ends_leaves_no_lock(stack, side, user_folder):
    code = (
        "import os, sys; from pathlib import Path;"
        "from napari_ssan.session import sidecar;"
        "sidecar.user_data_path = lambda name, *rest: Path(sys.argv[1]) / name;"
        "side = sidecar.Sidecar(Path(sys.argv[2])); assert side.acquire();"
        "print('held', flush=True); sys.stdin.read(); os._exit(1)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(user_folder), str(side.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "held\n"
    assert not side.acquire()
    other.communicate()
    assert side.acquire()
    side.release()


def test_where_nothing_can_be_locked_work_goes_on(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    side = Sidecar(tmp_path / "file" / "side")
    assert side.acquire()
    side.release()


HOLD = """
import sys
from pathlib import Path
import numpy as np
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.stack.sections import SliceStack
source = Path(sys.argv[1])
side = Sidecar.of(SliceStack(np.load(source)), source)
assert side.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("way", ["link to the file", "link to the folder", ".."])
def test_two_ways_to_a_stack_lead_to_one_lock(volume, stack, tmp_path, way):
    (tmp_path / "data").mkdir()
    source = tmp_path / "data" / "a.npy"
    np.save(source, volume)
    if way == "link to the file":
        other = tmp_path / "b.npy"
        other.symlink_to(source)
    elif way == "link to the folder":
        (tmp_path / "link").symlink_to(tmp_path / "data")
        other = tmp_path / "link" / "a.npy"
    else:
        other = tmp_path / "data" / ".." / "data" / "a.npy"
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(other)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    side = Sidecar.of(stack, source)
    assert held.stdout.readline() == "held\n"
    assert not side.acquire()
    held.communicate()
    assert side.acquire()
    side.release()
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"a.npy"}


def test_what_was_saved_beside_a_link_is_found(stack, tmp_path):
    (tmp_path / "data").mkdir()
    source, link = tmp_path / "data" / "a.npy", tmp_path / "b.npy"
    source.touch()
    link.symlink_to(source)
    beside = tmp_path / ".b.npy.napari-ssan" / fingerprint(stack)
    assert Sidecar.of(stack, link).folder.parent == source.parent / ".a.npy.napari-ssan"
    repaired(stack, Sidecar(beside))
    assert Sidecar.of(stack, link).folder == beside
    assert Sidecar.of(stack, link).load(stack).lost == 0


def test_a_lock_file_that_was_left_does_not_matter(stack, tmp_path):
    source = tmp_path / "a.tif"
    source.touch()
    side = Sidecar.of(stack, source)
    side.folder.parent.mkdir()
    side.folder.with_name(f"{side.folder.name}.lock").touch()
    assert side.acquire()
    side.release()
    assert list(tmp_path.iterdir()) == [source]


def test_without_marks_nothing_is_kept(stack, side):
    session = RepairSession(stack, side.save)
    session.mark([2])
    assert side.load(stack)
    session.unmark([(2, 0)])
    assert not side.folder.exists()


def test_it_lies_beside_the_file(stack, tmp_path, user_folder):
    source = tmp_path / "a.tif"
    source.touch()
    beside = Sidecar.of(stack, source).folder
    assert beside.parent == tmp_path / ".a.tif.napari-ssan"
    assert user_folder in Sidecar.of(stack, None).folder.parents
    assert user_folder in Sidecar.of(stack, tmp_path / "gone.tif").folder.parents


def test_an_unwritable_folder_is_left_alone(stack, tmp_path, user_folder, monkeypatch):
    source = tmp_path / "a.tif"
    source.touch()
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    assert user_folder in Sidecar.of(stack, source).folder.parents


def test_fingerprint_follows_content(volume):
    stack = SliceStack(volume)
    other = volume.copy()
    other[4, 50, 60] += 1
    assert fingerprint(stack) == fingerprint(SliceStack(volume.copy()))
    assert fingerprint(stack) != fingerprint(SliceStack(other))
    assert fingerprint(stack) != fingerprint(SliceStack(volume.astype(np.uint16)))
    assert fingerprint(stack) != fingerprint(SliceStack(volume, z_axis=1))


def test_a_full_disk_costs_no_work(stack, side, monkeypatch):
    def full(path, array):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(patch_files, "store", full)
    session = RepairSession(stack)
    session.mark([2, 5])
    job = session.claim()
    events = []
    job.run(events.append, threading.Event(), method="average", sidecar=side)
    assert sum(isinstance(event, Patch) for event in events) == 2
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert len(notices) == 1
    assert "No space left" in notices[0]


def test_a_full_disk_is_said_in_the_words_of_the_command_line(stack, side, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored.np.lib.format, "write_array_header_1_0", full)
    session = RepairSession(stack)
    session.mark([2])
    events = []
    session.claim().run(events.append, threading.Event(), method="average", sidecar=side)
    (notice,) = [event.text for event in events if isinstance(event, Notice)]
    assert "cannot be saved (the disk is full)" in notice
    assert not list(side.folder.iterdir())


def test_a_repair_for_which_there_is_no_room_ends_with_a_sentence(stack, monkeypatch):
    def full(*args):
        raise OSError(28, "the disk is full", "/scratch")

    monkeypatch.setattr("napari_ssan.engine.synthesis.buffer", full)
    session = RepairSession(stack)
    session.mark([2])
    with pytest.raises(BadInput, match=r"the disk is full \(/scratch\)"):
        session.claim().run(lambda event: None, threading.Event(), method="average")


def test_a_write_that_fails_leaves_the_old_state(stack, side, monkeypatch):
    session = RepairSession(stack, side.save)
    session.mark([2])
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        session.mark([5])
    assert side.load(stack).marks.whole == {2}
    assert not list(side.folder.glob("*.part"))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "5", "[]"])
@pytest.mark.parametrize("name", [NAME, OLDER])
def test_marks_that_no_sidecar_holds_are_put_aside(stack, side, text, name):
    repaired(stack, side)
    (side.folder / NAME).unlink()
    (side.folder / name).write_text(text + "\n")
    with pytest.raises(BadInput, match="kept as"):
        Sidecar(side.folder).load(stack)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_is_no_journal_and_holds_no_pixels(stack, side):
    repaired(stack, side)
    for path in list(side.folder.glob("*.npy")):
        path.unlink()
        os.mkfifo(path)
    saved = Sidecar(side.folder).load(stack)
    assert (saved.lost, saved.patches) == (3, ())
    (side.folder / NAME).unlink()
    os.mkfifo(side.folder / NAME)
    with pytest.raises(BadInput, match="is a pipe"):
        Sidecar(side.folder).load(stack)


@pytest.mark.parametrize("at", [0, 6, 8, 10, 40, 60, 90])
@pytest.mark.parametrize("junk", [b"", b"\xff\xff\xff\xff", b"((((((((", b"'" * 3, b"9" * 30])
def test_pixels_with_a_damaged_header_are_lost(stack, side, at, junk):
    repaired(stack, side)
    for path in side.folder.glob("*.npy"):
        data = path.read_bytes()
        path.write_bytes(data[:at] + junk + data[at + len(junk) :] if junk else data[:at])
    saved = Sidecar(side.folder).load(stack)
    assert saved is not None
    assert saved.lost + len(saved.patches) == 3
