"""What the terminal shows of a repair in place; :mod:`napari_ssan.volumes` does it.

Easy to get wrong: without workers and without a scheduler, dask is not imported.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from typer import Exit

from napari_ssan.cli.progress import Bars, bars, console
from napari_ssan.errors import BadInput
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import format_slices
from napari_ssan.volumes.drive import SlabsDone
from napari_ssan.volumes.run import Outcome, repair_in_place
from napari_ssan.volumes.slabs import How

#: Exit code where some slices could not be repaired, and the others were.
SOME_FAILED = 3
#: Seconds between two lines where there is no terminal that shows bars.
LINES = 60.0


def run_in_place(
    path: Path,
    marks: Marks,
    how: How,
    device: str,
    backup: Path | None,
    resume: bool,
    workers: int | None,
    scheduler: str,
) -> None:
    """Repair in place, show how it goes, and end with `SOME_FAILED` if slices have failed.

    Raises
    ------
    BadInput
        See :func:`~napari_ssan.volumes.run.repair_in_place`.
    """
    if workers and scheduler:
        raise BadInput("Give --workers for this machine, or --scheduler for a cluster; not both.")
    crew = None
    with bars() as show:
        tell = _Teller(show)
        if workers or scheduler:
            from napari_ssan.volumes.cluster import cluster

            crew = partial(cluster, workers=workers, scheduler=scheduler, tell=show.say)
        try:
            outcome = repair_in_place(
                path, marks, how, tell, device=device, backup=backup, resume=resume, crew=crew
            )
        except KeyboardInterrupt:
            show.say("To go on, run the same command with --resume.")
            raise
    _conclude(path, outcome)


class _Teller:
    """Shows what a repair in place says."""

    def __init__(self, show: Bars) -> None:
        self._show, self._last = show, time.monotonic()

    def __call__(self, item: object) -> None:
        if isinstance(item, SlabsDone):
            self._slabs(item)
        elif isinstance(item, str):
            self._show.say(item)
        else:
            self._show.engine(item)  # type: ignore[arg-type]

    def _slabs(self, item: SlabsDone) -> None:
        failed = f", {item.failed} failed" if item.failed else ""
        note = f" ({item.rate:.3g} a minute{failed})"
        self._show.show("slices", item.done, item.total, note)
        if not console.is_terminal and time.monotonic() - self._last > LINES:
            self._last = time.monotonic()
            left = "" if item.seconds_left is None else f", {item.seconds_left / 60:.0f} min left"
            self._show.say(f"{item.done} of {item.total} slices{note}{left}")


def _conclude(path: Path, outcome: Outcome) -> None:
    done = len(outcome.sections)
    console.print(
        f"Repaired {done} slice{'' if done == 1 else 's'} of {path.name} in place. Their "
        f"originals are in {outcome.backup}; napari-ssan restore brings them back.",
        markup=False,
        soft_wrap=True,
    )
    for sections, why in outcome.failed:
        console.print(f"Failed: {format_slices(sections)}: {why}", markup=False, soft_wrap=True)
    if outcome.failed:
        console.print("To try them again, run the same command with --resume.")
        raise Exit(SOME_FAILED)
