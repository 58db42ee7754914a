"""Saving after every change: the latest state, one write at a time, off the GUI thread.

What has changed since the last write is found out by the journal, in the worker.
"""

from functools import partial

from psygnal import Signal

from napari_ssan.session.rejected import Place
from napari_ssan.session.saved import Saved
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.workers import TaskQueue


class Autosave:
    """Writes a session's state to its sidecar."""

    #: A sentence, the first time that it cannot be written.
    failed = Signal(str)

    def __init__(self, queue: TaskQueue) -> None:
        self.sidecar: Sidecar | None = None
        #: While this holds, what is in the sidecar is not replaced.
        self.held = True
        self._queue = queue
        self._latest: Saved | None = None
        self._writing = self._complained = self._closed = self._leaving = False

    def save(self, saved: Saved) -> None:
        """Take note of a state; it is written as soon as may be."""
        self._latest = saved
        self.write()

    def save_rejected(self, places: frozenset[Place]) -> None:
        """Write which suggestions were rejected."""
        sidecar = self.sidecar
        if sidecar is not None:
            task = self._queue.submit(lambda report, cancel: sidecar.save_rejected(places))
            task.failed.connect(self._on_failed)

    def write(self) -> None:
        """Write the latest state, unless there is a reason to wait."""
        if self.sidecar is None or self.held or self._writing or self._latest is None:
            return
        sidecar, saved, self._latest = self.sidecar, self._latest, None
        self._writing = True
        task = self._queue.submit(lambda report, cancel: sidecar.save(saved))
        task.failed.connect(self._on_failed)
        # Qt holds methods weakly; the sidecar must be let go even if nobody else knows of it.
        task.cancelled.connect(partial(Autosave._on_cancelled, self, saved))
        task.ended.connect(partial(Autosave._on_ended, self))

    def close(self) -> None:
        """Leave the sidecar to others when all that was handed over before has been written."""
        if not self._closed:
            self._closed = True
            before = self._queue.submit(lambda report, cancel: None)
            before.ended.connect(partial(Autosave._leave, self))

    def _leave(self) -> None:
        self._leaving = True
        if self.sidecar is not None and not self._writing:
            sidecar, self.sidecar = self.sidecar, None
            self._queue.submit(lambda report, cancel: sidecar.release())

    def _on_cancelled(self, saved: Saved) -> None:
        """Write what was dropped before it began, as when the program ends."""
        self._latest = self._latest or saved

    def _on_ended(self) -> None:
        self._writing = False
        self.write()
        if self._leaving:
            self._leave()

    def _on_failed(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            reason = getattr(error, "strerror", None) or error
            self.failed.emit(
                f"The marks cannot be saved ({reason}): work goes on in memory; "
                "export the stack to keep it."
            )
