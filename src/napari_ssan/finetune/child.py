"""The child process of a fine-tune run: ``python -m napari_ssan.finetune.child RUN_FOLDER``.

It writes events to standard output, one line of JSON each; the last line says how it
ended. The line ``stop`` on standard input ends training and keeps the best network. If
standard input closes, for example because the parent died, the child writes a checkpoint
and ends. The parent's side is :mod:`~napari_ssan.finetune.process`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import TextIO

from napari_ssan.errors import BadInput, Cancelled, memory_in_words
from napari_ssan.events import Notice
from napari_ssan.finetune.config import spare_threads
from napari_ssan.finetune.events import FineTuneEvent
from napari_ssan.finetune.runs import open_run
from napari_ssan.finetune.wire import End, Left, Refused, to_line
from napari_ssan.training.events import Preview

#: Line that ends training early.
STOP = "stop"
#: How nice this process is to others, on systems that know niceness.
NICENESS = 5


def main() -> None:
    """Work on a run until it is done or cancelled."""
    # What libraries print, even those in C, must not mix with the lines.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = sys.stderr
    folder = Path(sys.argv[1])
    stop, cancel = Flag(), Flag()
    Thread(target=_listen, args=(sys.stdin, stop, cancel), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    line = _Line(out, folder, cancel)
    line.end(_work(folder, line, stop, cancel))


def _work(folder: Path, line: _Line, stop: Flag, cancel: Flag) -> End:
    import torch

    from napari_ssan.finetune.work import fine_tune

    torch.set_num_threads(spare_threads())
    try:
        with memory_in_words():
            return fine_tune(open_run(folder), line.tell, stop, cancel)
    except Cancelled:
        return Left()
    except BadInput as error:
        return Refused(str(error))


def _listen(stdin: TextIO, stop: Flag, cancel: Flag) -> None:
    for text in stdin:
        if text.strip() == STOP:
            stop.set()
    cancel.set()


class _Line:
    """Sends events to the parent, and cancels the work if the parent is gone.

    Parameters
    ----------
    out : file
        Receives the lines.
    folder : Path
        Folder for pictures.
    cancel : threading.Event
        Is set when the parent is gone.
    """

    def __init__(self, out: TextIO, folder: Path, cancel: Flag) -> None:
        self._out, self._folder, self._cancel = out, folder, cancel

    def tell(self, event: FineTuneEvent) -> None:
        """Send an event."""
        try:
            text = to_line(event, self._folder)
        except OSError as error:
            if not isinstance(event, Preview):
                raise
            text = to_line(
                Notice(
                    f"The preview cannot be written ({error.strerror or error}): "
                    "free some disk space."
                ),
                self._folder,
            )
        self._write(text)

    def end(self, end: End) -> None:
        """Send how the run ended."""
        self._write(to_line(end, self._folder))

    def _write(self, text: str) -> None:
        try:
            self._out.write(f"{text}\n")
            self._out.flush()
        except OSError:  # the parent is gone
            self._cancel.set()


if __name__ == "__main__":
    main()
