"""Fine-tune runs on disk: each is a folder that holds all that it needs, even after a crash.

This reads, lists, keeps and discards runs. :mod:`~napari_ssan.finetune.new_run` begins one,
:mod:`~napari_ssan.finetune.work` trains. A run is finished once it has a verdict.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open

from napari_ssan.errors import BadInput
from napari_ssan.finetune.config import FineTuneConfig, aim_of
from napari_ssan.finetune.run_folder import (
    BASE,
    CANDIDATE,
    CHECKPOINT,
    MODEL,
    RECORD,
    SECTIONS,
    VERDICT,
    held,
    runs_folder,
    sweep,
)
from napari_ssan.finetune.section_copy import SectionCopy
from napari_ssan.finetune.verdict import Verdict
from napari_ssan.network.model_file import ModelInfo
from napari_ssan.network.model_library import import_model
from napari_ssan.paths import check_input
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.training.config import TrainingConfig
from napari_ssan.version import __version__

#: Version of the record's layout; a folder with a higher one is left alone.
FORMAT = 1


class Record(BaseModel):
    """Everything about a run that is fixed when it begins; round-trips to JSON.

    Attributes
    ----------
    format : int
        Version of the record's layout.
    version : str
        Version of napari-ssan.
    title : str
        Name of the stack, as the user sees it.
    started : datetime
        When the run began.
    config : FineTuneConfig
        The user's settings.
    training : TrainingConfig
        The training settings that follow from them.
    vgg : str or None
        File with the weights of VGG16.
    count : int
        Number of sections of the whole stack.
    sections : (int, int)
        The copied sections: the first, and the one after the last.
    marks : str
        Marks of the copied sections, as JSON.
    damage : str
        What looked broken when the run began, as JSON; empty in runs of older versions.
    train, held : tuple of (int, int)
        Blocks of sections to learn from and to validate on.
    held_out : tuple of int
        Sections that are judged on at the end.
    summary : str
        The triplets to learn from, in words.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    version: str = __version__
    title: str
    started: datetime
    config: FineTuneConfig
    training: TrainingConfig
    vgg: str | None
    count: int
    sections: tuple[int, int]
    marks: str
    damage: str = ""
    train: tuple[tuple[int, int], ...]
    held: tuple[tuple[int, int], ...]
    held_out: tuple[int, ...]
    summary: str


