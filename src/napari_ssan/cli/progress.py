"""Progress of long commands, on standard error so that standard output stays clean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from napari_ssan.engine.repaired import Patch
from napari_ssan.events import Event, Notice
from napari_ssan.events import Progress as Tile
from napari_ssan.files.output import tidy
from napari_ssan.paths import address, printable

console = Console(stderr=True, highlight=False)


class Bars:
    """Bars for the steps of a command, one below the other."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, what: str, done: int, total: int, note: str = "") -> None:
        """Set the bar called `what`, and a note beside it; it appears with its first value."""
        self._progress.start()
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(
            self._tasks[what], completed=done, total=total, description=f"{what}{note}"
        )

    def engine(self, event: Event | Patch) -> None:
        """Show what the engine yields: a bar for tiles, lines for the rest."""
        if isinstance(event, Tile):
            self.show("repairing", event.done, event.total)
        elif isinstance(event, Notice):
            self.say(f"Note: {event}")
        elif isinstance(event, Patch):
            self.say(str(event))

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(printable(text), markup=False)


def tidy_beside(*outputs: Path | None) -> None:
    """Finish or remove what killed runs left beside outputs, and say it in one line."""
    for note in tidy(*(output.parent for output in outputs if output and not address(output))):
        console.print(f"Note: {printable(note)}", markup=False, soft_wrap=True)


@contextmanager
def bars() -> Iterator[Bars]:
    """Bars that end with the block."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeRemainingColumn(),
    )
    # Started by the first bar: a refusal before it stays the only line that is printed.
    progress = Progress(*columns, console=console)
    try:
        yield Bars(progress)
    finally:
        if progress.live.is_started:
            progress.stop()
