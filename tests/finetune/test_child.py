"""The child's side of the pipe. A whole child process runs in ``test_process.py``."""

from __future__ import annotations

import io
from threading import Event as Flag

import numpy as np
import pytest

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Notice
from napari_ssan.finetune import child
from napari_ssan.finetune.wire import Left, Refused, from_line
from napari_ssan.training.events import Preview

NO_MEMORY = "There is not enough memory for this; end other programs, or use another machine."
PREVIEW = Preview(3, *(np.full((4, 5), value, np.float32) for value in (1, 2, 3)))


@pytest.mark.parametrize(
    ("text", "stopped"), [("", False), ("nonsense\n", False), ("stop\n", True)]
)
def test_the_end_of_input_cancels_and_only_the_word_stops(text, stopped):
    stop, cancel = Flag(), Flag()
    child._listen(io.StringIO(text), stop, cancel)
    assert (stop.is_set(), cancel.is_set()) == (stopped, True)


def test_events_and_the_end_are_lines(tmp_path):
    out, cancel = io.StringIO(), Flag()
    for said in (Notice("Grüße"), PREVIEW, Left()):
        child._tell(out, tmp_path, cancel, said)
    first, second, last = map(from_line, out.getvalue().splitlines())
    assert first == Notice("Grüße")
    np.testing.assert_array_equal(second.now, PREVIEW.now)
    assert last == Left()
    assert not cancel.is_set()


def test_work_is_cancelled_when_the_parent_is_gone(tmp_path):
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    cancel = Flag()
    child._tell(Broken(), tmp_path, cancel, Notice("hello"))
    assert cancel.is_set()


def test_a_preview_that_cannot_be_written_is_a_notice(tmp_path):
    out = io.StringIO()
    child._tell(out, tmp_path / "absent", Flag(), PREVIEW)
    assert "preview cannot be written" in from_line(out.getvalue()).text


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (Cancelled(), Left()),
        (BadInput("No room."), Refused("No room.")),
        (MemoryError(), Refused(NO_MEMORY)),
    ],
)
def test_how_the_work_ended_is_passed_on(tmp_path, monkeypatch, error, end):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(child, "open_run", lambda folder: folder)
    monkeypatch.setattr("napari_ssan.finetune.work.fine_tune", fail)
    assert child._work(tmp_path, print, Flag(), Flag()) == end