@dataclass(frozen=True)
class Run:
    """A fine-tune run that has begun.

    Attributes
    ----------
    folder : Path
        Folder with all its files.
    record : Record
        What was fixed when it began.
    """

    folder: Path
    record: Record

    @property
    def config(self) -> FineTuneConfig:
        """The user's settings."""
        return self.record.config

    @property
    def aim(self) -> str:
        """The aim of training, in a word. Without VGG16 it can differ from the user's."""
        return aim_of(self.record.training.loss.preset)

    @property
    def title(self) -> str:
        """Name of the stack."""
        return self.record.title

    @property
    def base(self) -> Path:
        """Copy of the base model."""
        return self.folder / BASE

    @property
    def model(self) -> Path:
        """The resulting model; the file exists once there is a verdict."""
        return self.folder / MODEL

    @property
    def verdict(self) -> Verdict | None:
        """The result; None until the run is finished.

        Raises
        ------
        BadInput
            If it cannot be read.
        """
        try:
            return Verdict.model_validate_json((self.folder / VERDICT).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise BadInput(
                f"The verdict in {self.folder} cannot be read: update napari-ssan if a newer "
                "version wrote it, or delete this folder."
            ) from None

    @property
    def share(self) -> float:
        """Share of the training that is done and would survive a crash, 0 to 1."""
        if self.verdict is not None or (self.folder / CANDIDATE).exists():
            return 1.0
        try:
            with safe_open(self.folder / CHECKPOINT, framework="numpy") as file:
                facts = json.loads((file.metadata() or {})["facts"])
            step, seconds = int(facts["step"]), float(facts["seconds"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return 0.0
        training = self.record.training
        spent = step / training.steps if training.steps else seconds / 60
        return min(1.0, spent / (training.minutes or 1.0))

    def __str__(self) -> str:
        """Describe the run, such as "cortex_A7, 10 min natural, 40 % done, yesterday"."""
        config = self.config
        budget = f"{config.steps} steps" if config.steps else f"{config.minutes:g} min"
        done = "trained" if self.verdict else f"{100 * self.share:.0f} % done"
        return f"{self.title}, {budget} {self.aim}, {done}, {_day(self.record.started)}"

    def source(self) -> Source:
        """The copied sections, with their marks."""
        record = self.record
        stack = SliceStack(SectionCopy(self.folder / SECTIONS, record.sections[0], record.count))
        marks, damage = (
            Marks.from_json(text, stack.shape[1:]) if text else None
            for text in (record.marks, record.damage)
        )
        return Source(stack, marks=marks, damage=damage)

    def blocks(self) -> tuple[list[Source], list[Source]]:
        """Sections to learn from, and to validate on."""
        source, record = self.source(), self.record
        train, held = (
            [replace(source, start=start, stop=stop) for start, stop in blocks]
            for blocks in (record.train, record.held)
        )
        return train, held

    @contextmanager
    def working(self) -> Iterator[None]:
        """Lock the run, so that only one program works on it.

        Raises
        ------
        BadInput
            If another program works on it, or it was discarded.
        """
        if not self.folder.is_dir():
            raise BadInput(f"The run {self.title} was discarded; start a new one.")
        with held(self.folder, f"The run on {self.title}"):
            yield

    def keep(self, name: str) -> ModelInfo:
        """Save the model among the user's own models, and remove the run.

        Raises
        ------
        BadInput
            If the run is not finished, or the model cannot be saved. The run is kept then.
        """
        if self.verdict is None:
            raise BadInput("The run is not finished: continue it, or discard it.")
        info = import_model(self.model, name)
        self.discard()
        return info

    def discard(self) -> None:
        """Remove the run and all its files.

        Raises
        ------
        BadInput
            If a program works on it, or a file cannot be removed.
        """
        if not self.folder.is_dir():
            return
        with self.working():
            # The record goes first: after a crash, the rest does not count as a run.
            (self.folder / RECORD).unlink(missing_ok=True)
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise BadInput(
                f"{self.folder} could not be removed: {error.strerror or error}; delete it by hand."
            ) from None


def runs() -> list[Run]:
    """List runs that are not finished, or not yet kept or discarded, the newest first.

    Runs on which a program is working are left out. Remains of runs that crashed before
    they began are removed.
    """
    found = []
    for folder in runs_folder().glob("*/"):
        try:
            sweep(folder)
            run = open_run(folder)
            _ = run.verdict  # raises here, and not later when the run is offered
            found.append(run)
        except (BadInput, OSError):
            continue  # not a run, in use, or of a newer version
    return sorted(found, key=lambda run: run.record.started, reverse=True)


def open_run(folder: Path) -> Run:
    """Read a run.

    Raises
    ------
    BadInput
        If there is no run, or it cannot be read.
    """
    try:
        for file in folder.iterdir():
            check_input(file)
        text = (folder / RECORD).read_text(encoding="utf-8")
        if json.loads(text)["format"] > FORMAT:
            raise BadInput(f"The run in {folder} was begun by a newer version; update napari-ssan.")
        return Run(folder, Record.model_validate_json(text))
    except OSError as error:
        raise BadInput(f"There is no run in {folder} ({error.strerror or error}).") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"The run in {folder} cannot be read: delete this folder, and start again."
        ) from None


def _day(when: datetime) -> str:
    day = when.astimezone().date()
    days = (datetime.now().astimezone().date() - day).days
    return {0: "today", 1: "yesterday"}.get(days, f"{day:%d %B %Y}")
