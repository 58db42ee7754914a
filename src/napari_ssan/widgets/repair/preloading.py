"""Loads a network before a repair asks for it, and knows how fast each one is on this computer.

Knows no view. Easy to get wrong: if a network cannot be loaded, nothing is said here; the repair
that needs it says so.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_ssan.session.kept_method import KeptMethod
from napari_ssan.session.rates import Rates, tried

if TYPE_CHECKING:
    from napari_ssan.widgets.repair.state import How
    from napari_ssan.workers import TaskQueue

#: Seconds from a mark to the loading of a network.
PAUSE = 0.5


class Preloading:
    """Loads networks in the queue `slow`, and saves their rates in the queue `quick`."""

    #: The rate of a network is known that was not known before.
    learned = Signal()

    def __init__(self, quick: TaskQueue, slow: TaskQueue) -> None:
        self._quick, self._slow = quick, slow
        #: What was loaded last.
        self.kept = KeptMethod()
        self._rates = Rates()
        self._asked: How | None = None

    def load(self, how: How) -> None:
        """Load what is needed for a repair; nothing happens if it was asked for last."""
        if how.method == "ssan" and how != self._asked:
            self._asked = how
            # Importing torch slows the GUI thread down: let it show the mark first.
            task = self._slow.submit(
                lambda report, cancel: None if cancel.wait(PAUSE) else self._try_out(how)
            )
            task.succeeded.connect(partial(self._on_tried, how))

    def rate(self, how: How) -> float | None:
        """Seconds for a megapixel of tiles in one view; None if that is not known."""
        return self._rates.of(how.model, how.device)

    def learn(self, how: How, rate: float) -> None:
        """Take note of a rate that a repair has shown, and keep it."""
        if self._rates.learn(how.model, how.device, rate):
            self._quick.submit(lambda report, cancel: self._rates.save())

    def _try_out(self, how: How) -> float | None:
        """Load the network, in a worker, and see how fast it is if that is not known."""
        method = self.kept.make(**asdict(how))
        return tried(method) if self.rate(how) is None else None

    def _on_tried(self, how: How, rate: float | None) -> None:
        if rate is not None:
            self._rates.learn(how.model, how.device, rate)  # unsaved: a repair measures it better
            self.learned.emit()
