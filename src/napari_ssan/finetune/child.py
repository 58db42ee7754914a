"""A fine-tuning in a process of its own: ``python -m napari_ssan.finetune.child RUN_FOLDER``.

What it says goes to standard output, a line of JSON each; how it ended is the last
one. ``stop`` on standard input ends training and keeps the best; the end of standard
input, as when the parent has died, makes it leave off with a checkpoint.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import TextIO

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Notice
from napari_ssan.finetune.config import spare_threads
from napari_ssan.finetune.events import FineTuneEvent
from napari_ssan.finetune.runs import open_run
from napari_ssan.finetune.wire import End, Left, Refused, to_line
from napari_ssan.training.events import Preview

#: What ends training early, as a line.
STOP = "stop"
#: How much this process gives way to others, where the system knows that.
NICENESS = 5


def main() -> None:
    """Work on a run until it is over or left off."""
    # Nothing that a library prints, be it written in C, may mix with the lines.
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

    from napari_ssan.finetune.work import tune

    torch.set_num_threads(spare_threads())
    try:
        return tune(open_run(folder), line.tell, stop, cancel)
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
    """Tells the parent what goes on, and leaves off when there is none any more.

    Parameters
    ----------
    out : file
        Where to.
    folder : Path
        For pictures.
    cancel : threading.Event
        Is set when nobody listens.
    """

    def __init__(self, out: TextIO, folder: Path, cancel: Flag) -> None:
        self._out, self._folder, self._cancel = out, folder, cancel

    def tell(self, event: FineTuneEvent) -> None:
        """Pass an event on."""
        try:
            text = to_line(event, self._folder)
        except OSError as error:
            if not isinstance(event, Preview):
                raise
            text = to_line(
                Notice(f"The preview cannot be written ({error.strerror or error}): make room."),
                self._folder,
            )
        self._write(text)

    def end(self, end: End) -> None:
        """Say how it ended."""
        self._write(to_line(end, self._folder))

    def _write(self, text: str) -> None:
        try:
            self._out.write(f"{text}\n")
            self._out.flush()
        except OSError:  # the parent is gone, and nobody waits for more
            self._cancel.set()


if __name__ == "__main__":
    main()
