"""Converts events of a fine-tune run to lines of text and back, to cross between processes.

Pictures of previews cross as files in the run's folder, because lines should stay short.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from napari_ssan.engine.stored import store
from napari_ssan.events import Notice
from napari_ssan.finetune.events import FineTuneEvent, Judging, MemoryUsed
from napari_ssan.finetune.verdict import Verdict
from napari_ssan.json_text import dump_json
from napari_ssan.training.events import (
    Checkpointed,
    Compared,
    Finished,
    Preparing,
    Preview,
    RolledBack,
    StepDone,
    Validated,
)


@dataclass(frozen=True)
class Left:
    """The run was cancelled, as requested."""


@dataclass(frozen=True)
class Refused:
    """The run cannot continue; `text` says why."""

    text: str


#: Last line of a child: how it ended.
End = Verdict | Left | Refused

#: What can be written as JSON, by name.
PLAIN: dict[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (
        *(Preparing, Notice, Compared, StepDone, Validated, RolledBack, Checkpointed, Finished),
        *(Judging, MemoryUsed, Verdict, Left, Refused),
    )
}
#: Pictures of a preview.
PICTURES = ("real", "before", "now")


def to_line(said: FineTuneEvent | End, folder: Path) -> str:
    """Write an event, or how the run ended, as a line.

    Parameters
    ----------
    said : event, Verdict, Left or Refused
        What to write.
    folder : Path
        Folder for pictures of previews. New ones replace the last ones.

    Raises
    ------
    OSError
        If pictures cannot be written.
    """
    kind = type(said).__name__
    if isinstance(said, Preview):
        content: dict[str, Any] = {"section": said.section}
        for name in PICTURES:
            content[name] = str(store(folder / f"preview-{name}.npy", getattr(said, name)).path)
    else:
        content = PLAIN[kind].dump_python(said, mode="json")
    return dump_json({"kind": kind} | content)


def from_line(line: str) -> FineTuneEvent | End:
    """Read what :func:`to_line` wrote.

    Raises
    ------
    ValueError, KeyError, TypeError, OSError
        If the line has another form, or pictures cannot be read.
    """
    content = json.loads(line)
    kind = content.pop("kind")
    if kind == "Preview":
        pictures = (np.load(content[name], allow_pickle=False) for name in PICTURES)
        return Preview(content["section"], *pictures)
    plain: FineTuneEvent | End = PLAIN[kind].validate_python(content)
    return plain
