"""What the terminal shows of a repair in slabs; :mod:`napari_ssan.volumes` does it.

Easy to get wrong: without workers and without a scheduler, dask is not imported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from typer import Exit

from napari_ssan.cli.progress import Bars, bars, console
from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.files import StackFile
from napari_ssan.files.remote_image import RemoteImage
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.marks_io import format_slices
from napari_ssan.volumes.drive import Hire, SlabsDone
from napari_ssan.volumes.output_run import Ask, repair_to_output
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
    with _slabs(workers, scheduler) as (tell, crew):
        outcome = repair_in_place(
            path, marks, how, tell, device=device, backup=backup, resume=resume, crew=crew
        )
    _conclude(path, outcome)


def run_to_output(
    ask: Ask,
    file: StackFile,
    finish: Callable[[RepairedStack, Path | RemoteImage, Bars], object],
    device: str,
    resume: bool,
    workers: int | None,
    scheduler: str,
) -> None:
    """Repair to a new zarr output, show how it goes, and end with `SOME_FAILED` if slices failed.

    Raises
    ------
    BadInput
        See :func:`~napari_ssan.volumes.output_run.repair_to_output`.
    """
    with _slabs(workers, scheduler) as (tell, crew):

        def end(repaired: RepairedStack, ready: Path | RemoteImage) -> None:
            finish(repaired, ready, tell.show)

        state = repair_to_output(ask, file, tell, end, device=device, resume=resume, crew=crew)
    failed = [(tuple(sections), why) for sections, why in state.failed.values()]
    if failed:
        count = f"{len(state.repaired)} of {len(state.asked)} slices are done"
        console.print(f"{ask.output.name} is not finished: {count}.", markup=False)
    _end(failed)


@contextmanager
def _slabs(workers: int | None, scheduler: str) -> Iterator[tuple[_Teller, Hire | None]]:
    """Who is told, and who works."""
    if workers and scheduler:
        raise BadInput("Give --workers for this machine, or --scheduler for a cluster; not both.")
    crew = None
    with bars() as show:
        if workers or scheduler:
            from napari_ssan.volumes.cluster import check, cluster

            check(scheduler)
            crew = partial(cluster, workers=workers, scheduler=scheduler, tell=show.say)
        try:
            yield _Teller(show), crew
        except KeyboardInterrupt:
            show.say("To go on, run the same command with --resume.")
            raise


class _Teller:
    """Shows what a repair in place says."""

    def __init__(self, show: Bars) -> None:
        self.show, self._last = show, time.monotonic()

    def __call__(self, item: object) -> None:
        if isinstance(item, SlabsDone):
            self._slabs(item)
        elif isinstance(item, str):
            self.show.say(item)
        else:
            self.show.engine(item)  # type: ignore[arg-type]

    def _slabs(self, item: SlabsDone) -> None:
        failed = f", {item.failed} failed" if item.failed else ""
        note = f" ({item.rate:.3g} a minute{failed})"
        self.show.show("slices", item.done, item.total, note)
        if not console.is_terminal and time.monotonic() - self._last > LINES:
            self._last = time.monotonic()
            left = "" if item.seconds_left is None else f", {item.seconds_left / 60:.0f} min left"
            self.show.say(f"{item.done} of {item.total} slices{note}{left}")


def _conclude(path: Path, outcome: Outcome) -> None:
    done, left = len(outcome.sections), len(outcome.left)
    count = f"{done} of {done + left} slices" if left else f"{done} slice{'' if done == 1 else 's'}"
    console.print(
        f"Repaired {count} of {path.name} in place. "
        f"The originals are in {outcome.backup}; napari-ssan restore brings them back.",
        markup=False,
        soft_wrap=True,
    )
    _end(outcome.failed, "; to undo all of it, napari-ssan restore")


def _end(failed: Sequence[tuple[tuple[int, ...], str]], or_else: str = "") -> None:
    for sections, why in failed:
        console.print(f"Failed: {format_slices(sections)}: {why}", markup=False, soft_wrap=True)
    if failed:
        console.print(
            f"To try them again, run the same command with --resume{or_else}.", soft_wrap=True
        )
        raise Exit(SOME_FAILED)
