"""Converts events of a fine-tune run to lines of text and back, to cross between processes.

Pictures of previews cross as files in the run's folder, because lines should stay short.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

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

#: Events whose fields can be written as JSON without conversion.
PLAIN = {
    kind.__name__: kind
    for kind in (
        *(Preparing, Notice, Compared, StepDone, Validated, RolledBack, Finished),
        *(Judging, MemoryUsed, Left, Refused),
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
    content: dict[str, Any]
    if isinstance(said, Verdict):
        content = said.model_dump()
    elif isinstance(said, Preview):
        content = {"section": said.section}
        for name in PICTURES:
            content[name] = str(store(folder / f"preview-{name}.npy", getattr(said, name)).path)
    elif isinstance(said, Checkpointed):
        content = {"step": said.step, "path": str(said.path)}
    else:
        content = {field.name: getattr(said, field.name) for field in fields(said)}
    return dump_json({"kind": type(said).__name__} | content)


def from_line(line: str) -> FineTuneEvent | End:
    """Read what :func:`to_line` wrote.

    Raises
    ------
    ValueError, KeyError, TypeError, OSError
        If the line has another form, or pictures cannot be read.
    """
    content = json.loads(line)
    kind = content.pop("kind")
    if kind == "Verdict":
        return Verdict.model_validate(content)
    if kind == "Preview":
        pictures = (np.load(content[name], allow_pickle=False) for name in PICTURES)
        return Preview(content["section"], *pictures)
    if kind == "Checkpointed":
        return Checkpointed(content["step"], Path(content["path"]))
    if kind == "StepDone":
        content["gammas"] = tuple(content["gammas"])
    plain: FineTuneEvent | End = PLAIN[kind](**content)
    return plain
