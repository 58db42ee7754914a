"""Fine-tunings on disk: each a folder that holds all that it needs, also after a crash."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
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
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.training.config import TrainingConfig
from napari_ssan.version import __version__

#: Layout of the record; a folder with a higher one is left alone.
FORMAT = 1


class Record(BaseModel):
    """What is known of a run from its beginning; round-trips to JSON.

    Attributes
    ----------
    format : int
        Layout.
    version : str
        Of napari-ssan.
    title : str
        Name of the stack, in the user's words.
    started : datetime
        When.
    config : FineTuneConfig
        What was asked for.
    training : TrainingConfig
        What is done.
    vgg : str or None
        Weights of VGG16.
    count : int
        Sections of the whole stack.
    sections : (int, int)
        Those that were copied: the first, and the one after the last.
    marks : str
        As JSON.
    train, held : tuple of (int, int)
        Blocks of sections to learn from and to validate on.
    held_out : tuple of int
        Sections that are judged on at the end.
    summary : str
        Which triplets are learned from, in words.
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
    train: tuple[tuple[int, int], ...]
    held: tuple[tuple[int, int], ...]
    held_out: tuple[int, ...]
    summary: str


@dataclass(frozen=True)
class Run:
    """A fine-tuning that has begun.

    Attributes
    ----------
    folder : Path
        Holds everything.
    record : Record
        What is known of it from its beginning.
    """

    folder: Path
    record: Record

    @property
    def config(self) -> FineTuneConfig:
        """What was asked for."""
        return self.record.config

    @property
    def aim(self) -> str:
        """What is trained, in a word: without VGG16 it is not what was asked for."""
        return aim_of(self.record.training.loss.preset)

    @property
    def title(self) -> str:
        """Name of the stack."""
        return self.record.title

    @property
    def sections(self) -> tuple[int, int]:
        """Those of the stack that are used: the first, and the one after the last."""
        return self.record.sections

    @property
    def started(self) -> datetime:
        """When it began."""
        return self.record.started

    @property
    def base(self) -> Path:
        """Copy of the model that it starts from."""
        return self.folder / BASE

    @property
    def model(self) -> Path:
        """What is handed over; there once the verdict is."""
        return self.folder / MODEL

    @property
    def vgg(self) -> Path | None:
        """Weights of VGG16."""
        return Path(self.record.vgg) if self.record.vgg else None

    @property
    def verdict(self) -> Verdict | None:
        """What came of it; None while it is not over.

        Raises
        ------
        BadInput
            If it cannot be read.
        """
        try:
            return Verdict.model_validate_json((self.folder / VERDICT).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            raise BadInput(
                f"The result in {self.folder} cannot be read: update napari-ssan if a newer "
                "version wrote it, or delete this folder."
            ) from None

    @property
    def share(self) -> float:
        """How much of the training is done and would survive a crash, 0 to 1."""
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
        """Such as "cortex_A7, 10 min natural, 40 % done, yesterday"."""
        config = self.config
        budget = f"{config.steps} steps" if config.steps else f"{config.minutes:g} min"
        done = "trained" if self.verdict else f"{100 * self.share:.0f} % done"
        return f"{self.title}, {budget} {self.aim}, {done}, {_day(self.started)}"

    def source(self) -> Source:
        """The sections that were copied, with their marks."""
        record = self.record
        stack = SliceStack(SectionCopy(self.folder / SECTIONS, record.sections[0], record.count))
        marks = Marks.from_json(record.marks, stack.shape[1:]) if record.marks else None
        return Source(stack, marks=marks)

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
        """Be the only one who works on it.

        Raises
        ------
        BadInput
            If somebody else does, or it is gone.
        """
        if not self.folder.is_dir():
            raise BadInput(f"The run {self.title} was discarded; start a new one.")
        with held(self.folder, f"The run on {self.title}"):
            yield

    def keep(self, name: str) -> ModelInfo:
        """Make the result one of the user's own models, and remove the run.

        Raises
        ------
        BadInput
            If training is not over, or the model cannot be saved; nothing is lost then.
        """
        if self.verdict is None:
            raise BadInput("Training is not over: go on with it, or discard it.")
        info = import_model(self.model, name)
        self.discard()
        return info

    def discard(self) -> None:
        """Remove the run and all that belongs to it.

        Raises
        ------
        BadInput
            If somebody works on it.
        """
        if not self.folder.is_dir():
            return
        with self.working():
            # First, so that what is left by a crash counts as no run.
            (self.folder / RECORD).unlink(missing_ok=True)
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise BadInput(
                f"{self.folder} could not be removed: {error.strerror or error}; delete it by hand."
            ) from None


def runs() -> list[Run]:
    """List runs that are unfinished, or finished and not decided on, the newest first.

    Those that somebody is working on are left out. What a crash left of a run
    that had not begun is removed.
    """
    found = []
    for folder in runs_folder().glob("*/"):
        try:
            sweep(folder)
            run = open_run(folder)
            _ = run.verdict  # refused here, lest it be when the run is offered
            found.append(run)
        except (BadInput, OSError):
            continue  # nothing, somebody else's, or a newer version's
    return sorted(found, key=lambda run: run.started, reverse=True)


def open_run(folder: Path) -> Run:
    """Read a run.

    Raises
    ------
    BadInput
        If there is none, or it cannot be read.
    """
    try:
        text = (folder / RECORD).read_text(encoding="utf-8")
        if json.loads(text)["format"] > FORMAT:
            raise BadInput(f"The run in {folder} was begun by a newer version; update napari-ssan.")
        return Run(folder, Record.model_validate_json(text))
    except OSError as error:
        raise BadInput(f"There is no run in {folder} ({error.strerror or error}).") from None
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"The run in {folder} cannot be read: delete this folder, and start anew."
        ) from None


def _day(when: datetime) -> str:
    day = when.astimezone().date()
    days = (datetime.now().astimezone().date() - day).days
    return {0: "today", 1: "yesterday"}.get(days, f"{day:%d %B %Y}")
