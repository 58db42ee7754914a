"""Writes a run's events down: to a table beside the model, and to a log for TensorBoard.

Only :class:`Log` knows when a number is due; the sinks write what they are given.
"""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from napari_ssan.atomic import atomically
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.training.events import Event, Preview, Report, StepDone, Validated

#: Losses are written as means over this many steps.
EVERY = 10
#: Columns of a table for losses and scores.
TERMS = ("pixel", "structure", "membranes", "feature", "style")
LOSSES = ("total", *TERMS, "style_0", "style_1", "style_2")
SCORES = ("psnr", "ssim", "ie", "psnr_lowpass", "hf_ratio")

#: Numbers of a step by name: ``loss/pixel``, ``validation/psnr`` ...
Row = dict[str, float]


def table_path(output: Path) -> Path:
    """Path of the table of a run that writes the model `output`: beside it."""
    return output.with_suffix(".training.csv")


class Sink(Protocol):
    """Writes numbers and pictures somewhere."""

    def write(self, step: int, row: Row) -> None:
        """Add numbers."""

    def show(self, step: int, preview: Preview) -> None:
        """Add pictures."""

    def close(self) -> None:
        """Close the file."""


class Log:
    """Writes events down and passes them on.

    Mean losses, gammas and the learning rate are written every :data:`EVERY` steps,
    scores after each validation. A sink that fails is dropped, with a notice.

    Parameters
    ----------
    report : callable
        Receives the events.
    sinks : sequence of Sink
        Write the numbers and pictures.
    step : int
        Step at which the run begins or continues.
    """

    def __init__(self, report: Report, sinks: Sequence[Sink], step: int = 0) -> None:
        self._report, self._sinks = report, list(sinks)
        self._sums: Row = {}
        self._counted, self._step, self._written = 0, step, step

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, StepDone):
            self._count(event)
        for sink in list(self._sinks):
            try:
                self._write(sink, event)
            except OSError as error:
                self._sinks.remove(sink)
                self._report(
                    Notice(
                        f"The log cannot be written ({error.strerror or error}): "
                        "training continues without it."
                    )
                )
        if isinstance(event, StepDone) and self._due(event):
            self._sums, self._counted, self._written = {}, 0, event.step
        self._report(event)

    def close(self) -> None:
        """Close all sinks."""
        for sink in self._sinks:
            sink.close()

    def _count(self, event: StepDone) -> None:
        steps = event.step - self._step
        self._step = event.step
        self._counted += steps
        for name, value in event.losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + steps * value

    def _due(self, event: StepDone) -> bool:
        return event.step // EVERY > self._written // EVERY or event.share >= 1

    def _write(self, sink: Sink, event: Event) -> None:
        if isinstance(event, Validated):
            sink.write(event.step, {f"validation/{k}": v for k, v in event.scores.items()})
        elif isinstance(event, Preview):
            sink.show(self._step, event)
        elif isinstance(event, StepDone) and self._due(event):
            row = {f"loss/{name}": total / self._counted for name, total in self._sums.items()}
            row |= {f"gamma/gamma_{n}": value for n, value in enumerate(event.gammas)}
            sink.write(event.step, row | {"learning_rate": event.learning_rate})


class Table:
    """A CSV with a column ``step`` and one for each number; unknown numbers are empty.

    Parameters
    ----------
    path : Path
    gammas : int
        Number of stages of the attention.
    step : int
        Step at which the run begins or continues. Later rows are dropped; at 0, all are.

    Raises
    ------
    OSError
        If it cannot be written.
    """

    def __init__(self, path: Path, gammas: int, step: int) -> None:
        names = ["step", "learning_rate", *LOSSES, *(f"gamma_{n}" for n in range(gammas)), *SCORES]
        rows: list[dict[str, str]] = []
        if step and path.is_file():
            # of a damaged table, which is written anew here, what comes before the damage is kept
            with (
                path.open(newline="", encoding="utf-8", errors="replace") as file,
                suppress(csv.Error),
            ):
                rows.extend(row for row in csv.DictReader(file) if 0 <= _step_of(row) <= step)
        with (
            atomically(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            table = csv.DictWriter(file, names, extrasaction="ignore")
            table.writeheader()
            table.writerows(rows)
        self._file = path.open("a", newline="", encoding="utf-8")
        self._table = csv.DictWriter(self._file, names, extrasaction="ignore")

    def write(self, step: int, row: Row) -> None:
        """Add a row."""
        numbers = {name.rpartition("/")[2]: f"{value:.6g}" for name, value in row.items()}
        self._table.writerow({"step": step} | numbers)
        self._file.flush()

    def show(self, step: int, preview: Preview) -> None:
        """Do nothing: a table holds no pictures."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def check_tensorboard() -> None:
    """Check that TensorBoard is installed.

    Raises
    ------
    BadInput
        If it is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise BadInput(
            "A log for TensorBoard needs the package tensorboard: install it with "
            "pip install 'napari-ssan[tensorboard]', or leave out --log."
        )


class TensorBoard:
    """A log that TensorBoard shows.

    Parameters
    ----------
    folder : Path
        Folder of the log.
    step : int
        Step at which the run begins or continues; older entries after it are hidden.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=step or None)

    def write(self, step: int, row: Row) -> None:
        """Add numbers."""
        for name, value in row.items():
            self._writer.add_scalar(name, value, step)

    def show(self, step: int, preview: Preview) -> None:
        """Add the three pictures, on the grey scale of the real section."""
        low, high = float(preview.real.min()), float(preview.real.max())
        for name in ("real", "before", "now"):
            unit = ((getattr(preview, name) - low) / (high - low)).clip(0, 1)
            self._writer.add_image(f"preview/{name}", unit, step, dataformats="HW")

    def close(self) -> None:
        """Close the log."""
        self._writer.close()


def _step_of(row: dict[str, str]) -> int:
    """Step of a row; -1 if a crash cut the row off."""
    text = row.get("step") or ""
    return int(text) if text.isdigit() and None not in row.values() else -1
