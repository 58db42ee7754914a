"""Writing the repaired stack to files, as it stood when that was asked for. Knows no screen.

It runs in a worker. Easy to get wrong: nothing of the session or the layers may be read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from typing import Any

from napari_ssan.engine.provenance import Provenance
from napari_ssan.engine.repaired import RepairedStack, Slot
from napari_ssan.events import Stage
from napari_ssan.session.jobs import Tell


@dataclass(frozen=True)
class Reviewed:
    """What a report says besides: the stack's name, what is accepted, what was synthetic before."""

    name: str
    accepted: Mapping[Slot, bool]
    earlier: Provenance


@dataclass(frozen=True, eq=False)
class Export:
    """What is to be written, and where to."""

    path: Path
    repaired: RepairedStack
    #: Of the layer, as napari's writers get them.
    meta: Mapping[str, Any]
    #: Files that must not be replaced.
    sources: Sequence[Path]
    mask: bool
    error: bool
    #: Without it no report is written.
    reviewed: Reviewed | None

    @property
    def title(self) -> str:
        """What is being done."""
        return f"Writing {self.path.name}…"

    def run(self, tell: Tell, cancel: Flag) -> list[Path]:
        """Write; what exists is replaced. Returns what was written."""
        from napari_ssan.files import check_output, error_path, mask_path, save_stack
        from napari_ssan.files.layer_calibration import layer_calibration

        check_output(self.path, self.sources, overwrite=True, dtype=self.repaired.dtype)
        for wanted, beside in ((self.mask, mask_path), (self.error, error_path)):
            if wanted:
                check_output(beside(self.path), self.sources, overwrite=True)

        def tick(done: int, total: int) -> None:
            tell(Stage(self.title, done, total))

        written = save_stack(
            self.path,
            self.repaired,
            layer_calibration(self.repaired, dict(self.meta)),
            overwrite=True,
            mask=self.mask,
            error=self.error,
            progress=tick,
            cancel=cancel,
        )
        if self.reviewed is not None:
            tell(Stage("Writing the report…"))
            written.append(self._report(self.reviewed))
        return written

    def _report(self, reviewed: Reviewed) -> Path:
        from napari_ssan.files import report_path
        from napari_ssan.files.output import replacing
        from napari_ssan.report.page import to_html

        path = report_path(self.path)
        page = to_html(self.repaired, reviewed.name, reviewed.accepted, reviewed.earlier)
        with replacing(path, overwrite=True) as part, part.open("w", encoding="utf-8") as file:
            file.writelines(page)
        return path
