"""Ctrl-C, SIGTERM and SIGHUP: a command ends in one sentence, and leaves nothing behind.

A signal raises ``KeyboardInterrupt``, whichever it is. Within `interruptible` it only sets a flag,
so that what is at work comes to a good end; a second one, later, still raises. Easy to get wrong:
signals come in pairs, since a terminal and a shell both send one, and the second must not break
into the cleaning up after the first. Python tells of a signal only once it is back from C code,
which may take seconds (the import of torch), so that what came at once seems to come later. Hence
the system itself drops signals for a while, where it can, and says when that is over.
"""

from __future__ import annotations

import math
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
#: What Python tells of within so many seconds came together.
MOMENT = 0.05
#: Whether the system can tell when they are over; Windows cannot.
CLOCK = hasattr(signal, "setitimer")


class Received:
    """The signal that ends a command.

    Attributes
    ----------
    number : int
        Which one; 0 if there was none.
    flag : threading.Event or None
        What the first one sets instead of raising.
    taken : list of int
        The signals that come here.
    """

    def __init__(self) -> None:
        self.number = 0
        self.flag: Flag | None = None
        self.taken: list[int] = []
        self._deaf_until = 0.0

    def __call__(self, number: int, frame: object) -> None:
        """Take a signal; Python calls it."""
        now, first = time.monotonic(), not self.number
        if now < self._deaf_until:
            return
        self.number, self._deaf_until = self.number or number, now + AT_ONCE
        if CLOCK:
            self._deaf_until = math.inf
            for each in self.taken:
                signal.signal(each, signal.SIG_IGN)
            signal.setitimer(signal.ITIMER_REAL, AT_ONCE)
        if first and self.flag is not None:
            self.flag.set()
            return
        raise KeyboardInterrupt

    def listen_again(self, *_: object) -> None:
        """Take signals again; Python calls it when the clock says so."""
        # One that came before they were dropped may still be told of, right after this.
        self._deaf_until = time.monotonic() + MOMENT
        for number in self.taken:
            signal.signal(number, self)

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
    _received.taken = list(before)
    clock = signal.signal(signal.SIGALRM, _received.listen_again) if CLOCK and before else None
    for number in before:
        signal.signal(number, _received)
    try:
        yield _received
    finally:
        if CLOCK and before:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, clock)
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
