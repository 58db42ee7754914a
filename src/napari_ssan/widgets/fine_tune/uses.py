"""The line that says what a training would use, and the list of what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from threading import Event as Flag
from typing import Any

import psygnal
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QProgressBar,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_ssan.errors import BadInput
from napari_ssan.training.events import Preparing
from napari_ssan.widgets.fine_tune.core import Core, Plan
from napari_ssan.widgets.fine_tune.state import LeftOut, Uses, ranges_text, share_text
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.parts import Fold, button, say, wrapped
from napari_ssan.workers import Task, TaskQueue

#: Height of a line of the table in pixels, and how many are seen at once.
ROW, LINES = 22, 5


class UsesPanel(QWidget):  # type: ignore[misc]
    """What is used, what is left out and why, and what it costs."""

    #: Number of a section that was clicked, to go there.
    chosen = Signal(int)
    wanted = Signal()
    cancel_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.text, self.cost = wrapped(), wrapped()
        self.text.setToolTip(
            "Three slices in a row make a triplet: the network learns to synthesize the middle "
            "one. Triplets with marked, damaged, displaced or blurred slices are left out"
        )
        self.cost.setToolTip("An estimate. What is compared decides what the network learns")
        self.look = button(
            "Look what can be used",
            "Read every slice once to find those that are fit to learn from; it takes a while "
            "for a stack of this size",
        )
        self.look.clicked.connect(lambda: self.wanted.emit())
        self.cancel = button("Cancel", "Stop looking; Train looks again by itself")
        self.cancel.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.cancel.clicked.connect(lambda: self.cancel_pressed.emit())
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.going = QWidget()
        row = QHBoxLayout(self.going)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        self.rest = Fold(
            "What is left out, and why", "Triplets that are not learned from; click one to go there"
        )
        self.rest.column.addWidget(self._build_table())
        for widget in (self.text, self.going, self.look, self.rest, self.cost):
            column.addWidget(widget)
        self._left_out: tuple[LeftOut, ...] | None = None
        self.show_uses(Uses())

    def show_uses(self, uses: Uses) -> None:
        """Show what is known."""
        say(self.text, uses.text)
        say(self.cost, uses.cost)
        self.going.setVisible(uses.busy)
        self.bar.setRange(0, uses.total)
        self.bar.setValue(uses.done)
        self.look.setVisible(uses.offer)
        self.rest.setVisible(bool(uses.left_out))
        if uses.left_out != self._left_out:
            self._left_out = uses.left_out
            self._fill(uses.left_out)
            self.rest.unfold(False)

    def _build_table(self) -> QTableWidget:
        self.table = QTableWidget(0, 2)
        self.table.setHorizontalHeaderLabels(["slices", "left out because"])
        self.table.setToolTip("Click a line to go to its slice")
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ROW)
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setFixedHeight(ROW)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.cellClicked.connect(self._on_click)
        return self.table

    def _fill(self, left_out: tuple[LeftOut, ...]) -> None:
        self.table.setRowCount(len(left_out))
        for number, entry in enumerate(left_out):
            self.table.setItem(number, 0, QTableWidgetItem(ranges_text(entry.sections)))
            self.table.setItem(number, 1, QTableWidgetItem(entry.reason))
        lines = min(max(len(left_out), 1), LINES) + 1
        self.table.setFixedHeight(ROW * lines + 6)

    def _on_click(self, row: int, column: int) -> None:
        if self._left_out:
            sections = self._left_out[row].sections
            self.chosen.emit(sections[len(sections) // 2])


class UsesController:
    """Finds what can be used of a stack; the answer is kept as long as it is valid.

    Parameters
    ----------
    core : Core
        What finds it.
    queue : TaskQueue
        Where.

    Attributes
    ----------
    uses : Uses
        What is known, in words.
    division : Division or None
        What is known; None if nothing is.
    key : hashable
        What it is valid for.
    """

    #: What is known is not what it was.
    changed = psygnal.Signal()

    def __init__(self, core: Core, queue: TaskQueue) -> None:
        self._core, self._queue = core, queue
        self._task: Task | None = None
        self.key: object = None
        self.division: Any = None
        self.uses = Uses()

    def look(self, plan: Plan, key: object) -> None:
        """Find what a plan can use.

        Parameters
        ----------
        plan : Plan
            What is asked for.
        key : hashable
            Where it is the same, so is what can be used, and only the cost is told anew.
        """
        known = self.division if key == self.key else None
        self.forget()
        self.key = key

        def work(report: Callable[[Any], None], cancel: Flag) -> tuple[Any, Any]:
            division = known or self._core.divide(plan, report, cancel)
            return division, self._core.forecast(division, plan)

        if known is None:
            self.uses = Uses("Looking what can be used…", busy=True)
        self._task = task = self._queue.submit(work, "Looking what can be used")
        task.reported.connect(partial(self._on_report, task))
        task.succeeded.connect(partial(self._on_found, task))
        task.failed.connect(partial(self._on_failed, task))
        self.changed.emit()

    def cancel(self) -> None:
        """Look no further; it can be asked for again."""
        self.forget()
        self.uses = Uses(offer=True)
        self.changed.emit()

    def pause(self) -> None:
        """Stop looking, but keep what is known."""
        if self._task is not None:
            self.forget()

    def refuse(self, sentence: str) -> None:
        """Say why nothing can be used."""
        self.forget()
        self.uses = Uses(sentence, ready=False)

    def offer(self) -> None:
        """Offer to look, where that would take long."""
        if not self.uses.busy:
            self.forget()
            self.uses = Uses(offer=True)

    def forget(self) -> None:
        """Forget what is known, and stop looking."""
        if self._task is not None:
            self._task.cancel()
        self._task = self.key = self.division = None
        self.uses = Uses()

    def _on_report(self, task: Task, event: Any) -> None:
        if task is self._task and isinstance(event, Preparing):
            text = share_text(event.text, event.done, event.total)
            self.uses = Uses(text, busy=True, done=event.done, total=event.total)
            self.changed.emit()

    def _on_found(self, task: Task, found: tuple[Any, Any]) -> None:
        if task is not self._task:
            return
        self._task = None
        self.division, forecast = found
        note = f" {self.division.note}" if self.division.note else ""
        number = len(self.division.held_out)
        held = f"{number} slice{' is' if number == 1 else 's are'} held out to judge by."
        text = f"Uses {self.division.text}. {held}{note}"
        cost = f"{forecast.cost[:1].upper()}{forecast.cost[1:]}; learns by {forecast.loss}."
        self.uses = Uses(text, cost, left_out(self.division.left_out))
        self.changed.emit()

    def _on_failed(self, task: Task, error: Exception) -> None:
        if task is not self._task:
            return
        self._task = None
        if isinstance(error, BadInput):
            self.uses = Uses(str(error), ready=False)
        else:
            self.uses = Uses()
            messages.report(error)
        self.changed.emit()


def left_out(reasons: Iterable[tuple[tuple[int, ...], str]]) -> tuple[LeftOut, ...]:
    """Triplets that are left out; those that follow each other for one reason are one entry."""
    entries: list[LeftOut] = []
    for sections, why in sorted(reasons):
        last = entries[-1] if entries else None
        if last is not None and last.reason == why and sections[0] <= last.sections[-1]:
            entries[-1] = LeftOut(tuple(sorted({*last.sections, *sections})), why)
        else:
            entries.append(LeftOut(sections, why))
    return tuple(entries)
