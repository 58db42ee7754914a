"""The border between the dock and the core, which knows no Qt.

All of it is called in a worker, and imports there what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from napari_ssan.network.model_file import ModelInfo
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.widgets.fine_tune.part import FindWindow, saved_marks

if TYPE_CHECKING:
    from napari_ssan.finetune.config import FineTuneConfig
    from napari_ssan.finetune.division import Division
    from napari_ssan.finetune.forecast import Forecast
    from napari_ssan.finetune.runs import Run
    from napari_ssan.finetune.verdict import Verdict

Tell = Callable[[Any], object]


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be learned, and from what, as it stood when it was asked for.

    Attributes
    ----------
    config : FineTuneConfig
        What is asked for.
    stack : SliceStack
        The stack.
    title : str
        Its name.
    path : Path or None
        Its file.
    marks : Marks or None
        What is marked in it; None if the repair dock is not open: then it is what was saved.
    synthetic : frozenset of int
        Sections that were repaired before, by the stack's own record: marked, too.
    first, last : int
        Sections to learn from, both included.
    window : callable
        Finds the region to learn from.
    threads : int or None
        Of the CPU that training will have; None as in a process of its own.
    """

    config: FineTuneConfig
    stack: SliceStack
    title: str
    path: Path | None
    marks: Marks | None
    synthetic: frozenset[int]
    first: int
    last: int
    window: FindWindow
    threads: int | None = None

    def source(self, cancel: Flag) -> Source:
        """Sections that may be used, and what of them must not.

        Raises
        ------
        BadInput
            If the region is empty, or saved marks cannot be read.
        Cancelled
            If `cancel` was set.
        """
        marks = self.marks
        if marks is None:
            marks = saved_marks(self.stack, self.path)
        marks = replace(marks, whole=marks.whole | self.synthetic)
        return Source(
            self.stack,
            self.first,
            self.last + 1,
            marks=marks or None,
            window=self.window(cancel),
        )


@dataclass(frozen=True)
class Offer:
    """A run that was left, and what is said of it: finding that out reads files.

    Attributes
    ----------
    run : Run
        The run.
    text : str
        Such as "cortex_A7, 10 min natural, 40 % done, yesterday".
    finished : bool
        Whether only a decision is missing.
    """

    run: Run
    text: str
    finished: bool


class Core:
    """What the dock asks of the core; a test may put another in its place."""

    def __init__(self) -> None:
        self._vgg: Path | None = None

    def divide(self, plan: Plan, report: Tell, cancel: Flag) -> Division:
        """Find what can be used; see :func:`napari_ssan.finetune.division.divide`."""
        from napari_ssan.finetune.division import divide

        return divide(plan.source(cancel), plan.config, report, cancel)

    def forecast(self, division: Division, plan: Plan) -> Forecast:
        """Tell what it will cost; see :func:`napari_ssan.finetune.forecast.forecast`."""
        from napari_ssan.finetune.forecast import forecast

        return forecast(division, plan.config, self.vgg(), plan.threads)

    def begin(self, division: Division, plan: Plan, report: Tell, cancel: Flag) -> Run:
        """Copy what is used to a run of its own."""
        from napari_ssan.finetune.new_run import new_run

        return new_run(
            division, plan.config, plan.title, self.vgg(), report, cancel, threads=plan.threads
        )

    def train(self, run: Run, apart: bool, report: Tell, cancel: Flag, stop: Flag) -> Verdict:
        """Work on a run until it is over; see :func:`napari_ssan.finetune.process.run_in_child`."""
        from napari_ssan.finetune.process import run_here, run_in_child

        return (run_in_child if apart else run_here)(run, report, cancel, stop)

    def offers(self) -> list[Offer]:
        """List runs that are unfinished or not decided on, the newest first."""
        from napari_ssan.finetune.runs import runs

        return [Offer(run, str(run), run.verdict is not None) for run in runs()]

    def vgg(self) -> Path | None:
        """Weights of VGG16, if they are there."""
        from napari_ssan.losses.vgg_weights import find_weights

        return self._vgg or find_weights()

    def import_vgg(self, path: Path) -> None:
        """Take weights of VGG16 from a file, as long as the viewer is open."""
        from napari_ssan.losses.vgg_weights import import_weights

        self._vgg = import_weights(path)

    def download_vgg(self, progress: Callable[[int, int], None], cancel: Flag) -> None:
        """Fetch weights of VGG16."""
        from napari_ssan.losses.vgg_weights import download

        download(progress, cancel)

    def models(self, notice: Callable[[str], object]) -> list[ModelInfo]:
        """List the models that came along, then the user's own."""
        from napari_ssan.network.model_library import list_models

        return list_models(notice)

    def import_model(self, path: Path) -> ModelInfo:
        """Copy a model to the user's own."""
        from napari_ssan.network.model_library import import_model

        return import_model(path)

    def export_model(self, name: str, target: Path) -> None:
        """Write a model to a file, a package for bioimage.io if it ends in ``.zip``."""
        from napari_ssan.export.bioimageio import export_bioimageio
        from napari_ssan.network.model_library import export_model

        # The dialog has asked whether to replace a file that exists.
        write = export_bioimageio if target.suffix.lower() == ".zip" else export_model
        write(name, target, overwrite=True)

    def rename_model(self, name: str, new: str) -> ModelInfo:
        """Give one of the user's models another name."""
        from napari_ssan.network.model_library import rename

        return rename(name, new)

    def delete_model(self, name: str) -> None:
        """Delete one of the user's models."""
        from napari_ssan.network.model_library import delete

        delete(name)
