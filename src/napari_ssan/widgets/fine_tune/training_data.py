"""The slices that a training would use: their check, and the table of those left out.

The check itself is :mod:`napari_ssan.finetune.division`. Its result is kept as long as the
same key comes back; then only the cost is estimated again.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from threading import Event as Flag
from typing import TYPE_CHECKING

import psygnal
from qtpy.QtCore import Signal

from napari_ssan.errors import BadInput
from napari_ssan.training.events import Preparing
from napari_ssan.widgets.fine_tune.backend import Backend, TrainingRequest
from napari_ssan.widgets.fine_tune.state import LeftOut, TrainingData, ranges_text, share_text
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.parts import Column, Fold, ProgressRow, Table, button, say, wrapped
from napari_ssan.workers import Report, Task, TaskQueue

if TYPE_CHECKING:
    from napari_ssan.finetune.division import Division
    from napari_ssan.finetune.forecast import Forecast

#: Height of a line of the table in pixels, and how many are visible at once.
HEIGHT, LINES = 22, 5
CHECKING = "Checking which slices can be used…"


class TrainingDataPanel(Column):
    """What is used, what is left out and why, and the cost."""

    #: Number of a section that was clicked, to go there.
    chosen = Signal(int)
    wanted = Signal()

    def __init__(self) -> None:
        super().__init__(spacing=4)
        self.text = wrapped(
            "Three slices in a row are a triplet: the network learns to synthesize the middle "
            "one. Triplets with a marked or damaged slice are left out"
        )
        self.cost = wrapped("An estimate. The loss is what training compares")
        self.check = button(
            "Check which slices can be used",
            "Read every slice once and leave out those that are not good enough. This takes a "
            "while for a stack of this size",
            self.wanted.emit,
        )
        self.progress = ProgressRow("Stop the check. Train repeats it")
        self.table = Table(
            ("slices", "left out because"), "Click a line to go to its slice", HEIGHT
        )
        self.table.cellClicked.connect(self._on_click)
        self.rest = Fold(
            "What is left out, and why",
            "Triplets that are not trained on. Click one to go there",
            self.table,
        )
        self.add(self.text, self.progress, self.check, self.rest, self.cost)
        self._left_out: tuple[LeftOut, ...] | None = None
        self.show_data(TrainingData())

    def show_data(self, data: TrainingData) -> None:
        """Show the result of a check, or its progress."""
        say(self.text, data.text)
        say(self.cost, data.cost)
        self.progress.show_progress(data.busy, data.done, data.total)
        self.check.setVisible(data.offer)
        self.rest.setVisible(bool(data.left_out))
        if data.left_out != self._left_out:
            self._left_out = data.left_out
            self._fill(data.left_out)
            self.rest.unfold(False)

    def _fill(self, left_out: tuple[LeftOut, ...]) -> None:
        self.table.setRowCount(len(left_out))
        for line, entry in enumerate(left_out):
            self.table.put(line, 0, ranges_text(entry.sections))
            self.table.put(line, 1, entry.reason)
        self.table.fit(LINES)

    def _on_click(self, line: int, column: int) -> None:
        if self._left_out:
            sections = self._left_out[line].sections
            self.chosen.emit(sections[len(sections) // 2])


class TrainingDataController:
    """Checks which slices can be used, and keeps the result as long as it is valid."""

    #: The result has changed.
    changed = psygnal.Signal()

    def __init__(self, backend: Backend, queue: TaskQueue) -> None:
        self._backend, self._queue = backend, queue
        self._task: Task | None = None
        #: The result, in words as well; None if there is none yet.
        self.division: Division | None = None
        self.data = TrainingData()
        #: What the result is valid for; can be hashed.
        self.key: object = None

    def check(self, request: TrainingRequest, key: object) -> None:
        """Check which slices a request can use; with the same key, only estimate the cost again."""
        known = self.division if key == self.key else None
        self.forget()
        self.key = key

        def work(report: Report, cancel: Flag) -> tuple[Division, Forecast]:
            division = known or self._backend.divide(request, report, cancel)
            return division, self._backend.forecast(division, request)

        if known is None:
            self.data = TrainingData(busy=CHECKING)
        self._task = task = self._queue.submit(work, CHECKING)
        task.reported.connect(partial(self._on_report, task))
        task.succeeded.connect(partial(self._on_found, task))
        task.failed.connect(partial(self._on_failed, task))
        self.changed.emit()

    def cancel(self) -> None:
        """Stop the check, and offer it again."""
        self.forget()
        self.data = TrainingData(offer=True)
        self.changed.emit()

    def pause(self) -> None:
        """Stop the check, but keep a result."""
        if self._task is not None:
            self.forget()

    def refuse(self, sentence: str) -> None:
        """Say why nothing can be used."""
        self.forget()
        self.data = TrainingData(sentence, ready=False)

    def offer(self) -> None:
        """Offer the check, because it would take long."""
        if not self.data.busy:
            self.forget()
            self.data = TrainingData(offer=True)

    def forget(self) -> None:
        """Stop the check, and forget the result."""
        if self._task is not None:
            self._task.cancel()
        self._task = self.key = self.division = None
        self.data = TrainingData()

    def _on_report(self, task: Task, event: object) -> None:
        if task is self._task and isinstance(event, Preparing):
            text = share_text(event.text, event.done, event.total)
            self.data = TrainingData(busy=text, done=event.done, total=event.total)
            self.changed.emit()

    def _on_found(self, task: Task, found: tuple[Division, Forecast]) -> None:
        if task is not self._task:
            return
        self._task = None
        division, forecast = found
        self.division = division
        number = len(division.held_out)
        held = f"{number} slices are held out for validation."
        if number == 1:
            held = "1 slice is held out for validation, which proves little."
        text = " ".join(filter(None, [f"Uses {division.text}.", held, division.note]))
        cost = (
            f"{forecast.cost[:1].upper()}{forecast.cost[1:]}. Trains with the loss {forecast.loss}."
        )
        self.data = TrainingData(text, cost, left_out(division.left_out))
        self.changed.emit()

    def _on_failed(self, task: Task, error: Exception) -> None:
        if task is not self._task:
            return
        self._task = None
        if isinstance(error, BadInput):
            self.data = TrainingData(str(error), ready=False)
        else:
            self.data = TrainingData()
            messages.report(error)
        self.changed.emit()


def left_out(reasons: Iterable[tuple[tuple[int, ...], str]]) -> tuple[LeftOut, ...]:
    """Group triplets that are left out: overlapping ones with the same reason are one entry."""
    entries: list[LeftOut] = []
    for sections, why in sorted(reasons):
        last = entries[-1] if entries else None
        if last is not None and last.reason == why and sections[0] <= last.sections[-1]:
            entries[-1] = LeftOut(tuple(sorted({*last.sections, *sections})), why)
        else:
            entries.append(LeftOut(sections, why))
    return tuple(entries)
