"""Ctrl-C, SIGTERM and SIGHUP: a command ends in one sentence, and leaves nothing behind.

A signal raises ``KeyboardInterrupt``, whichever it is. Within `interruptible` it only sets a flag,
so that what is at work comes to a good end; a second one, later, still raises. Easy to get wrong:
signals come in pairs, since a terminal and a shell both send one, and the second must not break
into the cleaning up after the first.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event as Flag
from threading import current_thread, main_thread

from napari_ssan.errors import Cancelled

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in dir(signal)]
#: What comes within so many seconds of a signal is part of it.
AT_ONCE = 1.0


class Received:
    """The signal that ends a command.

    Attributes
    ----------
    number : int
        Which one; 0 if there was none.
    flag : threading.Event or None
        What the first one sets instead of raising.
    """

    def __init__(self) -> None:
        self.number = 0
        self.flag: Flag | None = None
        self._when = 0.0

    def __call__(self, number: int, frame: object) -> None:
        """Take a signal; Python calls it."""
        now, first = time.monotonic(), not self.number
        if not first and now - self._when < AT_ONCE:
            return
        self.number, self._when = self.number or number, now
        if first and self.flag is not None:
            self.flag.set()
            return
        raise KeyboardInterrupt

    @property
    def code(self) -> int:
        """Exit code: 130 on Ctrl-C, 143 on SIGTERM, 129 on SIGHUP."""
        return 128 + (self.number or signal.SIGINT)

    def __str__(self) -> str:
        if self.number in (0, signal.SIGINT):
            return "Stopped."
        return f"Stopped by {signal.Signals(self.number).name}."


_received = Received()


@contextmanager
def handled() -> Iterator[Received]:
    """Take the signals, except those that are ignored, as by ``nohup`` or in the background."""
    global _received
    _received = Received()
    before = {}
    if current_thread() is main_thread():
        before = {number: signal.getsignal(number) for number in SIGNALS}
        before = {number: how for number, how in before.items() if how is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, _received)
    try:
        yield _received
    finally:
        for number, how in before.items():
            signal.signal(number, how)


@contextmanager
def interruptible() -> Iterator[Flag]:
    """Yield a flag that the first signal sets; a second one ends the program.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block, if it raised Cancelled.
    """
    received, flag = _received, Flag()
    received.flag = flag
    try:
        yield flag
    except Cancelled:
        raise KeyboardInterrupt from None
    finally:
        received.flag = None
