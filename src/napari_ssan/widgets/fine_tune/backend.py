"""What the dock asks of the rooms below it, which know no Qt: one method for each question.

Its methods run in a worker, and import there what is slow to import: opening the dock
imports no torch. A test puts a fake in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING

from napari_ssan.losses import vgg_weights
from napari_ssan.network import model_library
from napari_ssan.network.model_file import ModelInfo
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.widgets.fine_tune.region import FindWindow, saved_marks
from napari_ssan.workers import Report

if TYPE_CHECKING:
    from napari_ssan.finetune.config import FineTuneConfig
    from napari_ssan.finetune.division import Division
    from napari_ssan.finetune.events import FineTuneEvent
    from napari_ssan.finetune.forecast import Forecast
    from napari_ssan.finetune.runs import Run
    from napari_ssan.finetune.verdict import Verdict


@dataclass(frozen=True, eq=False)
class TrainingRequest:
    """What to learn, and from what, at the time of asking."""

    config: FineTuneConfig
    stack: SliceStack
    #: Name of the stack, and its file.
    title: str
    path: Path | None
    #: None if the repair dock is not open: then the saved marks are read.
    marks: Marks | None
    #: Sections that were repaired before, by the stack's own record. They count as marked.
    synthetic: frozenset[int]
    #: Sections to learn from, both included.
    first: int
    last: int
    #: Finds the region to learn from.
    window: FindWindow
    #: CPU threads for training; None is the default of a separate process.
    threads: int | None = None

    def source(self, cancel: Flag) -> Source:
        """Return the sections to learn from, and what is marked in them.

        Raises
        ------
        BadInput
            If the region is empty, or saved marks cannot be read.
        Cancelled
            If `cancel` was set.
        """
        marks = saved_marks(self.stack, self.path) if self.marks is None else self.marks
        marks = replace(marks, whole=marks.whole | self.synthetic)
        return Source(
            self.stack, self.first, self.last + 1, marks=marks or None, window=self.window(cancel)
        )


@dataclass(frozen=True)
class PendingRun:
    """A run on disk that waits for the user, with its description, which is read from files."""

    run: Run
    #: Such as "cortex_A7, 10 min natural, 40 % done, yesterday".
    text: str
    #: Whether training is over, and the user has to decide on the result.
    finished: bool


class Backend:
    """The functions that the dock calls in its workers."""

    def __init__(self) -> None:
        self._vgg: Path | None = None

    def divide(self, request: TrainingRequest, report: Report, cancel: Flag) -> Division:
        """Check which sections can be used; see :func:`napari_ssan.finetune.division.divide`."""
        from napari_ssan.finetune.division import divide

        return divide(request.source(cancel), request.config, report, cancel)

    def forecast(self, division: Division, request: TrainingRequest) -> Forecast:
        """Estimate the cost; see :func:`napari_ssan.finetune.forecast.forecast`."""
        from napari_ssan.finetune.forecast import forecast

        return forecast(division, request.config, self.vgg(), request.threads)

    def begin(
        self, division: Division, request: TrainingRequest, report: Report, cancel: Flag
    ) -> Run:
        """Start a run: copy what it uses to its folder."""
        from napari_ssan.finetune.new_run import new_run

        config, title, threads = request.config, request.title, request.threads
        return new_run(division, config, title, self.vgg(), report, cancel, threads=threads)

    def train(self, run: Run, separate: bool, report: Report, cancel: Flag, stop: Flag) -> Verdict:
        """Train until the run is over; see :func:`napari_ssan.finetune.process.run_in_child`."""
        from napari_ssan.finetune.process import run_here, run_in_child

        return (run_in_child if separate else run_here)(run, report, cancel, stop)

    def told(self, run: Run) -> list[FineTuneEvent]:
        """Read what a run has told; see :func:`napari_ssan.finetune.told.told`."""
        from napari_ssan.finetune.told import told

        return told(run.folder)

    def pending(self) -> list[PendingRun]:
        """List runs that are unfinished or undecided, the newest first."""
        from napari_ssan.finetune.runs import runs

        return [PendingRun(run, str(run), run.verdict is not None) for run in runs()]

    def vgg(self) -> Path | None:
        """Path of the weights of VGG16; None if there are none."""
        return self._vgg or vgg_weights.find_weights()

    def import_vgg(self, path: Path) -> None:
        """Use weights of VGG16 from a file until the viewer is closed."""
        self._vgg = vgg_weights.import_weights(path)

    def download_vgg(self, progress: Callable[[int, int], None], cancel: Flag) -> None:
        """Download the weights of VGG16."""
        vgg_weights.download(progress, cancel)

    def models(self, notice: Callable[[str], object]) -> list[ModelInfo]:
        """List the bundled models, then the user's own."""
        return model_library.list_models(notice)

    def import_model(self, path: Path) -> ModelInfo:
        """Copy a model file to the user's own models."""
        return model_library.import_model(path)

    def export_model(self, name: str, target: Path) -> None:
        """Write a model to a file, or to a package for bioimage.io if it ends in ``.zip``."""
        from napari_ssan.export.bioimageio import export_bioimageio

        # The dialog has asked whether to replace a file that exists.
        is_package = target.suffix.lower() == ".zip"
        write = export_bioimageio if is_package else model_library.export_model
        write(name, target, overwrite=True)

    def rename_model(self, name: str, new: str) -> ModelInfo:
        """Rename one of the user's models."""
        return model_library.rename(name, new)

    def delete_model(self, name: str) -> None:
        """Delete one of the user's models."""
        model_library.delete(name)
