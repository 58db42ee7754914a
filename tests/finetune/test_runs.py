"""Covers: napari_ssan.finetune.new_run,
napari_ssan.finetune.run_folder, napari_ssan.finetune.section_copy
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from threading import Event as Flag

import numpy as np
import pytest
from filelock import FileLock

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.finetune.division import divide
from napari_ssan.finetune.new_run import new_run
from napari_ssan.finetune.process import run_here
from napari_ssan.finetune.run_folder import (
    CANDIDATE,
    CHECKPOINT,
    LOCK,
    RECORD,
    VERDICT,
    runs_folder,
)
from napari_ssan.finetune.runs import Run, open_run, runs
from napari_ssan.finetune.section_copy import MARGIN
from napari_ssan.network.model_file import read_info
from napari_ssan.network.model_library import list_models
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.training.checkpoint import checkpoint_path
from napari_ssan.training.events import Preparing


def test_sections_are_copied_under_their_own_numbers(begin, volume):
    window = slice(0, 64), slice(8, 72)
    run = begin(Source(SliceStack(volume), 2, 20, window=window))
    copy = run.source().stack
    assert copy.shape == (24, 64, 64)
    for z in (2, 11, 19):
        np.testing.assert_array_equal(copy.read(z), volume[z][window])
    part = slice(3, 9), slice(5, 6)
    np.testing.assert_array_equal(copy.read(7, part), volume[7][window][part])
    assert not copy.read(1).any()  # not copied
    assert (run.folder / "sections.npy").stat().st_size < 18 * 64 * 64 + 500


def test_marks_are_copied_as_they_lie_in_the_region(begin, volume):
    mask = np.zeros((64, 72), bool)
    mask[10:14, 6:12] = True
    marks = Marks({3, 22}, {9: [Region.from_mask(mask)]}, {4: 1})
    window = slice(0, 64), slice(8, 72)
    source = begin(Source(SliceStack(volume), 0, 20, marks=marks, window=window)).source()
    assert (source.marks.whole, source.marks.missing) == ({3}, {4: 1})
    copied = source.marks.mask(9, (slice(0, 64), slice(0, 64)))
    np.testing.assert_array_equal(copied, mask[window])


def test_a_stack_without_marks_has_none(begin, volume):
    assert begin(Source(SliceStack(volume))).source().marks is None


def test_progress_is_told(stack, config, tmp_path):
    events = []
    new_run(divide(stack, config), config, "s", None, events.append, folder=tmp_path / "run")
    assert events[0] == Preparing("copying sections", 0, 24)
    assert events[-1] == Preparing("copying sections", 24, 24)


def test_cancelled_while_copying_nothing_is_left(stack, config):
    cancel = Flag()
    cancel.set()
    with pytest.raises(Cancelled):
        new_run(divide(stack, config), config, "s", cancel=cancel)
    assert list(runs_folder().iterdir()) == []


def test_a_run_can_be_opened_again(begin):
    run = begin()
    assert open_run(run.folder) == run
    assert run.record.training.steps == 20
    assert checkpoint_path(run.folder / CANDIDATE) == run.folder / CHECKPOINT


def test_runs_are_listed_newest_first_until_they_are_discarded(begin):
    assert runs() == []
    older, newer = (begin(folder=None, seed=seed) for seed in (1, 2))
    assert older.folder.parent == runs_folder()
    assert runs() == [newer, older]
    newer.discard()
    assert runs() == [older]
    older.discard()
    assert list(runs_folder().iterdir()) == []
    older.discard()  # it is gone already


@pytest.mark.parametrize("text", ["{", '{"better": true, "from": "a newer version"}', "\xff"])
def test_a_result_that_cannot_be_read_hides_no_other_run(begin, text):
    broken, other = (begin(folder=None, seed=seed) for seed in (1, 2))
    (broken.folder / VERDICT).write_bytes(text.encode("latin-1"))
    assert runs() == [other]
    with pytest.raises(BadInput, match="cannot be read"):
        _ = broken.verdict


def test_a_run_says_what_it_is(begin):
    run = begin(loss="L_f", minutes=10.0, steps=None)
    # There is no VGG16.
    assert str(run) == "blobs.tif, 10 min faithful, 0 % done, today"
    yesterday = run.record.model_copy(update={"started": datetime.now(UTC) - timedelta(days=1)})
    assert str(Run(run.folder, yesterday)).endswith("yesterday")


def test_a_run_of_an_older_version_is_read(begin):
    run = begin(folder=None)
    record = json.loads((run.folder / RECORD).read_text(encoding="utf-8"))
    record["training"]["views"] = 8  # a setting that is no more
    (run.folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
    assert runs() == [run]


def test_a_run_that_is_worked_on_is_neither_listed_nor_discarded(begin):
    run = begin(folder=None)
    lock = FileLock(run.folder / LOCK)
    lock.acquire(blocking=False)
    assert runs() == []
    with pytest.raises(BadInput, match="is being worked on already"):
        run.discard()
    with pytest.raises(BadInput, match="is being worked on already"):
        run_here(run)
    lock.release()
    assert (run.folder / LOCK).exists()  # what is left of it does not matter
    assert runs() == [run]


def test_what_a_crash_left_before_a_run_began_is_removed(begin):
    run = begin(folder=None)
    (run.folder / RECORD).unlink()
    assert runs() == []
    assert not run.folder.exists()


def test_other_files_and_newer_runs_are_left_alone(begin):
    run = begin(folder=None)
    (runs_folder() / "note.txt").write_text("mine")
    record = json.loads((run.folder / RECORD).read_text())
    (run.folder / RECORD).write_text(json.dumps(record | {"format": 99}))
    assert runs() == []
    with pytest.raises(BadInput, match="newer version"):
        open_run(run.folder)
    assert run.folder.exists()
    assert (runs_folder() / "note.txt").exists()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 1}', '{"format": "x"}', "[" * 10**5])
def test_a_damaged_record_is_refused_in_a_sentence(begin, text):
    run = begin()
    (run.folder / RECORD).write_text(text)
    with pytest.raises(BadInput, match="cannot be read: delete this folder"):
        open_run(run.folder)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x93NUMPY\x7f\x00", b"\x93NUMPY\x01\x00\x05\x00(((((("]
)
def test_damaged_sections_are_refused(begin, content):
    run = begin()
    (run.folder / "sections.npy").write_bytes(content)
    with pytest.raises(BadInput, match=r"sections\.npy is damaged"):
        run.source()


@pytest.mark.parametrize("name", ["run.json", "verdict.json", "sections.npy"])
def test_a_pipe_in_a_run_is_not_read(begin, name):
    folder = begin().folder
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(BadInput, match="is a pipe"):
        open_run(folder)


def test_a_discarded_run_cannot_be_gone_on_with(begin):
    run = begin()
    run.discard()
    with pytest.raises(BadInput, match="was discarded; start a new one"):
        run_here(run)
    assert not run.folder.exists()


def test_what_is_kept_is_among_the_own_models_and_the_run_is_gone(begin):
    run = begin(folder=None)
    with pytest.raises(BadInput, match="not finished"):
        run.keep("Cortex A7")
    verdict = run_here(run)
    assert run.verdict == verdict
    assert run.share == 1
    assert "trained" in str(run)
    digest = read_info(run.model).sha256
    info = run.keep("Cortex A7")
    assert info.name == "Cortex A7"
    assert info.sha256 == digest
    assert "Cortex A7" in [each.name for each in list_models()]
    assert runs() == []


def test_a_disk_that_is_too_full_is_seen_before_anything_is_copied(stack, config, monkeypatch):
    division = divide(stack, config)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(
        "napari_ssan.finetune.section_copy.shutil.disk_usage",
        lambda path: usage._replace(free=MARGIN + 24 * 64 * 72 - 1),
    )
    with pytest.raises(BadInput, match="no room for a copy of the slices"):
        new_run(division, config, "s")
    assert list(runs_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("code", "sentence"),
    [(errno.ENOSPC, "no room for a copy of the slices"), (errno.EIO, "cannot be written to .*run")],
)
def test_a_disk_that_fails_while_copying_leaves_nothing(stack, config, monkeypatch, code, sentence):
    def fail(file):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("napari_ssan.swap.os.fsync", fail)
    with pytest.raises(BadInput, match=sentence):
        new_run(divide(stack, config), config, "s")
    monkeypatch.undo()
    assert not runs_folder().exists() or list(runs_folder().iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_said(stack, config):
    runs_folder().parent.mkdir(parents=True, exist_ok=True)
    runs_folder().write_text("a file in its place")
    with pytest.raises(BadInput, match="make that folder writable"):
        new_run(divide(stack, config), config, "s")
    runs_folder().unlink()
    assert new_run(divide(stack, config), config, "s") in runs()


def test_a_base_model_that_is_gone_later_is_not_missed(stack, config, base, tmp_path):
    own = tmp_path / "own.safetensors"
    shutil.copyfile(base, own)
    asked = config.model_copy(update={"base": str(own)})
    run = new_run(divide(stack, asked), asked, "s", folder=tmp_path / "run")
    own.unlink()
    assert read_info(run.base).sha256 == read_info(base).sha256


def test_no_two_runs_share_a_folder(begin):
    run = begin()
    with pytest.raises(BadInput, match="exists"):
        begin()
    assert open_run(run.folder) == run
