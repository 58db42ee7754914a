"""The child process of a fine-tune run: ``python -m napari_ssan.finetune.child RUN_FOLDER``.

It writes events to standard output, one line of JSON each; the last line says how it
ended. The line ``stop`` on standard input ends training and keeps the best network. If
standard input closes, for example because the parent died, the child writes a checkpoint
and ends. The parent's side is :mod:`~napari_ssan.finetune.process`.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import TextIO

from napari_ssan.errors import BadInput, Cancelled, memory_in_words
from napari_ssan.events import Notice
from napari_ssan.finetune.config import spare_threads
from napari_ssan.finetune.events import FineTuneEvent, FineTuneReport
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
    tell = partial(_tell, out, folder, cancel)
    tell(_work(folder, tell, stop, cancel))


def _work(folder: Path, tell: FineTuneReport, stop: Flag, cancel: Flag) -> End:
    import torch

    from napari_ssan.finetune.work import fine_tune

    torch.set_num_threads(spare_threads())
    try:
        with memory_in_words():
            return fine_tune(open_run(folder), tell, stop, cancel)
    except Cancelled:
        return Left()
    except BadInput as error:
        return Refused(str(error))


def _listen(stdin: TextIO, stop: Flag, cancel: Flag) -> None:
    for text in stdin:
        if text.strip() == STOP:
            stop.set()
    cancel.set()


def _tell(out: TextIO, folder: Path, cancel: Flag, said: FineTuneEvent | End) -> None:
    """Tell the parent what goes on or how the run ended; set `cancel` if the parent is gone."""
    try:
        text = to_line(said, folder)
    except OSError as error:
        if not isinstance(said, Preview):
            raise
        why = error.strerror or error
        text = to_line(
            Notice(f"The preview cannot be written ({why}): free some disk space."), folder
        )
    try:
        out.write(f"{text}\n")
        out.flush()
    except OSError:  # the parent is gone
        cancel.set()


if __name__ == "__main__":
    main()
