"""What a run has told, for whoever looks at it after it has ended: scores, losses, the preview.

The losses are in the table that every training writes. The rest is kept here, line by line; a run
that goes on tells its scores again, so the last word counts.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from napari_ssan.finetune.events import FineTuneEvent, FineTuneReport
from napari_ssan.finetune.run_folder import CANDIDATE, TOLD
from napari_ssan.finetune.wire import from_line, to_line
from napari_ssan.training.events import Compared, Preview, StepDone, Validated
from napari_ssan.training.log import LOSSES, table_path


def keeping(report: FineTuneReport, folder: Path) -> FineTuneReport:
    """Make a report that also keeps what :func:`told` reads, in the folder of a run."""

    def pass_on(event: FineTuneEvent) -> None:
        if isinstance(event, Compared | Validated | Preview):
            line = f"{to_line(event, folder)}\n"
            with (folder / TOLD).open("a", encoding="utf-8") as file:
                file.write(line)

    def told(event: FineTuneEvent) -> None:
        with suppress(OSError):  # training, which needs the disk more, says that it is full
            pass_on(event)
        report(event)

    return told


def told(folder: Path) -> list[FineTuneEvent]:
    """Read what a run has told; what is damaged or missing is left out."""
    return [*_lines(folder), *_steps(table_path(folder / CANDIDATE))]


def _lines(folder: Path) -> Iterator[FineTuneEvent]:
    try:
        lines = (folder / TOLD).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # a run of an earlier version
        return
    previews = [line for line in lines if '"Preview"' in line]
    for line in [line for line in lines if '"Preview"' not in line] + previews[-1:]:
        with suppress(ValueError, KeyError, TypeError, OSError):
            event = from_line(line)
            if isinstance(event, Compared | Validated | Preview):
                yield event


def _steps(table: Path) -> Iterator[StepDone]:
    try:
        with table.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = list(csv.DictReader(file))
    except (OSError, csv.Error):
        return
    for row in rows:
        with suppress(ValueError, KeyError, TypeError):
            losses = {name: float(row[name]) for name in LOSSES if row.get(name)}
            gammas = [float(row[name]) for name in row if name.startswith("gamma_") and row[name]]
            if losses:
                yield StepDone(int(row["step"]), 1.0, 0.0, losses, tuple(gammas), 0.0)
